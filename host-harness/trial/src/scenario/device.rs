// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the devices of a scenario come from: those of this project are served in
//! this process, and those of others at a socket.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use device_model::Options;
use irqbed_machine::{
    builtin::{Builtin, DeviceOptions},
    device_process::{DeviceProcess, has_control},
    served::{SOCKET, Served, reach},
    session::SessionError,
};
use serde::{Deserialize, Serialize};

use super::ScenarioError;

/// The device of this project that has a name.
pub(super) fn builtin(name: &str) -> Result<Builtin, ScenarioError> {
    Builtin::from_str(name, false).map_err(|_| {
        let known = Builtin::value_variants().iter();
        let known = known.filter_map(|device| device.to_possible_value());
        let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
        ScenarioError::UnknownDevice {
            name: name.to_owned(),
            known: known.join(", "),
        }
    })
}

/// Where a device of a scenario comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Device {
    /// One of ours.
    Builtin(Builtin),
    /// One that somebody's device model serves at a socket.
    Socket(PathBuf),
    /// One that a device model serves which we start for it: program and
    /// arguments, with [`SOCKET`] where the socket is to be named. No other process
    /// may ask for it.
    #[serde(skip)]
    Command(Vec<String>),
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(device) => f.write_str(device.as_str()),
            Self::Socket(path) => write!(f, "at {}", path.display()),
            Self::Command(words) => write!(f, "of {}", words.join(" ")),
        }
    }
}

impl Device {
    /// What it is called where its faults are listed: the name of one of ours, or of the
    /// program that serves it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Builtin(device) => device.as_str().to_owned(),
            Self::Socket(path) => path.display().to_string(),
            Self::Command(words) => {
                let program = Path::new(words.first().map_or("", String::as_str));
                let name = program.file_name().unwrap_or_default();
                name.to_string_lossy().into_owned()
            }
        }
    }

    /// Whether a device model that we start for it can give it faults.
    pub(super) fn has_control(&self) -> bool {
        matches!(self, Self::Command(words) if has_control(words))
    }

    /// What it is called in a sentence.
    #[must_use]
    pub fn title(&self) -> String {
        match self {
            Self::Builtin(device) => device.as_str().to_owned(),
            other => format!("the device {other}"),
        }
    }
}

impl Device {
    /// Makes sure that there is one.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        match self {
            Self::Builtin(_) => Ok(()),
            Self::Socket(path) => reach(path).map(drop).map_err(|why| ScenarioError::Socket {
                path: path.clone(),
                why,
            }),
            Self::Command(words) => check_command(words),
        }
    }

    /// Serves it, where it is one of ours, or finds who does.
    pub(super) fn serve(
        &self,
        options: DeviceOptions,
        how: Options,
    ) -> Result<Served, SessionError> {
        match self {
            Self::Builtin(device) => device.serve(options, how),
            Self::Socket(path) => {
                let handle = reach(path);
                let handle = handle
                    .map_err(|why| SessionError::Device(format!("{}: {why}", path.display())))?;
                Ok(Served::at(handle))
            }
            Self::Command(words) => DeviceProcess::start(words),
        }
    }
}

/// Makes sure that there is a program, and that it is told the socket.
fn check_command(words: &[String]) -> Result<(), ScenarioError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_unknown_device_is_answered_with_those_there_are() {
        let error = builtin("toaster").expect_err("none").to_string();
        assert!(
            error.contains("toaster") && error.contains("event"),
            "{error}"
        );
    }

    #[test]
    fn a_command_without_program_or_socket_is_refused() {
        for (command, why) in [
            (&[][..], "no program"),
            (&["device"], "{socket}"),
            (&["/nowhere/device", "{socket}"], "no such program"),
        ] {
            let error = check_command(&words(command))
                .expect_err("refused")
                .to_string();
            assert!(error.contains(why), "{error}");
        }
        check_command(&words(&["sh", "--socket={socket}"])).expect("a command");
    }
}
