// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The instrument BAR: memory that host, driver and agent share, mapped
//! straight into the guest, so that neither side leaves the processor to stamp
//! the time.
//!
//! | offset | what | written by |
//! | --- | --- | --- |
//! | `0x0000` | calibration ping: u64 | host |
//! | `0x0040` | calibration pong: u64 guest TSC, then u64 number | agent |
//! | `0x1000 + 64 v` | consumer index of ring `v`: u32, free-running | driver |
//! | `0x10000 + 64 n` | [`TraceSlot`] `n` | all three |

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::pci::INSTRUMENT_BAR_SIZE;

/// Offset of the calibration ping, a u64 that the host writes: the number of
/// the exchange, or [`PING_STOP`].
pub const PING_OFFSET: u32 = 0x00;
/// Offset of the guest's TSC at the moment it saw the ping, a u64.
pub const PONG_TSC_OFFSET: u32 = 0x40;
/// Offset of the number of the exchange answered, a u64 written after the TSC.
pub const PONG_OFFSET: u32 = 0x48;
/// A ping of this value ends the calibration.
pub const PING_STOP: u64 = 0xffff_ffff_ffff_ffff;

/// Offset of the consumer index of ring 0.
pub const CONSUMER_BASE: u32 = 0x1000;
/// Distance in bytes between two consumer indices: a cache line each.
pub const CONSUMER_STRIDE: u32 = 64;

/// Offset of trace slot 0.
pub const SLOT_BASE: u32 = 0x1_0000;
/// Size of a trace slot, bytes: one cache line.
pub const SLOT_SIZE: u32 = 64;
/// Number of trace slots: they fill the BAR.
pub const SLOTS: u32 = 64512;

const _: () = assert!(SLOT_BASE as u64 + SLOTS as u64 * SLOT_SIZE as u64 == INSTRUMENT_BAR_SIZE);

/// Offset in the instrument BAR of the consumer index of a ring.
#[must_use]
pub const fn consumer_offset(vector: u32) -> u32 {
    CONSUMER_BASE + vector * CONSUMER_STRIDE
}

/// Offset in the instrument BAR of a trace slot.
#[must_use]
pub const fn slot_offset(slot: u32) -> u32 {
    SLOT_BASE + slot * SLOT_SIZE
}

/// [`TraceSlot::verdict`]: no receiver has seen the event yet.
pub const VERDICT_NONE: u32 = 0;
/// [`TraceSlot::verdict`]: received, in order, payload intact.
pub const VERDICT_OK: u32 = 1;
/// [`TraceSlot::verdict`]: received, but the payload is not what was sent.
pub const VERDICT_BAD_PAYLOAD: u32 = 2;
/// [`TraceSlot::verdict`]: received after a later event of the same vector.
pub const VERDICT_OUT_OF_ORDER: u32 = 3;

/// The time stamps of one event, and what became of it.
///
/// A slot is reused: it speaks of event `seq` only. Every stamp is a time
/// stamp counter reading of the side that wrote it; 0 means not (yet) stamped.
/// When the device saw a reply is not here: the device keeps that to itself.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct TraceSlot {
    /// Number of the event; written by the host.
    pub seq: u64,
    /// Host TSC when the record was complete, just before it was published
    /// and the interrupt signalled.
    pub raise: u64,
    /// Guest TSC at the entry of the interrupt handler; for the second and
    /// later events that one interrupt brings, when their record was taken.
    pub isr: u64,
    /// Guest TSC when the notifier took the event over.
    pub notify: u64,
    /// Guest TSC when the receiving process was back from its system call.
    pub user: u64,
    /// What the receiver found: `VERDICT_*`; written last.
    pub verdict: u32,
    /// Vector of the event; written by the host.
    pub vector: u32,
    /// Guest TSC just before the receiving process replied.
    pub reply: u64,
    /// Guest TSC when the driver was entered with the reply.
    pub command: u64,
}

layout!(TraceSlot, 64, {
    seq: 0,
    raise: 8,
    isr: 16,
    notify: 24,
    user: 32,
    verdict: 40,
    vector: 44,
    reply: 48,
    command: 56,
});
