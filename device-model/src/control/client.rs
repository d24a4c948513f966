// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other end of the control socket.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{MAX_LINE, Reply, Request, VERSION, Versioned, raise::LONGEST};

/// How much longer than the longest request a reply may take.
const SLACK: Duration = Duration::from_secs(5);

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody answers at the path.
    #[error("no device answers at {path}: start one first", path = path.display())]
    Connect {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke, or no answer came in time.
    #[error("the device at {path} does not answer", path = path.display())]
    Connection {
        /// The path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer is none.
    #[error("the device at {path} answers with what is no reply", path = path.display())]
    BadReply {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// The request is longer than a line may be.
    #[error("the request is {0} bytes long: the most is {MAX_LINE}")]
    TooLong(usize),
}

/// A connection to a running device.
#[derive(Debug)]
pub struct ControlClient {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl ControlClient {
    /// Connects to a device's control socket.
    ///
    /// # Errors
    /// When nobody answers there.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let connect = || {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(Some(LONGEST + SLACK))?;
            stream.set_write_timeout(Some(SLACK))?;
            Ok(stream)
        };
        let stream = connect().map_err(|source| ClientError::Connect {
            path: path.to_path_buf(),
            source,
        })?;
        Ok(Self {
            path: path.to_path_buf(),
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and waits for the reply. A request that was understood
    /// and not carried out is [`Reply::Failed`], not an error.
    ///
    /// # Errors
    /// When there is no reply.
    pub fn ask(&mut self, request: &Request) -> Result<Reply, ClientError> {
        let versioned = Versioned {
            irqbed: VERSION,
            request: request.clone(),
        };
        let mut line = serde_json::to_vec(&versioned).map_err(|source| self.bad_reply(source))?;
        line.push(b'\n');
        if line.len() > MAX_LINE {
            return Err(ClientError::TooLong(line.len()));
        }
        let sent = self.stream.get_mut().write_all(&line);
        sent.map_err(|source| self.broken(source))?;
        line.clear();
        let mut limited = self.stream.by_ref().take(MAX_LINE as u64);
        let read = limited.read_until(b'\n', &mut line);
        if read.map_err(|source| self.broken(source))? == 0 {
            return Err(self.broken(io::ErrorKind::UnexpectedEof.into()));
        }
        serde_json::from_slice(&line).map_err(|source| self.bad_reply(source))
    }

    fn broken(&self, source: io::Error) -> ClientError {
        let path = self.path.clone();
        ClientError::Connection { path, source }
    }

    fn bad_reply(&self, source: serde_json::Error) -> ClientError {
        let path = self.path.clone();
        ClientError::BadReply { path, source }
    }
}
