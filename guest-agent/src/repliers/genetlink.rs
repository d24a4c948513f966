// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by a request to the driver's generic netlink family.

use irqbed_abi::{control::ReplyBy, netlink::EventMessage};

use super::{netlink::Requests, replier::Kind};
use crate::{
    genetlink::{Family, PROTOCOL, Reply},
    netlink::Socket,
};

/// A request, no acknowledgement asked.
pub const GENETLINK: Kind = Kind {
    way: ReplyBy::Genetlink,
    open: || {
        let mut socket = Socket::open(PROTOCOL)?;
        let family = Family::find(&mut socket)?;
        let blank = Reply::to(&EventMessage::default());
        let mut requests = Requests::new(socket, family.id, &blank)?;
        Ok(Box::new(move |event, slot| {
            requests.send(&Reply::to(event), slot)
        }))
    },
};
