// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Our end of the driver's netlink protocol: a socket to it, requests and
//! their answers, and what the kernel says of a socket.

#![allow(unsafe_code)]

use std::{
    fs,
    io::Cursor,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use irqbed_abi::{
    counters::Counters,
    netlink::{MSG_COUNTERS, MSG_FLUSH, MSG_GET_COUNTERS},
};
use neli::{
    ToBytes,
    consts::{
        nl::NlmF,
        socket::{Msg, NlFamily},
    },
    nl::{NlPayload, NlmsghdrBuilder},
    socket::NlSocket,
    types::Buffer,
    utils::Groups,
};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, recv},
};
use zerocopy::FromBytes;

use crate::nlmsg;

/// Where the driver's protocol unit stands while it is loaded.
const UNIT: &str = "/sys/module/irqbed/parameters/unit";
/// How long the driver has for an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest datagram taken as an answer, bytes.
const DATAGRAM: usize = 16 << 10;

/// `NLMSG_ERROR`: an error, or the acknowledgement that there is none.
pub const NLMSG_ERROR: u16 = libc::NLMSG_ERROR as u16;

/// The driver's netlink protocol unit.
pub fn unit() -> Result<u32> {
    let text = fs::read_to_string(UNIT)
        .with_context(|| format!("cannot read {UNIT} (is the module loaded?)"))?;
    text.trim()
        .parse()
        .with_context(|| format!("{UNIT} holds {text:?}"))
}

/// A socket of the driver's protocol, bound to a port of its own.
pub struct Socket {
    socket: NlSocket,
    seq: u32,
}

impl Socket {
    /// Opens a socket of a protocol unit.
    pub fn open(unit: u32) -> Result<Self> {
        Self::connect(unit, None)
    }

    /// The same with this port id.
    pub fn open_at(unit: u32, port: u32) -> Result<Self> {
        Self::connect(unit, Some(port))
    }

    fn connect(unit: u32, port: Option<u32>) -> Result<Self> {
        let family = NlFamily::from(i32::try_from(unit)?);
        let socket = NlSocket::connect(family, port, Groups::empty())
            .with_context(|| format!("cannot open a socket of netlink unit {unit}"))?;
        // An older kernel gives no reasons; that is no reason not to ask.
        let _ = socket.enable_ext_ack(true);
        Ok(Self { socket, seq: 0 })
    }

    /// The port id that the kernel gave it.
    pub fn port_id(&self) -> Result<u32> {
        self.socket
            .pid()
            .context("cannot read the socket's port id")
    }

    /// Joins the multicast group of the events, by its number.
    pub fn join(&self, group: u32) -> Result<()> {
        self.socket
            .add_mcast_membership(Groups::new_groups(&[group]))
            .context("cannot join the multicast group of the events")
    }

    /// Sends a datagram as it is.
    pub fn send(&self, datagram: &[u8]) -> Result<()> {
        self.socket
            .send(datagram, Msg::empty())
            .context("the driver's socket takes no message")?;
        Ok(())
    }

    /// Sends a request and waits for the driver's yes or no. Messages that
    /// come before it are handed to `other`.
    pub fn ask(&mut self, kind: u16, body: &[u8], other: impl FnMut(&[u8])) -> Result<()> {
        self.request(kind, NlmF::REQUEST | NlmF::ACK, body)?;
        self.answer(NLMSG_ERROR, other).map(drop)
    }

    /// Sends a request and waits for a message of one kind.
    pub fn query(&mut self, kind: u16, body: &[u8], answer: u16) -> Result<Vec<u8>> {
        self.request(kind, NlmF::REQUEST, body)?;
        self.answer(answer, |_| {})
    }

    fn request(&mut self, kind: u16, flags: NlmF, body: &[u8]) -> Result<()> {
        self.seq += 1;
        self.send(&request(kind, flags, self.seq, body)?)
    }

    /// Waits for a message of one kind; an error of the driver ends the wait.
    fn answer(&self, kind: u16, mut other: impl FnMut(&[u8])) -> Result<Vec<u8>> {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let Some(datagram) = self.receive(&mut buffer, deadline)? else {
                bail!("the driver did not answer within {PATIENCE:?}");
            };
            let Ok((header, body, _)) = nlmsg::split(datagram) else {
                other(datagram);
                continue;
            };
            if header.kind == NLMSG_ERROR {
                let code = nlmsg::error(body).map_err(|_| anyhow!("a malformed netlink error"))?;
                if code != 0 {
                    let reason = nlmsg::reason(&header, body).unwrap_or("it gave no reason");
                    bail!(
                        "the driver refused: {reason} ({})",
                        Errno::from_raw_os_error(code)
                    );
                }
            }
            if header.kind == kind {
                return Ok(body.to_vec());
            }
            other(datagram);
        }
    }

    /// Waits for the next datagram up to a moment; `None` when it has passed.
    pub fn receive<'a>(&self, buffer: &'a mut [u8], deadline: Instant) -> Result<Option<&'a [u8]>> {
        loop {
            let left = Timespec::try_from(deadline.saturating_duration_since(Instant::now()))?;
            let mut waiting = [PollFd::new(self, PollFlags::IN)];
            match poll(&mut waiting, Some(&left)) {
                Ok(0) => return Ok(None),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for the driver"),
            }
            match recv(self, &mut *buffer, RecvFlags::DONTWAIT | RecvFlags::TRUNC) {
                Ok((count, length)) if count == length => return Ok(buffer.get(..count)),
                Ok((_, length)) => bail!("the driver sent {length} bytes, too many"),
                // An overrun is the listener's to count; here the answer still comes.
                Err(Errno::INTR | Errno::AGAIN | Errno::NOBUFS) => {}
                Err(error) => return Err(error).context("cannot read from the driver"),
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `neli` keeps the descriptor open as long as the socket, and
        // the borrow is not longer than that of the socket.
        unsafe { BorrowedFd::borrow_raw(self.socket.as_raw_fd()) }
    }
}

/// A request as it goes over the socket.
pub fn request(kind: u16, flags: NlmF, seq: u32, body: &[u8]) -> Result<Vec<u8>> {
    let payload = match body {
        [] => NlPayload::Empty,
        body => NlPayload::Payload(Buffer::from(body)),
    };
    let message = NlmsghdrBuilder::<u16, Buffer>::default()
        .nl_type(kind)
        .nl_flags(flags)
        .nl_seq(seq)
        .nl_payload(payload)
        .build()?;
    let mut bytes = Cursor::new(Vec::new());
    message.to_bytes(&mut bytes)?;
    Ok(bytes.into_inner())
}

/// The driver's counters: now, or after it delivered every record there is.
pub fn counters(flush: bool) -> Result<Counters> {
    let kind = if flush { MSG_FLUSH } else { MSG_GET_COUNTERS };
    let mut socket = Socket::open(unit()?)?;
    let body = socket.query(kind, &[], MSG_COUNTERS)?;
    Counters::read_from_bytes(&body)
        .map_err(|_| anyhow!("the driver's counters are {} bytes long", body.len()))
}

/// Messages that the kernel dropped at a socket so far.
pub fn drops(unit: u32, port_id: u32) -> Option<u64> {
    drops_in(
        &fs::read_to_string("/proc/net/netlink").ok()?,
        unit,
        port_id,
    )
}

/// Finds a socket in `/proc/net/netlink`, by the names of its columns.
fn drops_in(table: &str, unit: u32, port_id: u32) -> Option<u64> {
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next()?.split_ascii_whitespace().collect();
    let column = |name| header.iter().position(|found| *found == name);
    let (protocol, port, drops) = (column("Eth")?, column("Pid")?, column("Drops")?);
    lines.find_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let field = |column: usize| fields.get(column)?.parse::<u64>().ok();
        let ours = field(protocol)? == u64::from(unit) && field(port)? == u64::from(port_id);
        if ours { field(drops) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use irqbed_abi::netlink::{MSG_SUBSCRIBE, SubscribeRequest};
    use neli::consts::nl::Nlmsg;
    use proptest::prelude::*;
    use zerocopy::IntoBytes;

    use super::*;

    const TABLE: &str = "\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
00000000a9a8f6e5 0   862        00000111 0        0        0     2        5        15290
000000005b4f0d5e 31  -4101      00000001 0        0        0     2        4        17
000000005b4f0d5f 31  862        00000001 0        0        0     2        123      15291
";

    #[test]
    fn the_drops_are_those_of_unit_and_port() {
        assert_eq!(drops_in(TABLE, 31, 862), Some(123));
        assert_eq!(drops_in(TABLE, 0, 862), Some(5));
        assert_eq!(drops_in(TABLE, 31, 863), None);
        assert_eq!(drops_in("", 31, 862), None);
    }

    #[test]
    fn a_request_is_a_header_and_its_body() {
        let body = SubscribeRequest {
            vectors: 5,
            reserved: 0,
        };
        let flags = NlmF::REQUEST | NlmF::ACK;
        let bytes = request(MSG_SUBSCRIBE, flags, 3, body.as_bytes()).expect("bytes");
        let (header, found, rest) = nlmsg::split(&bytes).expect("a message");
        assert_eq!(
            (header.len, header.kind, header.flags),
            (24, MSG_SUBSCRIBE, 5)
        );
        assert_eq!((header.seq, header.port), (3, 0));
        assert_eq!((found, rest), (body.as_bytes(), &[][..]));
        assert_eq!(request(MSG_FLUSH, flags, 1, &[]).expect("bytes").len(), 16);
    }

    #[test]
    fn the_kernels_constants_are_nelis() {
        assert_eq!(NLMSG_ERROR, u16::from(Nlmsg::Error));
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_panic(table in ".{0,300}", rows in "[0-9 \n-]{0,200}") {
            let _ = drops_in(&table, 31, 1);
            let _ = drops_in(&format!("sk Eth Pid Drops\n{rows}"), 31, 1);
        }
    }
}
