// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Our end of the driver's generic netlink family: found by its name, and asked
//! over a socket of generic netlink.

use std::io::Cursor;

use anyhow::{Context, Result};
use irqbed_abi::{
    genetlink::{
        A_EVENT_SEQ, A_EVENT_SLOT, A_SUBSCRIPTION_VECTORS, CMD_REPLY, CMD_SUBSCRIBE,
        CMD_UNSUBSCRIBE, FAMILY_NAME, FAMILY_VERSION, MCGRP_EVENTS,
    },
    netlink::EventMessage,
};
use neli::{
    ToBytes,
    consts::{
        genl::{CtrlAttr, CtrlAttrMcastGrp, CtrlCmd},
        nl::GenlId,
    },
    genl::{AttrTypeBuilder, GenlmsghdrBuilder, NlattrBuilder},
    types::{Buffer, GenlBuffer},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::{netlink::Socket, nlmsg};

/// The netlink protocol of generic netlink.
pub const PROTOCOL: u32 = libc::NETLINK_GENERIC as u32;

/// Version of the controller's own family.
const CONTROLLER_VERSION: u8 = 2;

/// The driver's family, as the kernel numbered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Message type of its requests and events.
    pub id: u16,
    /// Number of the multicast group of its events.
    pub events: u32,
}

impl Family {
    /// Asks the controller for it.
    pub fn find(socket: &mut Socket) -> Result<Self> {
        let name = [FAMILY_NAME.as_bytes(), b"\0"].concat();
        let body = message(
            CtrlCmd::Getfamily.into(),
            CONTROLLER_VERSION,
            Some((CtrlAttr::FamilyName.into(), &name)),
        )?;
        let controller = GenlId::Ctrl.into();
        let answer = socket
            .query(controller, &body, controller)
            .with_context(|| {
                format!("there is no generic netlink family {FAMILY_NAME} (is the module loaded?)")
            })?;
        Self::read(&answer)
            .with_context(|| format!("the kernel describes the family {FAMILY_NAME} incompletely"))
    }

    /// Reads the controller's answer.
    fn read(body: &[u8]) -> Option<Self> {
        let (_, attributes) = nlmsg::genl(body).ok()?;
        let value = |wanted: CtrlAttr| {
            let (_, value) = attributes
                .clone()
                .find(|(kind, _)| *kind == u16::from(wanted))?;
            Some(value)
        };
        let events = nlmsg::attributes(value(CtrlAttr::McastGroups)?)
            .find_map(|(_, group)| number_of_events_group(group))?;
        Some(Self {
            id: u16::read_from_bytes(value(CtrlAttr::FamilyId)?).ok()?,
            events,
        })
    }
}

/// The number of a multicast group, if it is that of the events.
fn number_of_events_group(group: &[u8]) -> Option<u32> {
    let (mut name, mut number): (&[u8], _) = (&[], None);
    for (kind, value) in nlmsg::attributes(group) {
        match CtrlAttrMcastGrp::from(kind) {
            CtrlAttrMcastGrp::Name => name = value,
            CtrlAttrMcastGrp::Id => number = u32::read_from_bytes(value).ok(),
            _ => {}
        }
    }
    number.filter(|_| name.strip_suffix(b"\0") == Some(MCGRP_EVENTS.as_bytes()))
}

/// The request to be sent events by unicast.
pub fn subscribe(vectors: u32) -> Result<Vec<u8>> {
    let vectors = vectors.to_ne_bytes();
    message(
        CMD_SUBSCRIBE,
        FAMILY_VERSION,
        Some((A_SUBSCRIPTION_VECTORS, &vectors)),
    )
}

/// The request for no more events.
pub fn unsubscribe() -> Result<Vec<u8>> {
    message(CMD_UNSUBSCRIBE, FAMILY_VERSION, None)
}

/// A reply to an event. It is made once for each event, so its two attributes
/// lie where they go, and nothing is built: `genlmsghdr`, then twice `nlattr`
/// and value.
#[repr(C)]
#[derive(Debug, Clone, Copy, IntoBytes, Immutable)]
pub struct Reply {
    command: u8,
    version: u8,
    reserved: u16,
    seq_header: [u16; 2],
    seq: u64,
    slot_header: [u16; 2],
    slot: u32,
}

impl Reply {
    /// The reply to this event.
    #[inline(always)]
    pub fn to(event: &EventMessage) -> Self {
        Self {
            command: CMD_REPLY,
            version: FAMILY_VERSION,
            reserved: 0,
            seq_header: [attribute_len::<u64>(), A_EVENT_SEQ],
            seq: event.seq,
            slot_header: [attribute_len::<u32>(), A_EVENT_SLOT],
            slot: event.slot,
        }
    }
}

/// Length of an attribute with its header, bytes.
const fn attribute_len<T>() -> u16 {
    (size_of::<[u16; 2]>() + size_of::<T>()) as u16
}

/// A generic netlink message without the netlink header.
fn message(command: u8, version: u8, attribute: Option<(u16, &[u8])>) -> Result<Vec<u8>> {
    let mut attributes = GenlBuffer::<u16, Buffer>::new();
    if let Some((kind, value)) = attribute {
        attributes.push(
            NlattrBuilder::default()
                .nla_type(AttrTypeBuilder::default().nla_type(kind).build()?)
                .nla_payload(Buffer::from(value))
                .build()?,
        );
    }
    let message = GenlmsghdrBuilder::<u8, u16>::default()
        .cmd(command)
        .version(version)
        .attrs(attributes)
        .build()?;
    let mut bytes = Cursor::new(Vec::new());
    message.to_bytes(&mut bytes)?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nlmsg::tests::attribute;

    fn group(name: &[u8], number: u32) -> Vec<u8> {
        [
            attribute(CtrlAttrMcastGrp::Id.into(), &number.to_ne_bytes()),
            attribute(CtrlAttrMcastGrp::Name.into(), name),
        ]
        .concat()
    }

    fn described(groups: &[u8]) -> Vec<u8> {
        [
            vec![CtrlCmd::Newfamily.into(), CONTROLLER_VERSION, 0, 0],
            attribute(CtrlAttr::FamilyName.into(), b"irqbed\0"),
            attribute(CtrlAttr::FamilyId.into(), &0x1c_u16.to_ne_bytes()),
            attribute(CtrlAttr::McastGroups.into(), groups),
        ]
        .concat()
    }

    #[test]
    fn the_family_is_read_from_the_controllers_answer() {
        let groups = [
            attribute(1, &group(b"other\0", 7)),
            attribute(2, &group(b"events\0", 8)),
        ]
        .concat();
        let family = Family {
            id: 0x1c,
            events: 8,
        };
        assert_eq!(Family::read(&described(&groups)), Some(family));
        assert_eq!(
            Family::read(&described(&attribute(1, &group(b"other\0", 7)))),
            None
        );
    }

    #[test]
    fn a_request_is_a_header_and_its_attributes() {
        let body = subscribe(5).expect("bytes");
        let (command, mut attributes) = nlmsg::genl(&body).expect("a message");
        assert_eq!(command, CMD_SUBSCRIBE);
        assert_eq!(
            attributes.next(),
            Some((A_SUBSCRIPTION_VECTORS, &5_u32.to_ne_bytes()[..]))
        );
        assert_eq!(attributes.next(), None);
        assert_eq!(unsubscribe().expect("bytes"), [CMD_UNSUBSCRIBE, 1, 0, 0]);
    }

    #[test]
    fn a_reply_names_its_event_and_slot() {
        let event = EventMessage {
            seq: 0x0102_0304_0506_0708,
            slot: 9,
            ..Default::default()
        };
        let reply = Reply::to(&event);
        let (command, attributes) = nlmsg::genl(reply.as_bytes()).expect("a message");
        assert_eq!(command, CMD_REPLY);
        let expected = [
            (A_EVENT_SEQ, &event.seq.to_ne_bytes()[..]),
            (A_EVENT_SLOT, &event.slot.to_ne_bytes()[..]),
        ];
        assert_eq!(attributes.collect::<Vec<_>>(), expected);
    }

    proptest! {
        #[test]
        fn any_answer_of_the_controller_is_read_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let _ = Family::read(&bytes);
            let _ = Family::read(&described(&bytes));
            let _ = Family::read(&described(&attribute(1, &bytes)));
        }
    }
}
