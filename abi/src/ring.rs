// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The completion ring: records that the device writes by DMA into memory the
//! driver allocated, one ring per vector.
//!
//! Like an NVMe completion queue: the device writes record `n` at index
//! `n % entries` with the phase bit of its lap in the last word, written last;
//! the driver takes records while the phase is the one it expects, and tells
//! the device how far it came by the ring's consumer index in the instrument
//! BAR ([`crate::trace::consumer_offset`]). Interrupts may merge; records may
//! not.
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
    /// Zero.
    pub reserved: u32,
    /// 1 on even laps of the ring (the first is lap 0), 0 on odd ones;
    /// written last.
    pub phase: u32,
}

layout!(EventRecord, 32, {
    seq: 0,
    payload_offset: 8,
    payload_len: 12,
    slot: 16,
    flags: 20,
    reserved: 24,
    phase: 28,
});

/// The phase that record number `n` (free-running, from 0) carries in a ring
/// of `entries` records.
#[must_use]
pub const fn phase_of(n: u32, entries: u32) -> u32 {
    ((n / entries) & 1) ^ 1
}
