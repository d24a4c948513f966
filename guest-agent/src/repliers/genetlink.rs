// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by a request to the driver's generic netlink family.

use anyhow::Result;
use irqbed_abi::{control::ReplyBy, netlink::EventMessage};

use super::{
    netlink::Requests,
    replier::{Kind, Replier},
};
use crate::{
    genetlink::{Family, PROTOCOL, Reply},
    instrument::Slot,
    netlink::Socket,
};

/// A request, no acknowledgement asked.
pub const GENETLINK: Kind = Kind {
    way: ReplyBy::Genetlink,
    open: || Ok(Box::new(Genetlink::open()?)),
};

struct Genetlink(Requests);

impl Genetlink {
    fn open() -> Result<Self> {
        let mut socket = Socket::open(PROTOCOL)?;
        let family = Family::find(&mut socket)?;
        let blank = Reply::to(&EventMessage::default());
        Ok(Self(Requests::new(socket, family.id, &blank)?))
    }
}

impl Replier for Genetlink {
    fn reply(&mut self, event: &EventMessage, slot: Slot<'_>) -> bool {
        self.0.send(&Reply::to(event), slot)
    }
}
