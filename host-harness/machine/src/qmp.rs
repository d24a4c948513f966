// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU's machine protocol (QMP): commands, what comes of them, and events, over
//! a socket that QEMU inherited. By it a device is plugged into a running guest
//! and pulled again.
//!
//! The crate `qapi` speaks QMP too, by types for every command of one version of
//! QEMU. It waits without a limit, and a QEMU that hangs must be said.

mod message;

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

pub use message::Event;

use crate::interrupt::{self, Interrupted};
use crate::span::span;
use message::Message;

/// How long one read blocks before the wait is reconsidered.
const SLICE: Duration = Duration::from_millis(50);
/// A command that QEMU's main loop has not answered by then never will be.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// Longest message that is taken from QEMU, bytes.
const LONGEST: usize = 1 << 20;
/// Events kept for who asks later; the oldest go first.
const KEPT: usize = 256;

/// Why QEMU did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU is gone.
    #[error("QEMU has ended: its QMP channel is closed")]
    Closed,
    /// Nothing came within the time.
    #[error("QEMU hangs: {waiting_for} did not come by QMP within {}", span(*.limit))]
    Silent {
        /// What was waited for.
        waiting_for: String,
        /// For how long.
        limit: Duration,
    },
    /// QEMU knows the command and does not carry it out, or does not know it.
    #[error("QEMU refuses {command}: {description}")]
    Refused {
        /// The command.
        command: String,
        /// The class of the error, which programs tell it by.
        class: String,
        /// QEMU's own words.
        description: String,
    },
    /// Something that is no message of QMP.
    #[error("QEMU said {line:?}, which is not of QMP: {error}")]
    Garbled {
        /// The line, cut to a sensible length.
        line: String,
        /// What the parser said.
        error: serde_json::Error,
    },
    /// The channel itself failed.
    #[error("the QMP channel failed: {0}")]
    Io(io::Error),
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl From<io::Error> for QmpError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Our end of a QMP channel.
#[derive(Debug)]
pub struct Qmp {
    stream: UnixStream,
    pending: Vec<u8>,
    events: VecDeque<Event>,
    /// Number of the next command.
    next: u64,
}

impl Qmp {
    /// Waits for QEMU's greeting, and has it take commands.
    ///
    /// # Errors
    /// [`QmpError`].
    pub fn new(stream: UnixStream) -> Result<Self, QmpError> {
        stream.set_read_timeout(Some(SLICE))?;
        let mut qmp = Self {
            stream,
            pending: Vec::new(),
            events: VecDeque::new(),
            next: 0,
        };
        let deadline = Instant::now() + ANSWER_LIMIT;
        while !matches!(qmp.message(deadline)?, Some(Message::Greeting)) {
            silent_after(deadline, "its greeting", ANSWER_LIMIT)?;
        }
        qmp.execute("qmp_capabilities", json!({}))?;
        Ok(qmp)
    }

    /// Has QEMU carry out a command: what it returns. `arguments` is an object.
    ///
    /// # Errors
    /// [`QmpError::Refused`] with QEMU's words when it does not.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let id = self.next;
        self.next += 1;
        let request = json!({ "execute": command, "arguments": arguments, "id": id });
        self.stream.write_all(format!("{request}\n").as_bytes())?;
        let deadline = Instant::now() + ANSWER_LIMIT;
        loop {
            match self.message(deadline)? {
                Some(Message::Returned { id: of, value }) if of == Some(id) => return Ok(value),
                // What QEMU could not read has no number.
                Some(Message::Refused { id: of, error }) if of.is_none_or(|of| of == id) => {
                    return Err(QmpError::Refused {
                        command: command.to_owned(),
                        class: error.class,
                        description: error.desc,
                    });
                }
                _ => {}
            }
            silent_after(deadline, &format!("an answer to {command}"), ANSWER_LIMIT)?;
        }
    }

    /// Waits for an event that is `wanted`, of those that came before too. It is
    /// taken: who waits again waits for the next one. `waiting_for` names it in the
    /// error.
    ///
    /// # Errors
    /// [`QmpError::Silent`] when it does not come within the limit.
    pub fn wait_for(
        &mut self,
        waiting_for: &str,
        limit: Duration,
        wanted: impl Fn(&Event) -> bool,
    ) -> Result<Event, QmpError> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(event) = self.take(&wanted) {
                return Ok(event);
            }
            silent_after(deadline, waiting_for, limit)?;
            self.message(deadline)?;
        }
    }

    fn take(&mut self, wanted: &impl Fn(&Event) -> bool) -> Option<Event> {
        let found = self.events.iter().position(wanted)?;
        self.events.remove(found)
    }

    /// The next message, if one comes by the deadline. Events are kept, too.
    fn message(&mut self, deadline: Instant) -> Result<Option<Message>, QmpError> {
        loop {
            interrupt::check()?;
            if let Some(line) = self.take_line() {
                let message = Message::parse(&line)?;
                if let Message::Event(event) = &message {
                    if self.events.len() == KEPT {
                        self.events.pop_front();
                    }
                    self.events.push_back(event.clone());
                }
                return Ok(Some(message));
            }
            if !self.fill()? && Instant::now() >= deadline {
                return Ok(None);
            }
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = self.pending.iter().position(|byte| *byte == b'\n')?;
        let rest = self.pending.split_off(end + 1);
        Some(std::mem::replace(&mut self.pending, rest))
    }

    /// Reads what there is; `false` where nothing came.
    fn fill(&mut self) -> Result<bool, QmpError> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer) {
            Ok(0) => Err(QmpError::Closed),
            Ok(count) => {
                self.pending.extend(buffer.iter().take(count));
                if self.pending.len() > LONGEST {
                    return Err(io::Error::other("QEMU sent a message without end").into());
                }
                Ok(true)
            }
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock
                | io::ErrorKind::TimedOut
                | io::ErrorKind::Interrupted => Ok(false),
                _ => Err(error.into()),
            },
        }
    }
}

/// [`QmpError::Silent`] once it is late.
fn silent_after(deadline: Instant, waiting_for: &str, limit: Duration) -> Result<(), QmpError> {
    if Instant::now() < deadline {
        return Ok(());
    }
    Err(QmpError::Silent {
        waiting_for: waiting_for.to_owned(),
        limit,
    })
}

#[cfg(test)]
mod tests;
