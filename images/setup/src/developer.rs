// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What only those need who work on irqbed itself: a browser that looks at reports, and the
//! tools that read the counters of coverage.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};
use irqbed_archive::archive::say;

use crate::{
    NEVER_OPENED, Setup,
    store::{entries, remove, write_script},
};

const ARCHIVE: &str = "bookworm";
/// The system's own will do.
const SYSTEMS: [&str; 4] = ["libc6", "libgcc-s1", "libstdc++6", "gcc-12-base"];
/// Graphics drivers and what only the packages' scripts call are a third of Chromium's
/// closure.
const SCRIPTS: [&str; 20] = [
    "adduser",
    "debconf",
    "debianutils",
    "dpkg",
    "libc-bin",
    "libdb5.3",
    "libgl1-mesa-dri",
    "libicu72",
    "libllvm15",
    "libpam",
    "libperl",
    "libz3-4",
    "login",
    "passwd",
    "perl",
    "sed",
    "sensible-utils",
    "tar",
    "ucf",
    "xdg-utils",
];
const LAUNCHER: &str = r#"# Not on a loader of its own: it starts itself again by its own name.
here=$(dirname "$(dirname "$(readlink -f "$0")")")
libraries=$here/usr/lib/x86_64-linux-gnu
LD_LIBRARY_PATH=$libraries:$here/lib/x86_64-linux-gnu:$libraries/pulseaudio \
  exec "$here/usr/lib/chromium/chromium-headless-shell" "$@"
"#;

/// Whether a package `NAME=VERSION` is one of these, or of a family of them.
fn is_one_of(package: &str, names: &[&str]) -> bool {
    let name = package.split('=').next().unwrap_or(package);
    names.iter().any(|one| match *one {
        "libpam" | "libperl" | "perl" => name.starts_with(one),
        one => name == one,
    })
}

impl Setup {
    /// Chromium without a window, in `.irqbed/chromium`, with every library that it opens,
    /// unless the system has one.
    ///
    /// # Errors
    ///
    /// It cannot be had, or does not run here.
    pub fn chromium(&self) -> Result<()> {
        let path = env::var_os("PATH").unwrap_or_default();
        if env::split_paths(&path).any(|folder| folder.join("chromium").is_file()) {
            return Ok(());
        }
        let package = "chromium-headless-shell";
        let recipe = format!("1 {package}");
        let made = self
            .store
            .part(&self.store.path("chromium"), &recipe, |new| {
                self.store.ensure_room(600, "Chromium")?;
                let archive = self.archive(ARCHIVE)?;
                let mut packages = archive.closure(ARCHIVE, &[package])?;
                packages.retain(|name| !is_one_of(name, &SYSTEMS) && !is_one_of(name, &SCRIPTS));
                let found = archive.newest(package)?.unwrap_or_default();
                archive.unpack(&format!("chromium: fetching {found}"), new, &packages)?;
                for name in NEVER_OPENED.iter().chain(&["usr/bin"]) {
                    remove(&new.join(name))?;
                }
                for library in entries(&new.join("usr/lib/chromium")) {
                    let name = library.file_name().unwrap_or_default().to_string_lossy();
                    if name.starts_with("libVkLayer") {
                        remove(&library)?;
                    }
                }
                fs::create_dir_all(new.join("bin"))?;
                let program = new.join("bin/chromium");
                write_script(&program, LAUNCHER)?;
                let mut check = self.command(program);
                check.args(["--no-sandbox", "--version"]);
                self.store
                    .run("chromium-check", &mut check)
                    .context("Chromium does not run here")
            })?;
        if let Some(took) = made {
            say(&format!("chromium: ready in {} s", took.as_secs()));
        }
        Ok(())
    }

    /// The tools of this LLVM, which are those of a rustc that has it inside; the folder they
    /// are in.
    ///
    /// # Errors
    ///
    /// They cannot be had.
    pub fn llvm(&self, major: u32) -> Result<PathBuf> {
        let home = self.store.path("llvm");
        self.store.part(&home, &format!("1 {major}"), |new| {
            self.store.ensure_room(800, &format!("LLVM {major}"))?;
            let archive = self.archive(ARCHIVE)?;
            let package = format!("llvm-{major}");
            let mut packages = archive.closure(ARCHIVE, &[&package])?;
            packages.retain(|name| !is_one_of(name, &SYSTEMS));
            let found = archive.newest(&package)?.unwrap_or_default();
            archive.unpack(&format!("llvm: fetching {found}"), new, &packages)
        })?;
        Ok(home)
    }
}
