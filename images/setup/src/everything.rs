// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All that there is to do, in the order in which it is soonest done.

use std::{path::PathBuf, thread};

use anyhow::{Result, anyhow, bail, ensure};
use irqbed_archive::{archive::say, fetch};

use crate::{Setup, programs, store::entries};

/// The agent, where it is packed with a release, and where cargo leaves it.
const AGENTS: [&str; 2] = [
    "bin/guest-agent",
    "target/x86_64-unknown-linux-gnu/release/guest-agent",
];

impl Setup {
    /// Fetches and builds whatever is missing for all guests there are kernels for; fetches
    /// nothing if that is not asked for. The downloads run while cargo compiles.
    ///
    /// # Errors
    ///
    /// Something is not there in the end, of which each reason was said.
    pub fn everything(&self, fetch: bool) -> Result<()> {
        self.store.lock()?;
        let guest = || -> Result<()> {
            if fetch {
                self.tools(&["busybox"], false)?;
                self.kernel_alone(None)?;
            }
            self.driver(None, &[])
        };
        let outcomes = thread::scope(|scope| {
            let qemu = fetch.then(|| scope.spawn(|| said(self.qemu())));
            let guest = scope.spawn(|| said(guest()));
            let host = said(self.cargo("host"));
            let fetched = [qemu, Some(guest)].into_iter().flatten();
            let mut complete = host;
            for part in fetched {
                complete &= part.join().unwrap_or(false);
            }
            complete
        });
        ensure!(outcomes, "not everything is there: see above");
        // By the compiler that was fetched for the driver.
        self.agent()?;
        self.initramfs(None)?;
        for home in entries(&self.store.path("kernels")) {
            let name = home.file_name().unwrap_or_default().to_string_lossy();
            if home.join("kernel/.complete").is_file() {
                self.guest(Some(&name))?;
            }
        }
        Ok(())
    }

    /// Builds driver and initial file system for the kernel of a name, or the guest's.
    pub(crate) fn guest(&self, kernel: Option<&str>) -> Result<()> {
        self.driver(kernel, &[])?;
        self.initramfs(kernel)
    }

    /// Compiles the agent, unless it came with a release.
    pub(crate) fn agent(&self) -> Result<()> {
        if self.root.join(AGENTS[0]).is_file() {
            return Ok(());
        }
        self.cargo("agent")
    }

    pub(crate) fn agent_path(&self) -> PathBuf {
        let [packed, own] = AGENTS.map(|path| self.root.join(path));
        if packed.is_file() { packed } else { own }
    }

    fn cargo(&self, what: &str) -> Result<()> {
        let script = self.root.join("images/cargo.sh");
        let status = programs::status(self.command(&script).arg(what));
        let status = status.map_err(|error| anyhow!("cannot run {}: {error}", script.display()))?;
        if !status.success() {
            bail!("cargo: the programs do not compile: see above");
        }
        Ok(())
    }
}

/// Whether it went well; if not, it was said.
fn said(outcome: Result<()>) -> bool {
    if let Err(error) = &outcome {
        say(&format!("error: {}", fetch::explained(error)));
    }
    outcome.is_ok()
}
