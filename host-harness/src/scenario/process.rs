// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device model that is started for a guest and ends with it.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::Signal;

use super::{
    ScenarioError,
    device::{SOCKET, reach},
};
use crate::{group, interrupt, qemu::die_with_parent, session::SessionError};

use crate::units::span;

/// How long a device model may take until it listens.
const LISTEN_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to end once it was told to.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Between two looks.
const SLICE: Duration = Duration::from_millis(10);

/// Makes sure that there is a program, and that it is told the socket.
pub(super) fn check(words: &[String]) -> Result<(), ScenarioError> {
    let wrong = |why: String| ScenarioError::Command {
        command: words.join(" "),
        why,
    };
    let Some((program, arguments)) = words.split_first() else {
        return Err(wrong("there is no program".to_owned()));
    };
    if !arguments.iter().any(|word| word.contains(SOCKET)) {
        return Err(wrong(format!("no argument names the socket, as {SOCKET}")));
    }
    if program.contains('/') && !Path::new(program).is_file() {
        return Err(wrong("there is no such program".to_owned()));
    }
    Ok(())
}

/// A running device model; dropping it ends it.
#[derive(Debug)]
pub(crate) struct DeviceProcess(Child);

impl DeviceProcess {
    /// Starts a device model and waits until it listens. Its socket lies in a
    /// folder of its own, which is gone on return: the handle stands for it.
    pub(super) fn start(words: &[String]) -> Result<(Self, OwnedFd), SessionError> {
        let failed = |why: String| SessionError::Device(format!("{}: {why}", words.join(" ")));
        let folder = tempfile::Builder::new().prefix("irqbed-").tempdir()?;
        let socket = folder.path().join("device");
        let told = |word: &String| word.replace(SOCKET, &socket.to_string_lossy());
        let (program, arguments) = words.split_first().ok_or_else(|| failed("empty".into()))?;
        let mut command = Command::new(program);
        command
            .args(arguments.iter().map(told))
            .stdin(Stdio::null())
            // Standard output is the guest's program's.
            .stdout(rustix::io::dup(io::stderr()).map_err(io::Error::from)?)
            .process_group(0);
        die_with_parent(&mut command, Signal::TERM);
        let child = command.spawn();
        let mut process = Self(child.map_err(|error| failed(error.to_string()))?);
        let deadline = Instant::now() + LISTEN_LIMIT;
        loop {
            interrupt::check()?;
            match reach(&socket) {
                Ok(handle) => return Ok((process, handle)),
                Err(why) if Instant::now() >= deadline => {
                    let limit = format!("it does not listen within {}", span(LISTEN_LIMIT));
                    return Err(failed(format!("{limit}: {why}")));
                }
                Err(_) => {}
            }
            if let Some(status) = process.0.try_wait()? {
                return Err(failed(format!("it ended before it listened ({status})")));
            }
            std::thread::sleep(SLICE);
        }
    }
}

impl Drop for DeviceProcess {
    fn drop(&mut self) {
        // Fails only where it is not ours to wait for, which it is.
        let _ = group::end(&mut self.0, END_LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_command_without_program_or_socket_is_refused() {
        for (command, why) in [
            (&[][..], "no program"),
            (&["device"], "{socket}"),
            (&["/nowhere/device", "{socket}"], "no such program"),
        ] {
            let error = check(&words(command)).expect_err("refused").to_string();
            assert!(error.contains(why), "{error}");
        }
        check(&words(&["sh", "--socket={socket}"])).expect("a command");
    }

    #[test]
    fn a_device_model_that_ends_at_once_is_not_waited_for() {
        let started = DeviceProcess::start(&words(&["sh", "-c", "exit 3", "{socket}"]));
        let error = started.expect_err("it ends").to_string();
        assert!(error.contains("exit status: 3"), "{error}");
    }
}
