// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The devices of a scenario: those of this project by name, served in this
//! process, and those of others at a socket.

use std::{
    fmt,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
};

use clap::ValueEnum;
use device_model::{
    Fault, Function, Options, PciDevice, ServerHandle,
    control::Target,
    edu::EduDevice,
    event::{EventDevice, EventSource},
    nic_lite::NicLite,
};
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket},
};

use super::{
    ScenarioError,
    process::{self, DeviceProcess},
};
use crate::session::SessionError;

/// A device that this project brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Builtin {
    /// The event device, which `irqbed raise` makes interrupt
    Event,
    /// QEMU's educational device, register by register
    Edu,
    /// A network card in miniature: queues, doorbells, a loop-back
    NicLite,
}

impl Builtin {
    /// The name on command lines and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Edu => "edu",
            Self::NicLite => "nic-lite",
        }
    }

    /// The device of a name.
    pub(super) fn named(name: &str) -> Result<Self, ScenarioError> {
        Self::from_str(name, false).map_err(|_| {
            let known = Self::value_variants().iter();
            let known = known.filter_map(|device| device.to_possible_value());
            let known: Vec<String> = known.map(|value| value.get_name().to_owned()).collect();
            ScenarioError::UnknownDevice {
                name: name.to_owned(),
                known: known.join(", "),
            }
        })
    }

    /// Whether it can have faults; `Err` with the reason.
    pub(super) fn can_have(self, faults: &[Fault]) -> Result<(), String> {
        let device: Box<dyn PciDevice> = match self {
            Self::Event => Box::new(EventDevice::new().map_err(|error| error.to_string())?),
            Self::Edu => Box::new(EduDevice::new()),
            Self::NicLite => Box::new(NicLite::new()),
        };
        let function = Function::new(device).map_err(|error| error.to_string())?;
        let checked = function.faults().check(faults);
        checked.map_err(|error| error.to_string())
    }

    pub(crate) fn serve(self, options: Options) -> Result<Served, SessionError> {
        match self {
            Self::Event => {
                let device = EventDevice::new().map_err(|error| failed(&error))?;
                let source = Some(device.source());
                Ok(Served {
                    source,
                    ..serve(device, options)?
                })
            }
            Self::Edu => serve(EduDevice::new(), options),
            Self::NicLite => serve(NicLite::new(), options),
        }
    }
}

fn serve(device: impl PciDevice, options: Options) -> Result<Served, SessionError> {
    let served = device_model::serve_with(device, options);
    let (server, handle) = served.map_err(|error| failed(&error))?;
    Ok(Served {
        server: Some(server),
        process: None,
        handle,
        source: None,
    })
}

pub(super) fn failed(error: &dyn std::error::Error) -> SessionError {
    SessionError::Device(error.to_string())
}

/// Where a device of a scenario comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Device {
    /// One of ours.
    Builtin(Builtin),
    /// One that somebody's device model serves at a socket.
    Socket(PathBuf),
    /// One that a device model serves which we start for it: program and
    /// arguments, with [`SOCKET`] where the socket is to be named.
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

/// Stands for the path of the socket in a device model's command.
pub const SOCKET: &str = "{socket}";

/// A device that QEMU can connect to.
#[derive(Debug)]
pub(crate) struct Served {
    /// Our server, where it is one of ours.
    pub(crate) server: Option<ServerHandle>,
    /// The process that serves it, where we started one.
    pub(crate) process: Option<DeviceProcess>,
    /// The handle of its socket.
    pub(crate) handle: OwnedFd,
    /// What raises its events, where it does.
    pub(crate) source: Option<EventSource>,
}

impl Served {
    /// What a control socket asks, where it is one of ours.
    pub(crate) fn target(&self) -> Option<Target> {
        let source = self.source.clone().map(Target::Event);
        source.or_else(|| Some(Target::Other(self.server.as_ref()?.faults().clone())))
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
            Self::Command(words) => process::check(words),
        }
    }

    /// Serves it, where it is one of ours in this way, or finds who does.
    pub(super) fn serve(&self, options: Options) -> Result<Served, SessionError> {
        match self {
            Self::Builtin(device) => device.serve(options),
            Self::Socket(path) => Ok(Served {
                server: None,
                process: None,
                handle: reach(path)
                    .map_err(|why| SessionError::Device(format!("{}: {why}", path.display())))?,
                source: None,
            }),
            Self::Command(words) => {
                let (process, handle) = DeviceProcess::start(words)?;
                Ok(Served {
                    server: None,
                    process: Some(process),
                    handle,
                    source: None,
                })
            }
        }
    }
}

/// A handle of a socket where somebody listens; `Err` with the reason. A device
/// model may take one connection and no more, so none is made.
pub(crate) fn reach(path: &Path) -> Result<OwnedFd, String> {
    let handle =
        open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| match errno {
            Errno::NOENT => "there is no such socket: start the device model first".to_owned(),
            errno => errno.to_string(),
        })?;
    let found = fstat(&handle).map_err(|errno| errno.to_string())?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err("it is no socket".to_owned());
    }
    // A socket of another type finds out whether somebody has this one, and
    // does not connect to a stream (unix_find_other of the kernel).
    let probe = socket(AddressFamily::UNIX, SocketType::DGRAM, None);
    let address = SocketAddrUnix::new(format!("/proc/self/fd/{}", handle.as_raw_fd()));
    let connected = probe.and_then(|probe| connect(probe, &address?));
    match connected {
        Err(Errno::PROTOTYPE) => Ok(handle),
        Err(Errno::CONNREFUSED) => Err("nobody listens there (any more)".to_owned()),
        Err(errno) => Err(errno.to_string()),
        Ok(()) => Err("it is a datagram socket".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;

    #[test]
    fn an_unknown_device_is_answered_with_those_there_are() {
        let error = Builtin::named("toaster").expect_err("none").to_string();
        assert!(
            error.contains("toaster") && error.contains("event"),
            "{error}"
        );
    }

    #[test]
    fn a_socket_is_reached_only_where_somebody_listens_and_is_not_connected_to() {
        let folder = tempfile::tempdir().expect("a folder");
        // Longer than a socket's address may be.
        let deep = folder.path().join("x".repeat(100));
        std::fs::create_dir(&deep).expect("a folder");
        let short = folder.path().join("device");
        let why = |path: &Path| reach(path).expect_err("none");
        assert!(why(&short).contains("no such socket"));
        assert!(why(folder.path()).contains("no socket"));

        let listener = UnixListener::bind(&short).expect("a socket");
        let long = deep.join("device");
        std::fs::rename(&short, &long).expect("the same file system");
        reach(&long).expect("somebody listens");
        listener.set_nonblocking(true).expect("a socket");
        assert!(listener.accept().is_err(), "it was connected to");
        drop(listener);
        assert!(why(&long).contains("nobody listens"));

        let _datagrams = UnixDatagram::bind(&short).expect("a socket");
        assert!(why(&short).contains("datagram"));
    }
}
