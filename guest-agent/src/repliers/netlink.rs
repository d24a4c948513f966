// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by a request to the driver's netlink socket.

use anyhow::{Context, Result};
use irqbed_abi::{
    control::ReplyBy,
    netlink::{EventMessage, MSG_REPLY},
    reply::ReplyRequest,
};
use neli::consts::nl::NlmF;
use rustix::net::{SendFlags, send};
use zerocopy::{FromZeros, IntoBytes};

use super::{Kind, Replier};
use crate::{
    instrument::Slot,
    netlink::{self, Socket, unit},
    tsc, wire,
};

/// A request, no acknowledgement asked.
pub const NETLINK: Kind = Kind {
    way: ReplyBy::Netlink,
    open: || Ok(Box::new(Netlink::open()?)),
};

/// It has a socket of its own: where events come by one, an error of the driver
/// would be taken for its goodbye.
struct Netlink {
    socket: Socket,
    /// The request but for its payload, which is filled in for each event.
    datagram: Vec<u8>,
}

impl Netlink {
    fn open() -> Result<Self> {
        let blank = ReplyRequest::new_zeroed();
        Ok(Self {
            socket: Socket::open(unit()?)?,
            datagram: netlink::request(MSG_REPLY, NlmF::REQUEST, 0, blank.as_bytes())
                .context("cannot make a reply")?,
        })
    }
}

impl Replier for Netlink {
    fn reply(&mut self, event: &EventMessage, slot: Slot<'_>) -> bool {
        let request = super::request(event);
        let Some(payload) = self.datagram.get_mut(wire::HEADER..) else {
            return false;
        };
        if request.write_to(payload).is_err() {
            return false;
        }
        slot.stamp_reply(tsc::now());
        send(&self.socket, &self.datagram, SendFlags::empty()).is_ok()
    }
}
