// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The life of a served device: a socket, one client, one named thread, and
//! an end that somebody is told about.

mod backend;
mod stop;
mod window;

use std::{
    io,
    os::fd::OwnedFd,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

pub use stop::Stopper;

use self::backend::Backend;
use crate::{
    device::PciDevice,
    socket::{BoundSocket, SocketError, unnamed},
    spec::SpecError,
};

/// How long a dropped [`ServerHandle`] waits for its thread.
const DROP_BOUND: Duration = Duration::from_secs(2);

/// A device that cannot be served.
#[derive(Debug, thiserror::Error)]
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
}

/// Why a server has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerEnd {
    /// The client closed its connection.
    ClientLeft,
    /// It was told to stop.
    Stopped,
    /// The connection broke, with the reason.
    Failed(String),
    /// A message that the protocol's implementation could not take, or an
    /// error in the device, with the message of the panic.
    Panicked(String),
}

/// The end of a server, once there is one.
#[derive(Debug, Default)]
struct Outcome {
    end: Mutex<Option<ServerEnd>>,
    ended: Condvar,
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, Option<ServerEnd>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, end: ServerEnd) {
        *self.lock() = Some(end);
        self.ended.notify_all();
    }

    /// The end, if it comes within `timeout`; `None` waits for ever.
    fn wait(&self, timeout: Option<Duration>) -> Option<ServerEnd> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut end = self.lock();
        while end.is_none() {
            end = match until {
                None => self.ended.wait(end).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let waited = self.ended.wait_timeout(end, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        end.clone()
    }
}

/// A socket at a path, waiting for a device to serve.
#[derive(Debug)]
pub struct Server {
    socket: BoundSocket,
}

impl Server {
    /// Listens at a path that must not exist yet, for its owner only (mode
    /// 0600). The path is removed when the server ends.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub fn bind(path: &Path) -> Result<Self, ServeError> {
        Ok(Self {
            socket: BoundSocket::bind(path)?,
        })
    }

    /// Serves a device to the first client that connects, until it leaves.
    ///
    /// # Errors
    /// When the device's description is wrong, or no thread can be had.
    pub fn serve(self, device: impl PciDevice) -> Result<ServerHandle, ServeError> {
        let listener = self.socket.listener().try_clone();
        let listener = listener.map_err(ServeError::Thread)?;
        start(Box::new(device), listener, Some(self.socket))
    }
}

/// Serves a device on a socket without a path, and returns the handle by
/// which the hypervisor reaches it. Nothing is left on a disk, whoever dies
/// when.
///
/// QEMU takes no connected socket for this, but it takes the handle: let it
/// inherit the file descriptor, as number `N`, and name the socket
/// `/proc/self/fd/N`. The handle is of no use after QEMU has connected.
///
/// # Errors
/// When the device's description is wrong, or no socket or thread can be had.
pub fn serve(device: impl PciDevice) -> Result<(ServerHandle, OwnedFd), ServeError> {
    let (listener, handle) = unnamed()?;
    Ok((start(Box::new(device), listener, None)?, handle))
}

fn start(
    device: Box<dyn PciDevice>,
    listener: OwnedFd,
    socket: Option<BoundSocket>,
) -> Result<ServerHandle, ServeError> {
    let backend = Backend::new(device)?;
    let outcome = Arc::new(Outcome::default());
    let stopper = Stopper::new(&listener, Arc::clone(&outcome)).map_err(ServeError::Thread)?;
    let for_thread = (Arc::clone(&outcome), stopper.clone());
    let thread = thread::Builder::new()
        .name("pci-device".into())
        .spawn(move || {
            let (outcome, stopper) = for_thread;
            let end = run(backend, listener);
            // The path goes before anybody hears of the end.
            drop(socket);
            outcome.set(if stopper.requested() {
                ServerEnd::Stopped
            } else {
                end
            });
        })
        .map_err(ServeError::Thread)?;
    Ok(ServerHandle {
        outcome,
        stopper,
        thread: Some(thread),
    })
}

fn run(mut backend: Backend, listener: OwnedFd) -> ServerEnd {
    let server = backend.protocol_server(listener);
    // The protocol crate panics on some malformed messages; that must end
    // this device only, and be said.
    let result = catch_unwind(AssertUnwindSafe(|| server.run(&mut backend)));
    let end = match result {
        Ok(Ok(())) => ServerEnd::ClientLeft,
        Ok(Err(error)) if is_hang_up(&error) => ServerEnd::ClientLeft,
        Ok(Err(error)) => ServerEnd::Failed(error.to_string()),
        Err(panic) => ServerEnd::Panicked(panic_message(&*panic)),
    };
    backend.disconnect();
    end
}

/// Whether the client died with an answer unread, or one still to come.
fn is_hang_up(error: &vfio_user::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset};
    let kind = match error {
        vfio_user::Error::StreamWrite(error) | vfio_user::Error::StreamRead(error) => error.kind(),
        vfio_user::Error::ReceiveWithFd(error) | vfio_user::Error::SendWithFd(error) => {
            io::Error::from_raw_os_error(error.errno()).kind()
        }
        _ => return false,
    };
    matches!(kind, BrokenPipe | ConnectionReset)
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".into())
}

/// A device that is being served. Dropping it stops the server and waits at
/// most two seconds for its thread.
#[derive(Debug)]
pub struct ServerHandle {
    outcome: Arc<Outcome>,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// Why the server has ended; `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<ServerEnd> {
        self.outcome.lock().clone()
    }

    /// Waits for the end, at most `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<ServerEnd> {
        self.outcome.wait(Some(timeout))
    }

    /// Waits for the end, however long it takes.
    #[must_use]
    pub fn join(mut self) -> Option<ServerEnd> {
        let end = self.outcome.wait(None);
        self.join_thread();
        end
    }

    /// Closes the connection and waits for the end, at most `timeout`.
    pub fn stop(&self, timeout: Duration) -> Option<ServerEnd> {
        self.stopper.stop(timeout)
    }

    /// A handle that can stop the server from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    fn join_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It cannot end in a panic: `run` catches them.
            let _ = thread.join();
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        // A thread that does not end in time is stuck in its device: leave it.
        if self.stop(DROP_BOUND).is_some() {
            self.join_thread();
        }
    }
}
