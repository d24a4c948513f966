// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other direction: a process that received an event replies to it, and
//! the device sees the reply.
//!
//! A process hands a [`ReplyRequest`] to the driver, by netlink
//! ([`crate::netlink::MSG_REPLY`]), by `write` to the character device, or by
//! [`IOC_REPLY`], or says the same by generic netlink
//! ([`crate::genetlink::CMD_REPLY`]); the driver checks it and rings the
//! doorbell. Or it maps the doorbell at [`DOORBELL_MMAP_OFFSET`] and rings it by
//! itself.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Offset in the doorbell BAR of the doorbell: 32 bits, write-only. What is
/// written is the lower half of the number of the event that is replied to;
/// the device widens it, and knows the trace slot by it. Anything else that is
/// written to the BAR is counted and has no effect.
pub const DOORBELL: u32 = 0x00;

/// Offset of the doorbell for `mmap` of the character device: one page.
pub const DOORBELL_MMAP_OFFSET: u64 = 0x2_0000_0000;

/// `_IOW(0xb5, 4, ReplyRequest)`: reply to an event.
pub const IOC_REPLY: u32 = 0x4010_b504;

/// A reply to one event.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ReplyRequest {
    /// Number of the event.
    pub seq: u64,
    /// Index of the event's trace slot; refused where it speaks of another
    /// event by now.
    pub slot: u32,
    /// Zero.
    pub reserved: u32,
}

layout!(ReplyRequest, 16, { seq: 0, slot: 8, reserved: 12 });
