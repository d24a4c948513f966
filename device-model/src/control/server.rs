// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device's side of the control socket: one thread, one client after
//! another.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use super::{MAX_LINE, Reply, Request, Target, VERSION, Versioned, raise::raise};
use crate::socket::{BoundSocket, SocketError};

/// How long a client may say nothing, or read nothing, while others wait.
const IDLE: Duration = Duration::from_secs(10);

/// A control socket that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The system has no thread or file descriptor left.
    #[error("cannot start the control socket's thread")]
    Thread(#[source] io::Error),
}

/// An open control socket. Dropping it closes and removes it.
#[derive(Debug)]
pub struct ControlServer {
    socket: BoundSocket,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    target: Target,
    stopping: AtomicBool,
    /// The client that is being served, to be hung up on.
    client: Mutex<Option<UnixStream>>,
}

impl ControlServer {
    /// Answers for a device at a path of mode 0600, for its owner only. A socket
    /// that a dead process left there is replaced.
    ///
    /// # Errors
    /// Says what is wrong with the path; a live socket is left alone.
    pub fn bind(path: &Path, target: impl Into<Target>) -> Result<Self, ControlError> {
        let socket = BoundSocket::bind_or_replace(path)?;
        let listener = socket.listener().try_clone();
        let listener = UnixListener::from(listener.map_err(ControlError::Thread)?);
        let shared = Arc::new(Shared {
            target: target.into(),
            stopping: AtomicBool::new(false),
            client: Mutex::new(None),
        });
        let for_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("device-control".into())
            .spawn(move || for_thread.run(&listener))
            .map_err(ControlError::Thread)?;
        Ok(Self {
            socket,
            shared,
            thread: Some(thread),
        })
    }

    /// Where it answers.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.socket.path()
    }
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        let _ = rustix::net::shutdown(self.socket.listener(), rustix::net::Shutdown::Both);
        if let Some(client) = &*self.shared.client() {
            let _ = client.shutdown(Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn client(&self) -> MutexGuard<'_, Option<UnixStream>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    fn run(&self, listener: &UnixListener) {
        while let Ok((client, _)) = listener.accept() {
            if let Ok(clone) = client.try_clone() {
                *self.client() = Some(clone);
            }
            // Asked for after the client was noted: whoever stops us either
            // sees the client or is seen here.
            if self.stopping() {
                return;
            }
            if let Err(error) = self.serve(&client) {
                tracing::debug!("control client: {error}");
            }
            *self.client() = None;
        }
    }

    fn serve(&self, client: &UnixStream) -> io::Result<()> {
        client.set_read_timeout(Some(IDLE))?;
        client.set_write_timeout(Some(IDLE))?;
        let mut reader = BufReader::new(client);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut limited = reader.by_ref().take(MAX_LINE as u64);
            if limited.read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            let whole = line.ends_with(b"\n");
            let reply = if whole || line.len() < MAX_LINE {
                self.answer(&line)
            } else {
                failed(format!("a line is longer than {MAX_LINE} bytes"))
            };
            let mut text = serde_json::to_vec(&reply)?;
            text.push(b'\n');
            (&*client).write_all(&text)?;
            if !whole {
                // Where the next line begins is not known.
                return Ok(());
            }
        }
    }

    fn answer(&self, line: &[u8]) -> Reply {
        let request = match serde_json::from_slice::<Versioned>(line) {
            Ok(versioned) if versioned.irqbed == VERSION => versioned.request,
            Ok(versioned) => {
                return failed(format!(
                    "the request is of version {}: this is version {VERSION}",
                    versioned.irqbed
                ));
            }
            Err(error) => return failed(format!("the line is no request: {error}")),
        };
        let faults = self.target.faults();
        let carried_out = faults.guarded("the control socket", || self.carry_out(request));
        carried_out
            .unwrap_or_else(|| Err("the device has panicked".to_owned()))
            .unwrap_or_else(failed)
    }

    fn carry_out(&self, request: Request) -> Result<Reply, String> {
        let target = &self.target;
        Ok(match request {
            Request::Raise {
                vector,
                count,
                payload,
            } => raise(target.source()?, vector, count, payload.as_bytes(), || {
                self.stopping()
            }),
            Request::Counters => Reply::Counters(target.source()?.counters()),
            Request::Arm { faults } => target.arm(&faults),
            Request::Faults => Reply::Faults {
                faults: target.faults().list(),
            },
            Request::ClearFaults => Reply::Faults {
                faults: target.faults().clear(),
            },
        })
    }
}

fn failed(error: String) -> Reply {
    Reply::Failed { error }
}
