// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Netlink messages to the driver: mostly ones that it knows, often damaged.

use fastrand::Rng;
use irqbed_abi::{
    genetlink::{A_EVENT_SEQ, A_EVENT_SLOT, A_SUBSCRIPTION_VECTORS, CMD_REPLY, CMD_SUBSCRIBE},
    netlink::{MSG_REPLY, MSG_SUBSCRIBE, SubscribeRequest},
    reply::ReplyRequest,
    trace::SLOTS,
};
use zerocopy::IntoBytes;

use crate::nlmsg::HEADER;

/// A number as a driver meets them: small, large, a power of two, next to one.
pub fn number(rng: &mut Rng) -> u64 {
    match rng.u8(..6) {
        0 => 0,
        1 => rng.u64(..64),
        2 => 1 << rng.u32(..64),
        3 => (1_u64 << rng.u32(..64)).wrapping_sub(1),
        4 => u64::MAX - rng.u64(..4),
        _ => rng.u64(..),
    }
}

/// The lower half of such a number.
pub fn word(rng: &mut Rng) -> u32 {
    number(rng) as u32
}

/// The bytes of a reply to an event that may be.
pub fn reply(rng: &mut Rng) -> Vec<u8> {
    let request = ReplyRequest {
        seq: number(rng),
        slot: if rng.bool() {
            rng.u32(..SLOTS)
        } else {
            word(rng)
        },
        reserved: if rng.u8(..8) == 0 { word(rng) } else { 0 },
    };
    request.as_bytes().to_vec()
}

fn bytes(rng: &mut Rng, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; rng.usize(..=most)];
    rng.fill(&mut bytes);
    bytes
}

/// A message with this type and body, its header damaged now and then.
fn message(rng: &mut Rng, kind: u16, body: &[u8]) -> Vec<u8> {
    let honest = u32::try_from(HEADER + body.len()).unwrap_or(u32::MAX);
    let len = match rng.u8(..10) {
        0 => word(rng),
        1 => honest.wrapping_add(rng.u32(..8)).wrapping_sub(4),
        _ => honest,
    };
    let flags: u16 = if rng.u8(..4) == 0 { rng.u16(..) } else { 5 };
    let mut message = len.to_ne_bytes().to_vec();
    message.extend(kind.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    message.extend(rng.u32(..).to_ne_bytes());
    message.extend(if rng.u8(..8) == 0 { word(rng) } else { 0 }.to_ne_bytes());
    message.extend(body);
    message
}

/// A datagram for the driver's own unit.
pub fn own_unit(rng: &mut Rng) -> Vec<u8> {
    let mut datagram = Vec::new();
    for _ in 0..rng.u8(1..=3) {
        let kind = match rng.u8(..8) {
            0 => rng.u16(..),
            1 => rng.u16(..0x10),
            _ => rng.u16(MSG_SUBSCRIBE..=MSG_REPLY),
        };
        let body = match kind {
            MSG_SUBSCRIBE if rng.bool() => SubscribeRequest {
                vectors: word(rng),
                reserved: if rng.u8(..8) == 0 { word(rng) } else { 0 },
            }
            .as_bytes()
            .to_vec(),
            MSG_REPLY if rng.u8(..4) > 0 => reply(rng),
            _ if rng.bool() => Vec::new(),
            _ => bytes(rng, 64),
        };
        datagram.extend(message(rng, kind, &body));
        if rng.u8(..8) > 0 {
            datagram.resize(datagram.len().next_multiple_of(4), 0);
        }
    }
    if rng.u8(..10) == 0 {
        datagram.truncate(rng.usize(..=datagram.len()));
    }
    datagram
}

fn attribute(rng: &mut Rng, kind: u16, value: &[u8]) -> Vec<u8> {
    let honest = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    let len = if rng.u8(..10) == 0 {
        rng.u16(..)
    } else {
        honest
    };
    let mut attribute = len.to_ne_bytes().to_vec();
    attribute.extend(kind.to_ne_bytes());
    attribute.extend(value);
    attribute.resize(attribute.len().next_multiple_of(4), 0);
    attribute
}

/// A datagram for the driver's generic netlink family.
pub fn family(rng: &mut Rng, id: u16) -> Vec<u8> {
    let command = if rng.u8(..8) == 0 {
        rng.u8(..)
    } else {
        rng.u8(CMD_SUBSCRIBE..=CMD_REPLY)
    };
    let mut body = vec![command, if rng.u8(..8) == 0 { rng.u8(..) } else { 1 }, 0, 0];
    for _ in 0..rng.u8(..4) {
        let (kind, value) = match rng.u8(..5) {
            0 => (A_SUBSCRIPTION_VECTORS, word(rng).to_ne_bytes().to_vec()),
            1 => (A_EVENT_SEQ, number(rng).to_ne_bytes().to_vec()),
            2 => (A_EVENT_SLOT, word(rng).to_ne_bytes().to_vec()),
            3 => (rng.u16(..12), bytes(rng, 16)),
            _ => (rng.u16(..), bytes(rng, 256)),
        };
        body.extend(attribute(rng, kind, &value));
    }
    message(rng, id, &body)
}
