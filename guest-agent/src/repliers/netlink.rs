// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by a request to the driver's netlink socket.

use anyhow::{Context, Result};
use irqbed_abi::{control::ReplyBy, netlink::MSG_REPLY, reply::ReplyRequest};
use neli::consts::nl::NlmF;
use rustix::net::{SendFlags, send};
use zerocopy::{FromZeros, Immutable, IntoBytes};

use super::replier::{Kind, request};
use crate::{
    instrument::Slot,
    netlink::{self, Socket, unit},
    nlmsg, tsc,
};

/// A request, no acknowledgement asked.
pub const NETLINK: Kind = Kind {
    way: ReplyBy::Netlink,
    open: || {
        let blank = ReplyRequest::new_zeroed();
        let mut requests = Requests::new(Socket::open(unit()?)?, MSG_REPLY, &blank)?;
        Ok(Box::new(move |event, slot| {
            requests.send(&request(event), slot)
        }))
    },
};

/// Requests of one kind, by a socket of their own: where events come by one, an
/// error of the driver would be taken for the acknowledgement of the end.
pub struct Requests {
    socket: Socket,
    /// The request but for its body, which is filled in for each event.
    datagram: Vec<u8>,
}

impl Requests {
    /// Requests of this message type, with bodies as long as `blank`.
    pub fn new<T: IntoBytes + Immutable>(socket: Socket, kind: u16, blank: &T) -> Result<Self> {
        Ok(Self {
            socket,
            datagram: netlink::request(kind, NlmF::REQUEST, 0, blank.as_bytes())
                .context("cannot make a reply")?,
        })
    }

    /// Stamps the slot and sends a request. False when the kernel took none.
    #[inline(always)]
    pub fn send<T: IntoBytes + Immutable>(&mut self, body: &T, slot: Slot<'_>) -> bool {
        let Some(place) = self.datagram.get_mut(nlmsg::HEADER..) else {
            return false;
        };
        if body.write_to(place).is_err() {
            return false;
        }
        slot.stamp_reply(tsc::now());
        send(&self.socket, &self.datagram, SendFlags::empty()).is_ok()
    }
}
