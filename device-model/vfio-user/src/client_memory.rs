// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's memory by messages: how a device reaches memory that came
//! without a file descriptor.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustix::io::Errno;
use zerocopy::IntoBytes;

use super::{
    capabilities::Negotiated,
    connection::Connection,
    protocol::{Command, DmaAccess, ERROR, HEADER_SIZE, Header},
};

/// How long the client may take to answer. QEMU itself waits 5 s for a reply of
/// ours, and answers nothing in between where it holds its one big lock.
const REPLY_LIMIT: Duration = Duration::from_secs(2);

/// Where the data of a message lies by the specification, and where in the other
/// layout.
const DATA_AT: usize = HEADER_SIZE + size_of::<DmaAccess>();
const OTHER_DATA_AT: usize = DATA_AT - 4;

/// Why memory was not reached by a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The client has refused.
    #[error("the client refuses it (errno {})", .0.raw_os_error())]
    Refused(Errno),
    /// The client's reply makes no sense.
    #[error("the client's reply makes no sense")]
    BadReply,
    /// No reply came in time.
    #[error("the client has not answered within {} s", REPLY_LIMIT.as_secs())]
    TimedOut,
    /// The reply is behind more commands than are kept.
    #[error("the client sends commands instead of the reply")]
    Overrun,
    /// The client's messages have another layout than the specification's.
    #[error(
        "the client reads and writes by messages of another layout than the specification's, as QEMU 10.1 does"
    )]
    OtherLayout,
    /// There is no client.
    #[error("no client is connected")]
    Disconnected,
}

/// Reads and writes the client's memory by messages, from any thread.
#[derive(Debug)]
pub struct DmaMessages {
    connection: Arc<Connection>,
    most: usize,
    /// Whether its messages have the layout of the specification.
    as_specified: OnceLock<bool>,
}

impl DmaMessages {
    /// Over a connection, with what was agreed on.
    #[must_use]
    pub fn new(connection: Arc<Connection>, negotiated: &Negotiated) -> Self {
        Self {
            connection,
            most: negotiated.dma_data,
            as_specified: OnceLock::new(),
        }
    }

    /// Most bytes of a message's data.
    #[must_use]
    pub const fn most(&self) -> usize {
        self.most
    }

    /// Reads bytes, as many as one message holds, and calls `sent` when the
    /// request is on its way. Returns how many were read.
    ///
    /// # Errors
    /// When the client does not give them.
    pub fn read(
        &self,
        address: u64,
        data: &mut [u8],
        sent: &mut dyn FnMut(),
    ) -> Result<usize, MessageError> {
        let reply = self.exchange(Command::DmaRead, address, data.len() as u64, &[], sent)?;
        let found = reply
            .get(DATA_AT..)
            .and_then(|bytes| bytes.get(..data.len()));
        data.copy_from_slice(found.ok_or(MessageError::BadReply)?);
        if self.is_settled() {
            return Ok(data.len());
        }
        // All zeros are zeros in either layout.
        let other = reply.get(OTHER_DATA_AT..DATA_AT).unwrap_or_default();
        let first = data.iter().position(|byte| *byte != 0);
        match first.map(|first| address.wrapping_add(first as u64)) {
            _ if other.iter().any(|byte| *byte != 0) => self.settle(false)?,
            Some(at) => {
                let as_specified = self.probe(at)? == Some(true);
                self.settle(as_specified)?;
            }
            None => {}
        }
        Ok(data.len())
    }

    /// Writes bytes, as many as one message holds, and calls `sent` when they are
    /// on their way. Returns how many were written: fewer, as long as it is not
    /// known how the client reads them.
    ///
    /// # Errors
    /// When the client does not take them; some of them may be written.
    pub fn write(
        &self,
        address: u64,
        data: &[u8],
        sent: &mut dyn FnMut(),
    ) -> Result<usize, MessageError> {
        if self.is_settled() {
            self.exchange(Command::DmaWrite, address, data.len() as u64, data, sent)?;
            return Ok(data.len());
        }
        // Zeros are written as zeros in either layout. What is not, is tried out
        // with one byte where there is a zero: to the other layout, that is one.
        let zeros = data.iter().take_while(|byte| **byte == 0).count();
        let len = zeros.max(1).min(data.len());
        let piece = data.get(..len).unwrap_or_default();
        self.exchange(Command::DmaWrite, address, len as u64, piece, sent)?;
        if zeros == 0 {
            let as_specified = self.probe(address)? == Some(true);
            self.settle(as_specified)?;
        }
        Ok(len)
    }

    /// To be called before an access, with nothing held. QEMU 10.1 has a count of
    /// 32 bits in these messages instead of 64, and its data lies 4 bytes further
    /// in front: what it writes would be wrong. A byte that is not 0 shows which it
    /// is; until there is one, nothing is written that could be wrong.
    ///
    /// # Errors
    /// When it is the other layout, or the client does not answer.
    pub fn prepare(&self, address: u64) -> Result<(), MessageError> {
        match self.as_specified.get() {
            Some(true) => Ok(()),
            Some(false) => Err(MessageError::OtherLayout),
            None => match self.probe(address)? {
                Some(as_specified) => self.settle(as_specified),
                None => Ok(()),
            },
        }
    }

    fn is_settled(&self) -> bool {
        self.as_specified.get() == Some(&true)
    }

    fn settle(&self, as_specified: bool) -> Result<(), MessageError> {
        if *self.as_specified.get_or_init(|| as_specified) {
            Ok(())
        } else {
            Err(MessageError::OtherLayout)
        }
    }

    /// Reads a byte, and says whether its place is the specification's. `None` for
    /// a 0, which lies at both.
    fn probe(&self, address: u64) -> Result<Option<bool>, MessageError> {
        let reply = self.exchange(Command::DmaRead, address, 1, &[], &mut || {})?;
        let at = |place: usize| reply.get(place).copied().ok_or(MessageError::BadReply);
        Ok(match (at(OTHER_DATA_AT)?, at(DATA_AT)?) {
            (0, 0) => None,
            (0, _) => Some(true),
            _ => Some(false),
        })
    }

    /// Sends a command and awaits its reply.
    fn exchange(
        &self,
        command: Command,
        address: u64,
        count: u64,
        data: &[u8],
        sent: &mut dyn FnMut(),
    ) -> Result<Vec<u8>, MessageError> {
        let access = DmaAccess { address, count };
        let size = HEADER_SIZE + size_of::<DmaAccess>() + data.len();
        let header = Header {
            command: command as u16,
            size: u32::try_from(size).map_err(|_| MessageError::Overrun)?,
            ..Header::default()
        };
        let rest = [access.as_bytes(), data];
        let reply = self.connection.exchange(header, &rest, REPLY_LIMIT, sent)?;
        let header = Header::read(&reply).ok_or(MessageError::BadReply)?;
        if header.flags & ERROR == 0 {
            return Ok(reply);
        }
        let errno = i32::try_from(header.error).unwrap_or(0);
        Err(MessageError::Refused(if (1..4096).contains(&errno) {
            Errno::from_raw_os_error(errno)
        } else {
            Errno::IO
        }))
    }
}
