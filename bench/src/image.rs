// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest of the benches that measure from inside of it, built when one of
//! them runs.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use irqbed_machine::{artefacts::Artefacts, session::Session};

/// The program in the guest.
const PROGRAM: &str = "irqbed-bench-guest";

/// The parts of a guest with that program, and with the module for the devices
/// that ours is compared with.
///
/// # Errors
/// When they cannot be built, or `./just setup` has not run.
pub fn artefacts() -> Result<Artefacts> {
    let artefacts = Artefacts::locate()?;
    artefacts.check()?;
    let script = artefacts.folder.with_file_name("bench").join("image.sh");
    let status = Command::new(&script)
        .status()
        .with_context(|| format!("cannot run {}", script.display()))?;
    ensure!(status.success(), "the guest of the benches was not built");
    Ok(Artefacts {
        initramfs: artefacts.folder.join("bench/initramfs.cpio"),
        ..artefacts
    })
}

/// Runs the program to its end: the numbers that it printed, line by line.
///
/// # Errors
/// With its own words when it fails.
pub fn run(session: &mut Session, arguments: &[&str]) -> Result<Vec<Vec<u64>>> {
    let words: Vec<&str> = [PROGRAM].iter().chain(arguments).copied().collect();
    let (status, stdout, stderr) = session.run(&words)?;
    ensure!(status == 0, "{}", stderr.trim());
    let line = |line: &str| line.split_whitespace().map(str::parse).collect();
    let lines = stdout.lines().map(line).collect::<Result<_, _>>();
    lines.with_context(|| format!("{} printed what is no number", words.join(" ")))
}

/// Starts the program and leaves it behind.
///
/// # Errors
/// When the guest has no shell.
pub fn leave(session: &mut Session, arguments: &str) -> Result<()> {
    let command = format!("{PROGRAM} {arguments} >/dev/console 2>&1 &");
    let (status, _, stderr) = session.run(&["sh", "-c", &command])?;
    ensure!(status == 0, "{}", stderr.trim());
    Ok(())
}
