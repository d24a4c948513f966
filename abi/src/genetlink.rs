// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver's generic netlink family: what `abi/netlink/irqbed.yaml`
//! specifies, under the names that the kernel's tools make of it.
//!
//! The family exists while the driver is loaded, so that anybody may reply by
//! it. Where the driver notifies by it, a listener sends [`CMD_SUBSCRIBE`] and is
//! sent each event by unicast, or joins the group [`MCGRP_EVENTS`]. Every
//! operation needs `CAP_NET_ADMIN`, and so does the group where the kernel can
//! ask for it (Linux 6.8 and the stable kernels that took it over).

/// Name of the family.
pub const FAMILY_NAME: &str = "irqbed";
/// Version of the family.
pub const FAMILY_VERSION: u8 = 1;
/// Name of the multicast group of the events.
pub const MCGRP_EVENTS: &str = "events";

/// Request: send me events by unicast, of the vectors in
/// [`A_SUBSCRIPTION_VECTORS`]. A second one changes the first.
pub const CMD_SUBSCRIBE: u8 = 1;
/// Request: no more events. No attributes.
pub const CMD_UNSUBSCRIBE: u8 = 2;
/// Request: the counters as they are now, answered with a message of the same
/// command. No attributes.
pub const CMD_GET_COUNTERS: u8 = 3;
/// Notification: an event, `A_EVENT_*`.
pub const CMD_EVENT: u8 = 4;
/// Request: a reply to the event of [`A_EVENT_SEQ`], whose trace slot is
/// [`A_EVENT_SLOT`].
pub const CMD_REPLY: u8 = 5;

/// u32: bit `v` asks for the events of vector `v`; 0 is refused.
pub const A_SUBSCRIPTION_VECTORS: u16 = 1;

/// Padding, where the kernel needs it to align the next attribute.
pub const A_EVENT_PAD: u16 = 1;
/// u64: number of the event.
pub const A_EVENT_SEQ: u16 = 2;
/// u32: index of the event's trace slot.
pub const A_EVENT_SLOT: u16 = 3;
/// u32: MSI-X vector of the event.
pub const A_EVENT_VECTOR: u16 = 4;
/// u32: `EVENT_*` bits of [`crate::ring`].
pub const A_EVENT_FLAGS: u16 = 5;
/// Bytes: the payload.
pub const A_EVENT_PAYLOAD: u16 = 6;

/// Padding, where the kernel needs it to align the next attribute.
pub const A_COUNTERS_PAD: u16 = 1;
/// u64: the first field of [`crate::counters::Counters`]; the others follow,
/// one number each.
pub const A_COUNTERS_INTERRUPTS: u16 = 2;
