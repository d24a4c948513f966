// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that takes its time, and ends when we are told to.

use std::{
    fs::File,
    io::{self, Read, Seek, Write},
    os::unix::process::CommandExt,
    process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

use irqbed_machine::{
    group, interrupt,
    lines::{LineError, Lines},
    qemu::die_with_parent,
};
use rustix::process::Signal;

use super::AbError;
use crate::bench_orders::{Answer, Order};

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
        command.stdin(Stdio::null());
        command.stdout(stdout.try_clone()?);
        command.stderr(stderr.try_clone()?);
        let Some(status) = start(command)?.wait()? else {
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
        command.stdin(Stdio::null());
        command.stdout(log.try_clone()?);
        command.stderr(log.try_clone()?);
        start(command)?.wait()
    };
    let status = logged().map_err(AbError::io(what))?;
    status.ok_or(interrupt::Interrupted.into())
}

/// A program that runs; dropping it ends it and what it has started.
struct Running(Child);

fn start(command: &mut Command) -> io::Result<Running> {
    // Out of the terminal's foreground group: Ctrl-C is ours.
    command.process_group(0);
    die_with_parent(command, Signal::TERM);
    command.spawn().map(Running)
}

impl Running {
    /// Waits for its end; `None` when the user wants to stop.
    fn wait(mut self) -> io::Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if interrupt::check().is_err() {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended by itself has ended its guest before.
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            // Fails only where it is not ours to wait for, which it is.
            let _ = group::end(&mut self.0, PATIENCE);
        }
    }
}

/// A bench that takes turns.
pub(super) struct Bench {
    running: Running,
    orders: ChildStdin,
    answers: Lines<ChildStdout>,
    stderr: File,
}

impl Bench {
    pub(super) fn start(command: &mut Command) -> io::Result<Self> {
        let stderr = tempfile::tempfile()?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command.stderr(stderr.try_clone()?);
        let mut running = start(command)?;
        let gone = || io::Error::other("a pipe to it is missing");
        let orders = running.0.stdin.take().ok_or_else(gone)?;
        let answers = Lines::new(running.0.stdout.take().ok_or_else(gone)?);
        Ok(Self {
            running,
            orders,
            answers,
            stderr,
        })
    }

    /// Gives an order. One that has ended does not take it, and will not answer.
    pub(super) fn tell(&mut self, order: &Order) {
        let line = serde_json::to_string(order).unwrap_or_default() + "\n";
        if let Err(error) = self.orders.write_all(line.as_bytes()) {
            tracing::debug!("an order was not taken: {error}");
        }
    }

    /// Waits for an answer; `None` where none comes any more.
    pub(super) fn answer(&mut self) -> Result<Option<Answer>, LineError> {
        let Some(line) = self.answers.line()? else {
            return Ok(None);
        };
        let answer = serde_json::from_str(&line).map_err(io::Error::from)?;
        Ok(Some(answer))
    }

    /// Waits until it has ended, which it does by itself when its orders end.
    /// `None` when the user wants to stop.
    pub(super) fn end(self) -> Result<Option<Ended>, LineError> {
        let Self {
            running,
            orders,
            mut answers,
            mut stderr,
        } = self;
        drop(orders);
        let stdout = answers.rest()?;
        let Some(status) = running.wait()? else {
            return Ok(None);
        };
        Ok(Some(Ended {
            status,
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: contents(&mut stderr)?,
        }))
    }
}

fn contents(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
