// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The life of a served device: a socket, one client at a time, one named
//! thread, and an end that somebody is told about.

mod function;
mod handle;
mod run;
mod stop;

use std::{
    fs, io, os::fd::OwnedFd, path::Path, process::ExitCode, sync::Arc, thread, time::Duration,
};

pub use function::Function;
pub use handle::ServerHandle;
pub use stop::Stopper;

pub use crate::device_panic::DevicePanic;

use self::handle::Outcome;
use crate::{
    device::PciDevice,
    device_panic::PanicWatch,
    spec::SpecError,
    vfio_user::socket::{BoundSocket, SocketError, unnamed},
};

/// A device that cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The device describes itself as something impossible.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The system has no thread or file descriptor left.
    #[error("cannot start the device's thread")]
    Thread(#[source] io::Error),
    /// The device panicked while it was attached.
    #[error("{0}")]
    Panicked(DevicePanic),
}

/// Why a server has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEnd {
    /// The client closed its connection.
    ClientLeft,
    /// It was told to stop.
    Stopped,
    /// The connection broke or made no sense, with the reason.
    Failed(String),
    /// The device panicked, in whichever of its parts.
    Panicked(DevicePanic),
}

impl ServerEnd {
    /// What a program that serves a device ends with: 0, 1 where the connection
    /// broke, and 101, as of any Rust program that panics, where the device did.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::ClientLeft | Self::Stopped => 0,
            Self::Failed(_) => 1,
            Self::Panicked(_) => 101,
        })
    }
}

/// What becomes of the server when its client leaves. Memory is unmapped and
/// interrupts are disconnected in any case: the next client brings its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Disconnect {
    /// It ends, and the device with it.
    #[default]
    End,
    /// The device goes back to the state after power on, for the next client.
    Reset,
    /// The device stays as it is, registers and configuration space too, for
    /// the next client. QEMU resets a device when it starts: what of it is to
    /// outlive that, it must keep over [`crate::ResetKind::Function`].
    Keep,
}

/// How a device is served.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Options {
    /// How long the server's thread spins for the next message before it
    /// sleeps. Makes answers come sooner, where a processor is free for it.
    pub poll: Duration,
    /// What becomes of it when its client leaves.
    pub disconnect: Disconnect,
}

impl Options {
    /// These, with a server's thread that spins for so long.
    #[must_use]
    pub const fn polling(self, poll: Duration) -> Self {
        Self { poll, ..self }
    }

    /// These, with what becomes of the device when its client leaves.
    #[must_use]
    pub const fn on_disconnect(self, disconnect: Disconnect) -> Self {
        Self { disconnect, ..self }
    }
}

/// A socket at a path, waiting for a device to serve.
#[derive(Debug)]
pub struct Server {
    socket: BoundSocket,
    options: Options,
}

impl Server {
    /// Listens at a path that must not exist yet, for its owner only (mode
    /// 0600). The path is removed when the server ends.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub fn bind(path: &Path) -> Result<Self, ServeError> {
        let socket = BoundSocket::bind(path)?;
        // What the device before may have left; there is none as a rule.
        let _ = fs::remove_file(DevicePanic::file(path));
        Ok(Self {
            socket,
            options: Options::default(),
        })
    }

    /// Serves in another way than [`Options::default`].
    #[must_use]
    pub fn options(self, options: Options) -> Self {
        Self { options, ..self }
    }

    /// Serves a device to whoever connects, one client at a time; without other
    /// options to the first one, until it leaves.
    ///
    /// # Errors
    /// When the device's description is wrong, or no thread can be had.
    pub fn serve(self, device: impl PciDevice) -> Result<ServerHandle, ServeError> {
        let listener = self.socket.listener().try_clone();
        let listener = listener.map_err(ServeError::Thread)?;
        let socket = Some(self.socket);
        start(Box::new(device), listener, socket, self.options)
    }
}

/// Serves a device on a socket without a path, and returns the handle by
/// which the hypervisor reaches it. Nothing is left on a disk, whoever dies
/// when.
///
/// QEMU takes no connected socket for this, but it takes the handle: let it
/// inherit the file descriptor, as number `N`, and name the socket
/// `/proc/self/fd/N`. Without [`serve_with`] other options, the handle is of no
/// use after QEMU has connected.
///
/// # Errors
/// When the device's description is wrong, or no socket or thread can be had.
pub fn serve(device: impl PciDevice) -> Result<(ServerHandle, OwnedFd), ServeError> {
    serve_with(device, Options::default())
}

/// [`serve`], in another way than [`Options::default`].
///
/// # Errors
/// As [`serve`].
pub fn serve_with(
    device: impl PciDevice,
    options: Options,
) -> Result<(ServerHandle, OwnedFd), ServeError> {
    let (listener, handle) = unnamed()?;
    let server = start(Box::new(device), listener, None, options)?;
    Ok((server, handle))
}

fn start(
    device: Box<dyn PciDevice>,
    listener: OwnedFd,
    socket: Option<BoundSocket>,
    options: Options,
) -> Result<ServerHandle, ServeError> {
    let watch = PanicWatch::default();
    let function = Function::watched(device, &watch).inspect_err(|_| {
        if let Some(socket) = &socket {
            watch.leave_at(socket.path());
        }
    })?;
    let (spec, hooks) = (function.spec().clone(), function.hooks().clone());
    let recorder = function.recorder();
    let outcome = Arc::new(Outcome::default());
    let stopper = Stopper::new(listener, Arc::clone(&outcome));
    let hang_up = stopper.clone();
    watch.then(move || hang_up.close());
    let for_thread = (Arc::clone(&outcome), stopper.clone());
    let thread = thread::Builder::new()
        .name("pci-device".into())
        .spawn(move || {
            let (outcome, stopper) = for_thread;
            let end = run::run(function, &watch, &stopper, options);
            if let Some(socket) = &socket {
                watch.leave_at(socket.path());
            }
            // The path goes before anybody hears of the end.
            drop(socket);
            outcome.set(end);
        })
        .map_err(ServeError::Thread)?;
    Ok(ServerHandle {
        outcome,
        stopper,
        spec,
        hooks,
        recorder,
        thread: Some(thread),
    })
}
