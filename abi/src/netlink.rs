// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The netlink protocol between the driver and its listeners.
//!
//! The driver owns a netlink protocol unit (31 unless told otherwise). A
//! listener either sends [`MSG_SUBSCRIBE`] and is sent each event by unicast,
//! or joins [`GROUP_EVENTS`]. Requests carry `NLM_F_REQUEST`, are answered
//! with `NLMSG_ERROR` on failure and, where `NLM_F_ACK` is set, on success.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Netlink protocol unit unless the module parameter `unit` says otherwise:
/// the last one, which nothing in the kernel claims.
pub const DEFAULT_UNIT: u32 = 31;

/// Request: send me events by unicast. Payload: [`SubscribeRequest`], or
/// nothing for all vectors. A second one changes the first.
pub const MSG_SUBSCRIBE: u16 = 0x10;
/// Request: no more events. No payload.
pub const MSG_UNSUBSCRIBE: u16 = 0x11;
/// Request: the counters as they are now, answered in the callback by
/// [`MSG_COUNTERS`]. No payload.
pub const MSG_GET_COUNTERS: u16 = 0x12;
/// Request: wait until each record that is in a ring now was handed to its
/// notifier, then answer with [`MSG_COUNTERS`]. It takes long and is done by a
/// worker; `sendmsg` returns before. No payload.
pub const MSG_FLUSH: u16 = 0x13;
/// Answer: [`crate::counters::Counters`].
pub const MSG_COUNTERS: u16 = 0x14;
/// Notification: an [`EventMessage`] with the payload behind it.
pub const MSG_EVENT: u16 = 0x15;
/// Request: a reply to an event. Payload: [`crate::reply::ReplyRequest`].
pub const MSG_REPLY: u16 = 0x16;

/// Multicast group of the events, as a group number (bit 0 of a group mask).
pub const GROUP_EVENTS: u32 = 1;

/// Most subscribers by unicast.
pub const MAX_SUBSCRIBERS: u32 = 64;

/// Most events in one datagram, a message each.
pub const MAX_BATCH: u32 = 64;

/// Payload of [`MSG_SUBSCRIBE`].
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct SubscribeRequest {
    /// Bit `v` asks for the events of vector `v`; 0 is refused.
    pub vectors: u32,
    /// Zero.
    pub reserved: u32,
}

layout!(SubscribeRequest, 8, { vectors: 0, reserved: 4 });

/// Payload of [`MSG_EVENT`]; `payload_len` bytes follow.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct EventMessage {
    /// Number of the event.
    pub seq: u64,
    /// Index of the event's trace slot.
    pub slot: u32,
    /// Vector of the event.
    pub vector: u32,
    /// Length of the payload behind this structure, bytes.
    pub payload_len: u32,
    /// `EVENT_*` bits of [`crate::ring`].
    pub flags: u32,
}

layout!(EventMessage, 24, {
    seq: 0,
    slot: 8,
    vector: 12,
    payload_len: 16,
    flags: 20,
});
