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
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    /// Reads bytes, as many as one message holds, and calls `sent` when the
    /// request is on its way.
    ///
    /// # Errors
    /// When the client does not give them.
    pub(crate) fn read(
        &self,
        address: u64,
        data: &mut [u8],
        sent: &mut dyn FnMut(),
    ) -> Result<(), MessageError> {
        let reply = self.exchange(Command::DmaRead, address, data.len() as u64, &[], sent)?;
        let found = reply.get(HEADER_SIZE + size_of::<DmaAccess>()..);
        let found = found.and_then(|bytes| bytes.get(..data.len()));
        data.copy_from_slice(found.ok_or(MessageError::BadReply)?);
        Ok(())
    }

    /// Writes bytes, as many as one message holds, and calls `sent` when they are
    /// on their way.
    ///
    /// # Errors
    /// When the client does not take them; some of them may be written.
    pub(crate) fn write(
        &self,
        address: u64,
        data: &[u8],
        sent: &mut dyn FnMut(),
    ) -> Result<(), MessageError> {
        self.exchange(Command::DmaWrite, address, data.len() as u64, data, sent)
            .map(drop)
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

    /// QEMU 10.1 has a count of 32 bits in these messages instead of 64, and its
    /// data lies elsewhere: what it writes would be wrong. So it is asked once
    /// for a count whose lower half is 0, which is nothing at all to it, and far
    /// more than was negotiated to others, which refuse it.
    pub(crate) fn check_layout(&self, address: u64) -> Result<(), MessageError> {
        let as_specified = match self.as_specified.get() {
            Some(known) => *known,
            None => match self.exchange(Command::DmaRead, address, 1 << 32, &[], &mut || {}) {
                Ok(_) => *self.as_specified.get_or_init(|| false),
                Err(MessageError::Refused(_)) => *self.as_specified.get_or_init(|| true),
                Err(error) => return Err(error),
            },
        };
        if as_specified {
            Ok(())
        } else {
            Err(MessageError::OtherLayout)
        }
    }
}
