// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events from the driver's generic netlink family: by unicast as a
//! subscriber, or by multicast as a member of the group.

use anyhow::Result;
use irqbed_abi::control::{ListenerSpec, Mechanism};

use super::{
    netlink_datagrams::{Datagrams, Protocol},
    receiver::Kind,
};
use crate::{
    genetlink::{Family, PROTOCOL, subscribe, unsubscribe},
    netlink::Socket,
    nlmsg,
};

/// The family's event to each subscriber.
pub const UNICAST: Kind = Kind {
    mechanism: Mechanism::Genetlink,
    open: |spec, sink| {
        let (mut datagrams, family) = open(spec)?;
        datagrams.subscribe(family.id, &subscribe(spec.vectors)?, sink)?;
        datagrams.receive()
    },
};

/// The family's event to all members of its group.
pub const MULTICAST: Kind = Kind {
    mechanism: Mechanism::GenetlinkMulticast,
    open: |spec, _| {
        let (datagrams, family) = open(spec)?;
        datagrams.join(family.events)?;
        datagrams.receive()
    },
};

fn open(spec: &ListenerSpec) -> Result<(Datagrams, Family)> {
    let mut socket = Socket::open(PROTOCOL)?;
    let family = Family::find(&mut socket)?;
    let protocol = Protocol {
        number: PROTOCOL,
        event: family.id,
        read: nlmsg::genl_event,
        unsubscribe: (family.id, unsubscribe()?),
    };
    Ok((Datagrams::new(socket, protocol, spec)?, family))
}
