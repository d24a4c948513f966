// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The whole of a program that serves a device of one's own: `PROGRAM SOCKET [--control
//! SOCKET]`. At the control socket faults are armed, by a scenario of `irqbed test` or by
//! `irqbed fault`.

use std::{
    env,
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use crate::{
    FaultInjection, PciDevice, Server,
    control::{ControlServer, Target},
    log,
};

/// Exit status where the arguments make no sense.
const USAGE: u8 = 2;

/// What a device's program is told.
#[derive(Debug, PartialEq, Eq)]
struct Arguments {
    socket: PathBuf,
    control: Option<PathBuf>,
}

impl Arguments {
    /// `None` where they make no sense.
    fn read(mut words: impl Iterator<Item = OsString>) -> Option<Self> {
        let (mut socket, mut control) = (None, None);
        while let Some(word) = words.next() {
            let text = word.to_string_lossy();
            let (place, value) = if text == "--control" {
                (&mut control, words.next()?)
            } else if let Some(path) = text.strip_prefix("--control=") {
                (&mut control, path.to_owned().into())
            } else if text.starts_with('-') {
                return None;
            } else {
                (&mut socket, word)
            };
            if value.is_empty() || place.replace(PathBuf::from(value)).is_some() {
                return None;
            }
        }
        Some(Self {
            socket: socket?,
            control,
        })
    }
}

/// Serves a device at the socket that the command line names, until QEMU leaves. What the
/// library warns of goes to standard error; the variable `IRQBED_LOG` says what is logged
/// (`debug` says more).
///
/// The exit status is 0 where QEMU has left, 1 where the device panicked or could not be
/// served, and 2 for a command line that makes no sense.
///
/// ```no_run
/// use device_model::{DeviceSpec, Identity, PciDevice};
///
/// struct Card;
///
/// impl PciDevice for Card {
///     fn spec(&self) -> DeviceSpec {
///         DeviceSpec::new(Identity::new(0x1bed, 0x0001))
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     device_model::program::main(Card)
/// }
/// ```
pub fn main(device: impl PciDevice) -> ExitCode {
    log::to_stderr("warn");
    let mut words = env::args_os();
    let path = words.next().unwrap_or_default();
    let name = Path::new(&path).file_name().unwrap_or_default();
    let name = name.to_string_lossy();
    let Some(arguments) = Arguments::read(words) else {
        log::say(format_args!("usage: {name} SOCKET [--control SOCKET]"));
        return USAGE.into();
    };
    let failed = |what: &dyn fmt::Display| {
        log::say(format_args!("{name}: error: {what}"));
        ExitCode::FAILURE
    };
    let served = Server::bind(&arguments.socket).map(|server| server.serve(device));
    let server = match served {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return failed(&error),
        Err(error) => return failed(&error),
    };
    let target = Target::Other(server.faults());
    let control = arguments.control.as_deref();
    let _control = match control.map(|path| ControlServer::bind(path, target)) {
        Some(Err(error)) => return failed(&error),
        control => control,
    };
    server.exit_code()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Option<(PathBuf, Option<PathBuf>)> {
        let read = Arguments::read(words.iter().map(OsString::from));
        read.map(|arguments| (arguments.socket, arguments.control))
    }

    #[test]
    fn a_program_is_told_its_sockets() {
        let both = Some(("a".into(), Some("b".into())));
        assert_eq!(read(&["a"]), Some(("a".into(), None)));
        assert_eq!(read(&["a", "--control", "b"]), both);
        assert_eq!(read(&["--control=b", "a"]), both);
        for wrong in [
            &[][..],
            &["--control", "b"],
            &["a", "b"],
            &["a", "--control"],
            &["a", "--control="],
            &["a", "--frob"],
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
