// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events over the driver's netlink protocol: by unicast as a
//! subscriber, or by broadcast as a member of the group.

use anyhow::Result;
use irqbed_abi::{
    control::{ListenerSpec, Mechanism},
    netlink::{GROUP_EVENTS, MSG_EVENT, MSG_SUBSCRIBE, MSG_UNSUBSCRIBE, SubscribeRequest},
};
use zerocopy::IntoBytes;

use super::{
    netlink_datagrams::{Datagrams, Protocol},
    receiver::Kind,
};
use crate::{
    netlink::{Socket, unit},
    nlmsg,
    sink::Sink,
};

/// `netlink_unicast` to each subscriber.
pub const UNICAST: Kind = Kind {
    mechanism: Mechanism::Netlink,
    open: |spec, sink| subscribe(spec, sink)?.receive(),
};

/// One `netlink_broadcast` to all members of the group.
pub const BROADCAST: Kind = Kind {
    mechanism: Mechanism::NetlinkBroadcast,
    open: |spec, _| {
        let datagrams = open(spec)?;
        datagrams.join(GROUP_EVENTS)?;
        datagrams.receive()
    },
};

/// A subscriber.
pub fn subscribe(spec: &ListenerSpec, sink: &mut Sink) -> Result<Datagrams> {
    let mut datagrams = open(spec)?;
    let body = SubscribeRequest {
        vectors: spec.vectors,
        reserved: 0,
    };
    datagrams.subscribe(MSG_SUBSCRIBE, body.as_bytes(), sink)?;
    Ok(datagrams)
}

fn open(spec: &ListenerSpec) -> Result<Datagrams> {
    let unit = unit()?;
    let protocol = Protocol {
        number: unit,
        event: MSG_EVENT,
        read: nlmsg::event,
        unsubscribe: (MSG_UNSUBSCRIBE, Vec::new()),
    };
    Datagrams::new(Socket::open(unit)?, protocol, spec)
}
