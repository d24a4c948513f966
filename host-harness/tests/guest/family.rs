// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages of generic netlink, byte by byte, and what the kernel says of the
//! driver's family: for the tests that ask it for things.

use crate::support::{Guest, message, send_to};

/// `NETLINK_GENERIC`, and from linux/genetlink.h: `GENL_ID_CTRL`,
/// `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_FAMILY_NAME`,
/// `CTRL_ATTR_MCAST_GROUPS`, `CTRL_ATTR_MCAST_GRP_ID`.
pub const GENERIC: Option<u32> = Some(16);
pub const CONTROLLER: u16 = 16;
pub const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
pub const FAMILY_NAME: u16 = 2;
pub const GROUPS: u16 = 7;
pub const GROUP_ID: u16 = 2;

/// A netlink attribute: `nlattr` as in linux/netlink.h, padded.
pub fn attribute(declared: u16, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = declared.to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A generic netlink message, `genlmsghdr` and attributes behind its header.
pub fn genl(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let body = [&[command, 1, 0, 0], attributes].concat();
    let len = u32::try_from(16 + body.len()).expect("a short message");
    message(len, family, 0, &body)
}

/// The value of an attribute among others.
pub fn value(mut attributes: &[u8], wanted: u16) -> &[u8] {
    while let [len0, len1, kind0, kind1, ..] = *attributes {
        let len = usize::from(u16::from_le_bytes([len0, len1]));
        if u16::from_le_bytes([kind0, kind1]) & 0x3fff == wanted {
            return &attributes[4..len];
        }
        attributes = &attributes[len.next_multiple_of(4)..];
    }
    panic!("no attribute {wanted}");
}

/// The attributes of an answer.
pub fn attributes(answer: &[u8]) -> &[u8] {
    &answer[20..]
}

/// What the kernel says of the family.
pub fn described(guest: &mut Guest) -> Vec<u8> {
    let name = attribute(11, FAMILY_NAME, b"irqbed\0");
    let request = genl(CONTROLLER, GET_FAMILY, &name);
    let mut answers = send_to(guest, GENERIC, request, false);
    attributes(&answers.remove(0)).to_vec()
}

/// The number that the kernel gave to the family.
pub fn family(guest: &mut Guest) -> u16 {
    let described = described(guest);
    let id = value(&described, FAMILY_ID);
    u16::from_le_bytes(id.try_into().expect("a u16"))
}
