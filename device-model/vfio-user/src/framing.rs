// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where one message ends and the next begins: a buffer that bytes are put in
//! as they come, and messages are taken from.

use std::ops::Range;

use rustix::io::Errno;

use super::protocol::{HEADER_SIZE, Header, MAX_MESSAGE};

/// Room that is made before more bytes are awaited, so that short messages
/// come in bunches.
const LOW: usize = 4096;

/// A header that says nothing about where the next message begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// Shorter than a header.
    #[error("a message of {} bytes is shorter than its header", .0.size)]
    TooShort(Header),
    /// Longer than what is taken.
    #[error("a message of {} bytes is longer than {MAX_MESSAGE}", .0.size)]
    TooLong(Header),
}

impl StreamError {
    /// The header.
    #[must_use]
    pub const fn header(&self) -> &Header {
        match self {
            Self::TooShort(header) | Self::TooLong(header) => header,
        }
    }

    /// What the client is told before the connection ends.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        match self {
            Self::TooShort(_) => Errno::INVAL,
            Self::TooLong(_) => Errno::MSGSIZE,
        }
    }
}

/// The part of a stream that has come and was not taken yet. Holds one message
/// of the longest kind, and never grows.
#[derive(Debug)]
pub struct Framing {
    buffer: Box<[u8]>,
    held: Range<usize>,
}

impl Default for Framing {
    fn default() -> Self {
        Self::new()
    }
}

impl Framing {
    /// A stream of which nothing has come.
    #[must_use]
    pub fn new() -> Self {
        Self {
            // Zeroed by the system: pages that no message needs are not there.
            buffer: vec![0; MAX_MESSAGE].into_boxed_slice(),
            held: 0..0,
        }
    }

    /// Whether the stream is between two messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Bytes that have come and were not taken.
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    fn bytes(&self) -> &[u8] {
        self.buffer.get(self.held.clone()).unwrap_or_default()
    }

    /// How long the next message is, once its header has come.
    fn wanted(&self) -> Result<Option<usize>, StreamError> {
        let Some(header) = Header::read(self.bytes()) else {
            return Ok(None);
        };
        match header.size as usize {
            size if size < HEADER_SIZE => Err(StreamError::TooShort(header)),
            size if size > MAX_MESSAGE => Err(StreamError::TooLong(header)),
            size => Ok(Some(size)),
        }
    }

    /// Length of the next message, if all of it has come.
    pub(super) fn next_len(&self) -> Result<Option<usize>, StreamError> {
        Ok(self.wanted()?.filter(|size| *size <= self.held.len()))
    }

    /// Takes the next message, if all of it has come.
    ///
    /// # Errors
    /// When its length cannot be true: the stream is of no use from there on.
    pub fn take(&mut self) -> Result<Option<&[u8]>, StreamError> {
        let Some(size) = self.next_len()? else {
            return Ok(None);
        };
        let message = self.held.start..self.held.start + size;
        self.held.start = message.end;
        Ok(self.buffer.get(message))
    }

    /// Where the next bytes of the stream go. Not empty, as long as every
    /// message that has come is taken.
    pub fn space(&mut self) -> &mut [u8] {
        let missing = match self.wanted() {
            Ok(Some(size)) => size.saturating_sub(self.held.len()),
            _ => HEADER_SIZE,
        };
        let behind = self.buffer.len() - self.held.end;
        if self.held.is_empty() || behind < missing.max(LOW) {
            self.buffer.copy_within(self.held.clone(), 0);
            self.held = 0..self.held.len();
        }
        self.buffer.get_mut(self.held.end..).unwrap_or_default()
    }

    /// Says that so many bytes were put into [`Framing::space`].
    pub fn filled(&mut self, bytes: usize) {
        self.held.end = self.buffer.len().min(self.held.end.saturating_add(bytes));
    }
}
