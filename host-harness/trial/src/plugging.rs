// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plugging and pulling by another process: a socket beside the control socket of
//! a running guest, one line of JSON for a request, one for the reply. Whoever
//! waits for the end of the guest [attends](Plugging::attend) to it meanwhile.
//!
//! ```text
//! {"do":"plug","port":0,"device":{"builtin":"edu","options":{},"faults":[]},"listen":null}
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
    control::ControlServer,
    socket::{BoundSocket, SocketError},
};
use irqbed_machine::{
    qemu::Port,
    session::{Guest, SessionError},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::scenario::DeviceRequest;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the guest may take to do it.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);
/// Longest line, bytes.
const LONGEST: u64 = 16 << 10;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Plug a device in.
    Plug {
        /// Number of the port.
        port: u32,
        /// The device; what it names by a path, by an absolute one.
        device: DeviceRequest,
        /// Where one of ours listens for `irqbed raise` and `irqbed fault`, if it
        /// does; an absolute path.
        listen: Option<PathBuf>,
    },
    /// Pull the device in a port.
    Unplug {
        /// Number of the port.
        port: u32,
    },
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
    #[error("no running guest with ports at {path}: start one with `irqbed run-vm --ports 1`")]
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
    /// Control sockets of devices, by port.
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
            Request::Plug {
                port,
                device,
                listen,
            } => self.plug(guest, port, &device, listen.as_deref()),
            Request::Unplug { port } => self.unplug(guest, port),
        };
        let reply = reply.map_or_else(|error| Reply::Failed { error }, |()| Reply::Done);
        send(client, &reply)
    }

    fn plug(
        &mut self,
        guest: &mut Guest,
        number: u32,
        device: &DeviceRequest,
        listen: Option<&Path>,
    ) -> Result<(), String> {
        device.check().map_err(|error| error.to_string())?;
        let mut control = None;
        let plugged = guest.plug_served(Port(number), |options| {
            let served = device.serve(options)?;
            let target = listen.zip(served.target());
            let bound = target.map(|(path, target)| ControlServer::bind(path, target));
            let bound = bound.transpose();
            control = bound.map_err(|error| SessionError::Device(error.to_string()))?;
            Ok(served)
        });
        plugged.map_err(|error| error.to_string())?;
        self.controls.remove(&number);
        let control = control.map(|control| (number, control));
        self.controls.extend(control);
        Ok(())
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
    use irqbed_machine::builtin::Builtin;

    use super::*;
    use crate::scenario::Device;

    #[test]
    fn a_request_is_a_line_as_it_is_described() {
        let line = |device: Device, listen: Option<&str>| {
            let request = Request::Plug {
                port: 0,
                device: device.into(),
                listen: listen.map(PathBuf::from),
            };
            let line = serde_json::to_string(&request).expect("JSON");
            assert_eq!(
                serde_json::from_str::<Request>(&line).expect("one"),
                request
            );
            line
        };
        assert_eq!(
            line(Device::Builtin(Builtin::Edu), None),
            r#"{"do":"plug","port":0,"device":{"builtin":"edu","options":{},"faults":[]},"listen":null}"#
        );
        let event = line(Device::Builtin(Builtin::Event), Some("/tmp/raise"));
        assert!(event.ends_with(r#""listen":"/tmp/raise"}"#), "{event}");
        let socket = line(Device::Socket("/tmp/card".into()), None);
        assert!(socket.contains(r#"{"socket":"/tmp/card","#), "{socket}");
    }

    #[test]
    fn nobody_has_the_guests_process_start_a_program() {
        let line = r#"{"do":"plug","port":0,"device":{"command":["x"],"options":{},"faults":[]}}"#;
        serde_json::from_str::<Request>(line).expect_err("no such device");
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
