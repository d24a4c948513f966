// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that takes its time, and ends when we are told to.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    process::{Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use rustix::process::Signal;

use super::AbError;
use crate::{group, interrupt, qemu::die_with_parent};

/// How long a program may take to end in good order.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A program that has ended by itself.
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

/// Runs a program to its end, and keeps what it says.
pub(super) fn run(command: &mut Command, what: String) -> Result<Ended, AbError> {
    let mut kept = || -> io::Result<_> {
        // Files, unlike pipes, do not fill up.
        let [mut stdout, mut stderr] = [tempfile::tempfile()?, tempfile::tempfile()?];
        command.stdout(stdout.try_clone()?);
        command.stderr(stderr.try_clone()?);
        let Some(status) = wait(command)? else {
            return Ok(None);
        };
        Ok(Some(Ended {
            status,
            stdout: contents(&mut stdout)?,
            stderr: contents(&mut stderr)?,
        }))
    };
    let ended = kept().map_err(AbError::io(what))?;
    ended.ok_or(interrupt::Interrupted.into())
}

/// Runs a program to its end; what it says goes to a file.
pub(super) fn run_logged(
    command: &mut Command,
    log: &File,
    what: String,
) -> Result<ExitStatus, AbError> {
    let mut logged = || -> io::Result<_> {
        command.stdout(log.try_clone()?);
        command.stderr(log.try_clone()?);
        wait(command)
    };
    let status = logged().map_err(AbError::io(what))?;
    status.ok_or(interrupt::Interrupted.into())
}

/// `None` when the user wants to stop; the program is gone then.
fn wait(command: &mut Command) -> io::Result<Option<ExitStatus>> {
    command.stdin(Stdio::null());
    // Out of the terminal's foreground group: Ctrl-C is ours.
    command.process_group(0);
    die_with_parent(command, Signal::TERM);
    let mut child = command.spawn()?;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if interrupt::check().is_err() {
            group::end(&mut child, PATIENCE)?;
            return Ok(None);
        }
        thread::sleep(LOOK);
    }
}

fn contents(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
