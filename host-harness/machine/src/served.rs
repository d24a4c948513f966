// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who serves a device that QEMU connects to: this process, or another one at a socket.

use std::{
    fs,
    os::fd::{AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::Arc,
};

use device_model::{
    Fault, FaultInjection, Faults, Options, PciDevice, ServeError, ServerHandle,
    control::{ClientError, ControlClient, Reply, Request, Target},
    event::EventSource,
    fault::FaultReport,
};
use rustix::{
    fs::{FileType, Mode, OFlags, fstat, open},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketType, connect, socket},
};

use crate::device_process::DeviceProcess;

/// Stands for the path of the socket in a device model's command.
pub const SOCKET: &str = "{socket}";
/// The same for its control socket.
pub const CONTROL: &str = "{control}";
/// Set among the flags in `/proc/net/unix` where a socket listens: `SO_ACCEPTCON`.
const LISTENS: u32 = 1 << 16;
/// The state there of one that is no end of a connection: `SS_UNCONNECTED`.
const UNCONNECTED: &str = "01";

/// A device that QEMU can connect to.
#[derive(Debug)]
pub struct Served {
    /// Our server, where it is one of ours.
    pub server: Option<ServerHandle>,
    /// The process that serves it, where we started one.
    pub process: Option<DeviceProcess>,
    /// The handle of its socket.
    pub handle: OwnedFd,
    /// The control socket of that process, where it has one.
    pub control: Option<ControlHandle>,
    /// What raises its events, where it does.
    pub source: Option<EventSource>,
}

impl Served {
    /// One that this process serves from now on. What raises its events, if it has
    /// any, is not known.
    pub fn by_us(device: impl PciDevice, options: Options) -> Result<Self, ServeError> {
        let (server, handle) = device_model::serve_with(device, options)?;
        Ok(Self {
            server: Some(server),
            ..Self::at(handle)
        })
    }

    /// One that somebody else serves, at the socket of this handle.
    pub fn at(handle: OwnedFd) -> Self {
        Self {
            server: None,
            process: None,
            control: None,
            handle,
            source: None,
        }
    }

    /// What a control socket asks, where it is one of ours.
    pub fn target(&self) -> Option<Target> {
        let source = self.source.clone().map(Target::Event);
        source.or_else(|| Some(Target::Other(self.server.as_ref()?.faults())))
    }
}

impl Served {
    /// By what it is given faults, where it can have any.
    pub fn faults(&self) -> Option<FaultControl> {
        let ours = self.server.as_ref();
        let ours = ours.map(|server| FaultControl::Ours(server.faults()));
        ours.or_else(|| self.control.clone().map(FaultControl::Theirs))
    }
}

/// The control socket of a device model, by its handle: its path may be gone.
#[derive(Debug, Clone)]
pub struct ControlHandle(Arc<OwnedFd>);

impl ControlHandle {
    /// One that listens at a path; `Err` with the reason.
    pub fn reach(path: &Path) -> Result<Self, String> {
        reach(path).map(|handle| Self(Arc::new(handle)))
    }

    fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        ControlClient::connect(&path_of(&self.0))?.ask(request)
    }
}

/// By what a device is given faults.
#[derive(Debug, Clone)]
pub enum FaultControl {
    /// It is one of ours.
    Ours(Faults),
    /// Its process listens.
    Theirs(ControlHandle),
}

impl FaultControl {
    /// Arms faults, all of them or none; `Err` with the reason.
    ///
    /// # Errors
    /// The device cannot have one of them, or does not answer.
    pub fn arm(&self, faults: &[Fault]) -> Result<(), String> {
        if faults.is_empty() {
            return Ok(());
        }
        let request = || Request::Arm {
            faults: faults.to_vec(),
        };
        match self {
            Self::Ours(ours) => {
                let armed = ours.arm_all(faults);
                armed.map(drop).map_err(|error| error.to_string())
            }
            Self::Theirs(control) => match control.ask(&request()) {
                Ok(Reply::Armed { .. }) => Ok(()),
                Ok(Reply::Failed { error }) => Err(error),
                Ok(other) => Err(format!("its device model answers {other:?}")),
                Err(error) => Err(error.to_string()),
            },
        }
    }

    /// Those that are armed, and what each did; none of a process that has ended.
    pub fn list(&self) -> Vec<FaultReport> {
        match self {
            Self::Ours(ours) => ours.list(),
            Self::Theirs(control) => match control.ask(&Request::Faults) {
                Ok(Reply::Faults { faults }) => faults,
                answer => {
                    tracing::warn!("a device model does not say what its faults did: {answer:?}");
                    Vec::new()
                }
            },
        }
    }
}

/// A path of what a handle is of, also where it has none any more.
fn path_of(handle: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", handle.as_raw_fd()).into()
}

/// A handle of a socket where somebody listens; `Err` with the reason. A device
/// model may take one connection and no more, so none is made.
pub fn reach(path: &Path) -> Result<OwnedFd, String> {
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
    let address = SocketAddrUnix::new(path_of(&handle));
    let connected = probe.and_then(|probe| connect(probe, &address?));
    match connected {
        Err(Errno::PROTOTYPE) if is_only_bound(path) => Err("nobody listens there yet".to_owned()),
        Err(Errno::PROTOTYPE) => Ok(handle),
        Err(Errno::CONNREFUSED) => Err("nobody listens there (any more)".to_owned()),
        Err(errno) => Err(errno.to_string()),
        Ok(()) => Err("it is a datagram socket".to_owned()),
    }
}

/// Whether a socket bound to this path does not listen, as far as the kernel shows: it
/// has a list for each network namespace, by the paths that were given to bind(). The
/// connections that were accepted stand there with the path of their listener.
fn is_only_bound(path: &Path) -> bool {
    let sockets = fs::read_to_string("/proc/net/unix").unwrap_or_default();
    let mut unconnected = sockets.lines().filter_map(|line| {
        let mut fields = line.split_whitespace();
        let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        let state = fields.nth(1)?;
        (state == UNCONNECTED && fields.nth(1).map(Path::new) == Some(path)).then_some(flags)
    });
    unconnected.next().is_some_and(|flags| flags & LISTENS == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};

    use rustix::net::{bind, listen};

    use super::*;

    #[test]
    fn a_socket_is_reached_only_where_somebody_listens_and_is_not_connected_to() {
        let folder = tempfile::tempdir().expect("a folder");
        // Longer than a socket's address may be.
        let deep = folder.path().join("x".repeat(100));
        fs::create_dir(&deep).expect("a folder");
        let short = folder.path().join("device");
        let why = |path: &Path| reach(path).expect_err("none");
        assert!(why(&short).contains("no such socket"));
        assert!(why(folder.path()).contains("no socket"));

        let bound = socket(AddressFamily::UNIX, SocketType::STREAM, None).expect("a socket");
        bind(&bound, &SocketAddrUnix::new(&short).expect("short")).expect("a path");
        assert!(why(&short).contains("yet"));
        listen(&bound, 1).expect("a socket");
        reach(&short).expect("somebody listens");
        fs::remove_file(&short).expect("the socket");

        let listener = UnixListener::bind(&short).expect("a socket");
        let long = deep.join("device");
        fs::rename(&short, &long).expect("the same file system");
        reach(&long).expect("somebody listens");
        listener.set_nonblocking(true).expect("a socket");
        assert!(listener.accept().is_err(), "it was connected to");
        drop(listener);
        assert!(why(&long).contains("nobody listens"));

        // The kernel shows connections in no order.
        let listener = UnixListener::bind(&short).expect("a socket");
        let connections = [(); 16].map(|()| {
            let client = UnixStream::connect(&short).expect("somebody listens");
            (client, listener.accept().expect("a connection"))
        });
        reach(&short).expect("somebody listens, beside connections");
        drop((connections, listener));
        fs::remove_file(&short).expect("the socket");

        let _datagrams = UnixDatagram::bind(&short).expect("a socket");
        assert!(why(&short).contains("datagram"));
    }
}
