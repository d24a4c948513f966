// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plugging and pulling by another process: a socket beside the control socket of
//! a running guest, one line of JSON for a request, one for the reply. Whoever
//! waits for the end of the guest [attends](Plugging::attend) to it meanwhile.
//!
//! ```text
//! {"do":"plug","port":0,"device":"edu"}
//! {"is":"done"}
//! {"do":"unplug","port":0}
//! {"is":"failed","error":"..."}
//! ```

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use device_model::{
    control::{ControlError, ControlServer},
    edu::EduDevice,
    event::EventDevice,
    nic_lite::NicLite,
    socket::{BoundSocket, SocketError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    qemu::Port,
    scenario::reach,
    session::{Guest, SessionError},
};

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the guest may take to do it.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Longest line, bytes.
const LONGEST: u64 = 16 << 10;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Plug a device in.
    Plug {
        /// Number of the port.
        port: u32,
        /// The device.
        device: Given,
    },
    /// Pull the device in a port.
    Unplug {
        /// Number of the port.
        port: u32,
    },
}

/// A device to plug in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Given {
    /// The event device.
    Event {
        /// Whether it has MSI-X.
        msix: bool,
        /// Where it listens for `irqbed raise`, if it does; an absolute path.
        control: Option<PathBuf>,
    },
    /// QEMU's educational device.
    Edu,
    /// The network card in miniature.
    NicLite,
    /// One that a device model serves at a socket, by an absolute path.
    Socket(PathBuf),
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
enum Reply {
    Done,
    Failed { error: String },
}

/// A request that was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum PluggingError {
    /// Nobody listens there.
    #[error("no running guest with ports at {path}: start one with `./just run-vm --ports 1`")]
    NoGuest {
        /// The socket.
        path: PathBuf,
    },
    /// The connection broke.
    #[error("the guest at {path} does not answer: {error}")]
    Broken {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// It could not be done, with the reason.
    #[error("{0}")]
    Failed(String),
}

/// Where the ports of the guest with a control socket are asked for.
fn beside(control: &Path) -> PathBuf {
    control.with_extension("ports")
}

/// Asks the guest with that control socket.
///
/// # Errors
/// [`PluggingError`].
pub fn ask(control: &Path, request: &Request) -> Result<(), PluggingError> {
    let path = beside(control);
    let stream = UnixStream::connect(&path).map_err(|_| PluggingError::NoGuest {
        path: control.to_owned(),
    })?;
    let answer = || -> io::Result<Reply> {
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        send(&stream, request)?;
        receive(&stream)
    };
    match answer() {
        Ok(Reply::Done) => Ok(()),
        Ok(Reply::Failed { error }) => Err(PluggingError::Failed(error)),
        Err(error) => Err(PluggingError::Broken { path, error }),
    }
}

/// The socket at which a guest's ports are asked for. Dropping it removes it.
#[derive(Debug)]
pub struct Plugging {
    listener: UnixListener,
    _socket: BoundSocket,
    /// Control sockets of event devices, by port.
    controls: BTreeMap<u32, ControlServer>,
}

impl Plugging {
    /// Listens beside the guest's control socket.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn listen(control: &Path) -> Result<Self, SocketError> {
        let socket = BoundSocket::bind_or_replace(&beside(control))?;
        let listener = socket.listener().try_clone().map(UnixListener::from);
        let listener = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        Ok(Self {
            listener: listener.map_err(SocketError::Unnamed)?,
            _socket: socket,
            controls: BTreeMap::new(),
        })
    }

    /// Does what is asked, if something is.
    pub fn attend(&mut self, guest: &mut Guest) {
        let Ok((client, _)) = self.listener.accept() else {
            return;
        };
        if let Err(error) = self.serve(&client, guest) {
            tracing::debug!("a client of the ports: {error}");
        }
    }

    fn serve(&mut self, client: &UnixStream, guest: &mut Guest) -> io::Result<()> {
        client.set_nonblocking(false)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.set_write_timeout(Some(PATIENCE))?;
        let reply = match receive(client)? {
            Request::Plug { port, device } => self.plug(guest, port, device),
            Request::Unplug { port } => self.unplug(guest, port),
        };
        let reply = reply.map_or_else(|error| Reply::Failed { error }, |()| Reply::Done);
        send(client, &reply)
    }

    fn plug(&mut self, guest: &mut Guest, number: u32, device: Given) -> Result<(), String> {
        let port = Port(number);
        let in_words = |error: SessionError| error.to_string();
        match device {
            Given::Edu => guest.plug(port, EduDevice::new()).map_err(in_words),
            Given::NicLite => guest.plug(port, NicLite::new()).map_err(in_words),
            Given::Event { msix, control } => {
                let mut device = EventDevice::new().map_err(|error| error.to_string())?;
                if !msix {
                    device = device.without_msix();
                }
                let source = device.source();
                let control = control.map(|path| ControlServer::bind(&path, source));
                let control = control.transpose();
                let control = control.map_err(|error: ControlError| error.to_string())?;
                guest.plug(port, device).map_err(in_words)?;
                self.controls.remove(&number);
                self.controls
                    .extend(control.map(|control| (number, control)));
                Ok(())
            }
            Given::Socket(path) => {
                let handle = reach(&path);
                let handle = handle.map_err(|why| format!("{}: {why}", path.display()))?;
                guest.plug_socket(port, &handle).map_err(in_words)
            }
        }
    }

    fn unplug(&mut self, guest: &mut Guest, number: u32) -> Result<(), String> {
        let unplugged = guest.unplug(Port(number));
        unplugged.map_err(|error| error.to_string())?;
        self.controls.remove(&number);
        Ok(())
    }
}

fn send(mut to: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)
}

fn receive<T: DeserializeOwned>(from: &UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    BufReader::new(from.take(LONGEST)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_line_as_it_is_described() {
        let line = |device| {
            let request = Request::Plug { port: 0, device };
            let line = serde_json::to_string(&request).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Request>(&line).expect("one"),
                request
            );
            line
        };
        assert_eq!(line(Given::Edu), r#"{"do":"plug","port":0,"device":"edu"}"#);
        let event = Given::Event {
            msix: false,
            control: None,
        };
        assert_eq!(
            line(event),
            r#"{"do":"plug","port":0,"device":{"event":{"msix":false,"control":null}}}"#
        );
        assert_eq!(
            line(Given::Socket("/tmp/card".into())),
            r#"{"do":"plug","port":0,"device":{"socket":"/tmp/card"}}"#
        );
    }

    #[test]
    fn without_a_guest_it_says_how_to_start_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let control = folder.path().join("run-vm.sock");
        let error = ask(&control, &Request::Unplug { port: 0 }).expect_err("nobody is there");
        let error = error.to_string();
        assert!(
            error.contains("run-vm.sock: start one") && error.contains("--ports"),
            "{error}"
        );
    }
}
