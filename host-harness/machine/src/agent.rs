// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The harness's end of the control line: asks the agent, waits for its answer.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use irqbed_abi::control::{CONTROL_VERSION, Hello, Reply, Request};
use serde::de::DeserializeOwned;

use crate::span::span;

/// How long one read of the line blocks before the wait is reconsidered.
const SLICE: Duration = Duration::from_millis(50);
/// Longest line we take from the guest, bytes.
const LINE: usize = 4 << 20;

/// Why the agent did not answer as it should.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No line within the time.
    #[error("no answer within {}", span(*.0))]
    Silent(Duration),
    /// The line was closed: the guest is gone.
    #[error("the control line was closed")]
    Closed,
    /// The line itself failed.
    #[error("the control line failed: {0}")]
    Io(#[from] io::Error),
    /// A line that is not of the protocol.
    #[error("the agent said {line:?}, which is not of the control protocol: {error}")]
    Garbled {
        /// The line, cut to a sensible length.
        line: String,
        /// What the parser said.
        error: serde_json::Error,
    },
    /// The agent is of another version.
    #[error(
        "the agent speaks version {found} of the control protocol, this harness version \
         {CONTROL_VERSION}: run `./just setup` to build both"
    )]
    Version {
        /// What it speaks.
        found: u32,
    },
    /// The agent could not do it.
    #[error("{0}")]
    Failed(String),
    /// The agent answered something else.
    #[error("the agent answered {answer} to {request}")]
    Unexpected {
        /// What was asked.
        request: String,
        /// What came.
        answer: String,
    },
}

/// The control line.
#[derive(Debug)]
pub struct AgentLine {
    stream: UnixStream,
    pending: Vec<u8>,
}

impl AgentLine {
    /// Takes our end of the line.
    ///
    /// # Errors
    /// When the stream refuses a time limit.
    pub fn new(stream: UnixStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(SLICE))?;
        Ok(Self {
            stream,
            pending: Vec::new(),
        })
    }

    /// Waits for the agent's first line. `alive` is asked every now and then
    /// and ends the wait by its error.
    ///
    /// # Errors
    /// [`AgentError`], or what `alive` said.
    pub fn hello<E: From<AgentError>>(
        &mut self,
        limit: Duration,
        alive: impl FnMut() -> Result<(), E>,
    ) -> Result<Hello, E> {
        let hello: Hello = self.receive(limit, alive)?;
        if hello.irqbed == CONTROL_VERSION {
            Ok(hello)
        } else {
            Err(AgentError::Version {
                found: hello.irqbed,
            }
            .into())
        }
    }

    /// Sends a request.
    ///
    /// # Errors
    /// [`AgentError::Io`].
    pub fn send(&mut self, request: &Request) -> Result<(), AgentError> {
        let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
        line.push(b'\n');
        self.stream.write_all(&line)?;
        Ok(())
    }

    /// Has the line interrupt the guest, which is asked nothing by it.
    ///
    /// # Errors
    /// [`AgentError::Io`].
    pub fn wake(&mut self) -> Result<(), AgentError> {
        Ok(self.stream.write_all(b"\n")?)
    }

    /// Waits for an answer; the agent's own refusal is an error.
    ///
    /// # Errors
    /// [`AgentError`], or what `alive` said.
    pub fn reply<E: From<AgentError>>(
        &mut self,
        limit: Duration,
        alive: impl FnMut() -> Result<(), E>,
    ) -> Result<Reply, E> {
        match self.receive(limit, alive)? {
            Reply::Failed { error } => Err(AgentError::Failed(error).into()),
            reply => Ok(reply),
        }
    }

    fn receive<T: DeserializeOwned, E: From<AgentError>>(
        &mut self,
        limit: Duration,
        mut alive: impl FnMut() -> Result<(), E>,
    ) -> Result<T, E> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(line) = self.take_line() {
                return parse(&line).map_err(E::from);
            }
            alive()?;
            if Instant::now() >= deadline {
                return Err(AgentError::Silent(limit).into());
            }
            self.fill()?;
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = self.pending.iter().position(|byte| *byte == b'\n')?;
        let rest = self.pending.split_off(end + 1);
        Some(std::mem::replace(&mut self.pending, rest))
    }

    fn fill(&mut self) -> Result<(), AgentError> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(AgentError::Closed),
            Ok(count) => {
                self.pending.extend(buffer.iter().take(count));
                if self.pending.len() > LINE {
                    return Err(io::Error::other("the agent sent a line without end").into());
                }
                Ok(())
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(()),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                    Err(AgentError::Closed)
                }
                _ => Err(error.into()),
            },
        }
    }
}

fn parse<T: DeserializeOwned>(line: &[u8]) -> Result<T, AgentError> {
    serde_json::from_slice(line).map_err(|error| AgentError::Garbled {
        line: String::from_utf8_lossy(line).chars().take(200).collect(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_with(bytes: &[u8]) -> AgentLine {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        theirs.write_all(bytes).expect("room for a line");
        AgentLine::new(ours).expect("a time limit")
    }

    fn hello(line: &mut AgentLine) -> Result<Hello, AgentError> {
        line.hello(Duration::from_millis(60), || Ok(()))
    }

    #[test]
    fn another_version_is_refused() {
        let mut line = line_with(b"{\"irqbed\":99,\"kernel\":\"6\",\"agent\":\"0\"}\n");
        assert!(matches!(
            hello(&mut line),
            Err(AgentError::Version { found: 99 })
        ));
    }

    #[test]
    fn a_line_of_no_meaning_is_shown() {
        let mut line = line_with(b"oops\n");
        assert!(
            matches!(hello(&mut line), Err(AgentError::Garbled { line, .. }) if line == "oops\n")
        );
    }

    #[test]
    fn a_closed_line_is_told_from_a_silent_one() {
        assert!(matches!(
            hello(&mut line_with(b"")),
            Err(AgentError::Closed)
        ));
        let (ours, _theirs) = UnixStream::pair().expect("a socket pair");
        let mut line = AgentLine::new(ours).expect("a time limit");
        assert!(matches!(hello(&mut line), Err(AgentError::Silent(_))));
    }

    #[test]
    fn two_lines_in_one_packet_are_two_answers() {
        let mut line = line_with(b"{\"is\":\"calibrating\"}\n{\"is\":\"done\"}\n");
        let mut next = || line.reply::<AgentError>(SLICE, || Ok(()));
        assert_eq!(next().expect("first"), Reply::Calibrating);
        assert_eq!(next().expect("second"), Reply::Done);
    }

    #[test]
    fn a_refusal_is_an_error() {
        let mut line = line_with(b"{\"is\":\"failed\",\"error\":\"unit 16 is taken\"}\n");
        let answer = line.reply::<AgentError>(SLICE, || Ok(()));
        assert_eq!(
            answer.expect_err("a refusal").to_string(),
            "unit 16 is taken"
        );
    }
}
