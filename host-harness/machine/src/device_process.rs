// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device model that is started for a guest and ends with it.

use std::{
    fmt, io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    console::Console,
    group, interrupt,
    qemu::die_with_parent,
    served::{CONTROL, ControlHandle, SOCKET, Served, reach},
    session::SessionError,
    span::span,
};

/// How long a device model may take until it listens.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to end once it was told to.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks.
const SLICE: Duration = Duration::from_millis(10);
/// Lines that are kept of what it says last.
const SAID: usize = 400;
/// What Rust says of a thread that panics.
const PANIC: &str = "panicked at";

/// A running device model; dropping it ends it.
#[derive(Debug)]
pub struct DeviceProcess {
    child: Child,
    /// As it was started.
    command: String,
    /// What it says, which is passed on to standard error.
    said: Console,
}

impl DeviceProcess {
    /// Starts a device model and waits until it listens, also at its control socket, if the
    /// words name one. Its sockets lie in a folder of its own, which is gone on return:
    /// handles stand for them.
    ///
    /// # Errors
    /// [`SessionError::Device`] where it does not start or does not listen in time.
    pub fn start(words: &[String]) -> Result<Served, SessionError> {
        let failed = |why: String| SessionError::Device(format!("{}: {why}", words.join(" ")));
        let folder = tempfile::Builder::new().prefix("irqbed-").tempdir()?;
        let socket = folder.path().join("device");
        let control = folder.path().join("control");
        let told = |word: &String| {
            let word = word.replace(SOCKET, &socket.to_string_lossy());
            word.replace(CONTROL, &control.to_string_lossy())
        };
        let control = has_control(words).then_some(control.as_path());
        let (heard, said) = io::pipe()?;
        let (program, arguments) = words.split_first().ok_or_else(|| failed("empty".into()))?;
        let mut command = Command::new(program);
        command
            .args(arguments.iter().map(told))
            .stdin(Stdio::null())
            // Standard output is the guest's program's.
            .stdout(said.try_clone()?)
            .stderr(said)
            .process_group(0);
        die_with_parent(&mut command, Signal::TERM);
        let child = command.spawn().map_err(|error| failed(error.to_string()))?;
        // It holds the ends that are written to.
        drop(command);
        let mut process = Self {
            child,
            command: words.join(" "),
            said: Console::follow_aloud("device-said", heard),
        };
        let deadline = Instant::now() + LISTEN_LIMIT;
        loop {
            interrupt::check()?;
            match reach_both(&socket, control) {
                Ok(served) => {
                    return Ok(Served {
                        process: Some(process),
                        ..served
                    });
                }
                Err(why) if Instant::now() >= deadline => {
                    let limit = format!("it does not listen within {}", span(LISTEN_LIMIT));
                    return Err(failed(format!("{limit}: {why}")));
                }
                Err(_) => {}
            }
            if let Some(end) = process.ended() {
                return Err(SessionError::Device(format!("it never listened: {end}")));
            }
            std::thread::sleep(SLICE);
        }
    }
}

impl DeviceProcess {
    /// How it ended, if it has: its command, its status, and what it said last.
    pub fn ended(&mut self) -> Option<DeviceEnd> {
        let status = self.child.try_wait().ok()??;
        // The reader may be a moment behind the process.
        std::thread::sleep(SLICE);
        Some(DeviceEnd {
            command: self.command.clone(),
            status,
            said: self.said.tail(SAID),
        })
    }
}

/// Whether a device model is told where to have a control socket.
#[must_use]
pub fn has_control(words: &[String]) -> bool {
    words.iter().any(|word| word.contains(CONTROL))
}

fn reach_both(socket: &Path, control: Option<&Path>) -> Result<Served, String> {
    let control = control.map(|path| {
        let reached = ControlHandle::reach(path);
        reached.map_err(|why| format!("its control socket: {why}"))
    });
    Ok(Served {
        control: control.transpose()?,
        ..Served::at(reach(socket)?)
    })
}

/// How a device model ended.
#[derive(Debug)]
pub struct DeviceEnd {
    command: String,
    status: ExitStatus,
    said: Vec<String>,
}

impl DeviceEnd {
    /// Whether it ended otherwise than one does whose client has left.
    pub fn is_failure(&self) -> bool {
        !self.status.success() || self.is_panic()
    }

    /// Whether a thread of it panicked, as Rust says it.
    pub fn is_panic(&self) -> bool {
        self.said.iter().any(|line| line.contains(PANIC))
    }
}

impl fmt::Display for DeviceEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            command, status, ..
        } = self;
        write!(f, "its device model {command} ended ({status})")?;
        // The place of a panic is in one line, and what it says in the next.
        let panic = self.said.iter().position(|line| line.contains(PANIC));
        let last = self.said.len().saturating_sub(2);
        let lines = self.said.iter().skip(panic.unwrap_or(last)).take(2);
        let lines: Vec<&str> = lines.map(|line| line.trim()).collect();
        match lines[..] {
            [] => Ok(()),
            _ => write!(f, "; it said: {}", lines.join(" ")),
        }
    }
}

impl Drop for DeviceProcess {
    fn drop(&mut self) {
        // Fails only where it is not ours to wait for, which it is.
        let _ = group::end(&mut self.child, END_LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_device_model_that_ends_at_once_is_not_waited_for() {
        let started = DeviceProcess::start(&words(&["sh", "-c", "exit 3", "{socket}"]));
        let error = started.expect_err("it ends").to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
