// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU, with every library it needs, in `.irqbed/qemu`: it runs on its own loader, so the
//! system's libraries may be older.

use std::fs;

use anyhow::{Context, Result};
use irqbed_archive::archive::say;

use crate::{
    NEVER_OPENED, Setup,
    store::{remove, write_script},
    variable,
};

/// The archive of the suite that has it.
const ARCHIVE: &str = "trixie";
/// What no guest of ours needs.
const UNUSED: [&str; 3] = ["etc", "usr/lib/systemd", "usr/bin/qemu-system-i386"];
const LAUNCHER: &str = r#"# QEMU on its own loader and libraries; exec, so that its pid is this one. It runs
# no other program, which would outlive a shell that is killed.
file=$0
[ ! -h "$file" ] || file=$(readlink -f "$file")
here=${file%/*}/..
libraries=$here/usr/lib/x86_64-linux-gnu
QEMU_MODULE_DIR=$libraries/qemu exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" \
  "$here/usr/bin/qemu-system-x86_64" -L "$here/usr/share/qemu" -L "$here/usr/share/seabios" "$@"
"#;

impl Setup {
    /// Fetches QEMU, unless the user has put another one in its place.
    pub(crate) fn qemu(&self) -> Result<()> {
        if variable("IRQBED_QEMU").is_some() {
            return Ok(());
        }
        let [suite, wanted] = ["QEMU_SUITE", "QEMU_VERSION"].map(|name| self.versions.get(name));
        let recipe = format!("2 {suite} {wanted}");
        let made = self.store.part(&self.store.path("qemu"), &recipe, |new| {
            self.store.ensure_room(350, "QEMU")?;
            let archive = self.archive(ARCHIVE)?;
            let version = archive.pinned("qemu", "qemu-system-x86", wanted, Some(suite))?;
            let version = version.with_context(|| {
                format!(
                    "the Debian mirror has no qemu-system-x86 in {suite}: name one that has by \
                     IRQBED_DEBIAN_MIRROR, or a QEMU of 10.1 or newer by IRQBED_QEMU"
                )
            })?;
            let packages = archive.closure(suite, &[&format!("qemu-system-x86={version}")])?;
            let short = version.split_once(':').map_or(&*version, |(_, rest)| rest);
            archive.unpack(&format!("qemu: fetching {short}"), new, &packages)?;
            for name in NEVER_OPENED.iter().chain(&UNUSED) {
                remove(&new.join(name))?;
            }
            fs::create_dir(new.join("bin"))?;
            let program = new.join("bin/qemu-system-x86_64");
            write_script(&program, LAUNCHER)?;
            let mut check = self.command(program);
            check.args(["-device", "vfio-user-pci,help"]);
            self.store.run("qemu-check", &mut check).with_context(|| {
                format!("QEMU {version} does not run here, or has no vfio-user client")
            })?;
            Ok(fs::write(new.join("version"), format!("{version}\n"))?)
        })?;
        if let Some(took) = made {
            say(&format!("qemu: ready in {} s", took.as_secs()));
        }
        Ok(())
    }
}
