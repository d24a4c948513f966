// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The completion ring: records that the device writes by DMA into memory the
//! driver allocated, one ring per vector.
//!
//! Like an NVMe completion queue, with a number in place of a phase bit: the
//! device writes record `n` at index `n % entries`. The record carries its
//! number, and one more than that in its last word, which is written last. The
//! driver takes record `n` when both words say so. No other write into the ring
//! can look like that: not one of an earlier lap, not one that is torn, late or
//! misplaced. So the driver's consumer index alone says which record is next,
//! and nothing that the device has written is remembered. Numbers run free, also
//! when a ring is armed anew ([`crate::regs::RING_NEXT`]).
//!
//! The driver tells the device how far it came by the ring's consumer index in
//! the instrument BAR ([`crate::trace::consumer_offset`]). Interrupts may merge;
//! records may not.
//!
//! Payloads lie in a second area, used as a byte ring in steps of
//! [`PAYLOAD_ALIGN`]: a payload is contiguous, so one that does not fit before
//! the end starts again at offset 0. The space of a payload is free once its
//! record is consumed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Longest payload of an event, bytes.
pub const MAX_PAYLOAD: u32 = 4096;
/// Payloads start at multiples of this, bytes.
pub const PAYLOAD_ALIGN: u32 = 64;
/// Smallest payload area, bytes: the longest payload fits twice.
pub const MIN_PAYLOAD_AREA: u32 = 8192;
/// Largest payload area, bytes.
pub const MAX_PAYLOAD_AREA: u32 = 16 << 20;
/// Fewest records in a ring.
pub const MIN_ENTRIES: u32 = 2;
/// Most records in a ring.
pub const MAX_ENTRIES: u32 = 65536;

/// [`EventRecord::flags`]: the payload is [`crate::pattern`] of the sequence
/// number, and the receiver should check it.
pub const EVENT_PATTERN: u32 = 1 << 0;

/// One record of a completion ring.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct EventRecord {
    /// Number of the event, counted from 1 over all vectors for as long as the
    /// device exists; a reset does not start it anew.
    pub seq: u64,
    /// Offset of the payload in the ring's payload area, bytes.
    pub payload_offset: u32,
    /// Length of the payload, bytes, 0 to [`MAX_PAYLOAD`].
    pub payload_len: u32,
    /// Index of the event's trace slot.
    pub slot: u32,
    /// `EVENT_*` bits.
    pub flags: u32,
    /// Number of the record in its ring, free-running.
    pub number: u32,
    /// [`ready_word`] of the number where the record is complete; written last.
    pub ready: u32,
}

layout!(EventRecord, 32, {
    seq: 0,
    payload_offset: 8,
    payload_len: 12,
    slot: 16,
    flags: 20,
    number: 24,
    ready: 28,
});

/// The last word of a complete record with that number: one more, so that
/// memory of zeros is no record.
#[must_use]
pub const fn ready_word(number: u32) -> u32 {
    number.wrapping_add(1)
}
