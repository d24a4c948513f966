// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The instrument BAR: a memfd that host, driver and agent all have mapped.
//! Everything in it may change under our eyes, by the hand of anybody in the
//! guest, so every access is one atomic load or store.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{Ordering, fence},
    },
};

use irqbed_abi::{
    pci::INSTRUMENT_BAR_SIZE,
    trace::{PING_OFFSET, PING_STOP, PONG_OFFSET, PONG_TSC_OFFSET, SLOTS, TraceSlot, slot_offset},
};

use super::{Seq, Vector};
use crate::{
    shared_memory::SharedMemory,
    tsc::{GuestTsc, HostTsc},
};

/// Times a snapshot is taken again because the slot was being reused.
const SNAPSHOT_TRIES: u32 = 4;

/// The instrument BAR could not be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot make {INSTRUMENT_BAR_SIZE} bytes of shared memory for the instrument BAR")]
pub struct InstrumentError(#[source] io::Error);

/// An answer to a calibration ping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pong {
    /// Number of the exchange.
    pub number: u64,
    /// Guest time when the ping was seen.
    pub tsc: GuestTsc,
}

/// The memory of the instrument BAR.
#[derive(Debug)]
pub struct Instrument {
    memory: SharedMemory,
}

impl Instrument {
    pub(super) fn new() -> Result<Self, InstrumentError> {
        let memory = SharedMemory::new("irqbed-instrument", INSTRUMENT_BAR_SIZE);
        Ok(Self {
            memory: memory.map_err(InstrumentError)?,
        })
    }

    /// The file behind the BAR.
    pub(super) fn file(&self) -> Arc<File> {
        self.memory.file()
    }

    fn load_u32(&self, offset: u32, order: Ordering) -> u32 {
        self.memory.load_u32(offset as usize, order)
    }

    fn store_u32(&self, offset: u32, value: u32, order: Ordering) {
        self.memory.store_u32(offset as usize, value, order);
    }

    fn load_u64(&self, offset: u32, order: Ordering) -> u64 {
        self.memory.load_u64(offset as usize, order)
    }

    fn store_u64(&self, offset: u32, value: u64, order: Ordering) {
        self.memory.store_u64(offset as usize, value, order);
    }

    /// How far the driver says it came in the ring of a vector.
    pub(super) fn consumer(&self, vector: Vector) -> u32 {
        let offset = irqbed_abi::trace::consumer_offset(vector.get());
        self.load_u32(offset, Ordering::Acquire)
    }

    /// In an empty ring all records before the first are consumed.
    pub(super) fn set_consumer(&self, vector: Vector, first: u32) {
        let offset = irqbed_abi::trace::consumer_offset(vector.get());
        self.store_u32(offset, first, Ordering::Release);
    }

    /// Gives the slot of an event to it: no stamp, no verdict. Number 0 says
    /// meanwhile that the slot is nobody's.
    pub(super) fn open_slot(&self, seq: Seq, vector: Vector) {
        use std::mem::offset_of;
        let at = |field: usize| slot_offset(seq.slot()) + field as u32;
        self.store_u64(at(offset_of!(TraceSlot, seq)), 0, Ordering::Relaxed);
        fence(Ordering::Release);
        let relaxed = Ordering::Relaxed;
        self.store_u32(at(offset_of!(TraceSlot, verdict)), 0, relaxed);
        self.store_u64(at(offset_of!(TraceSlot, raise)), 0, relaxed);
        self.store_u64(at(offset_of!(TraceSlot, isr)), 0, relaxed);
        self.store_u64(at(offset_of!(TraceSlot, notify)), 0, relaxed);
        self.store_u64(at(offset_of!(TraceSlot, user)), 0, relaxed);
        self.store_u32(at(offset_of!(TraceSlot, vector)), vector.get(), relaxed);
        self.store_u64(at(offset_of!(TraceSlot, reply)), 0, relaxed);
        self.store_u64(at(offset_of!(TraceSlot, command)), 0, relaxed);
        self.store_u64(at(offset_of!(TraceSlot, seq)), seq.get(), Ordering::Release);
    }

    /// Stamps the moment an event is published.
    pub(super) fn stamp_raise(&self, slot: u32, now: HostTsc) {
        let at = slot_offset(slot) + std::mem::offset_of!(TraceSlot, raise) as u32;
        self.store_u64(at, now.0, Ordering::Release);
    }

    /// What slot `slot` says now; `None` for a slot that does not exist. All
    /// of it speaks of one event, and where `verdict` is set, all stamps of
    /// that event are there. `seq` is 0 while the slot is nobody's.
    #[must_use]
    pub fn slot(&self, slot: u32) -> Option<TraceSlot> {
        use std::mem::offset_of;
        if slot >= SLOTS {
            return None;
        }
        let at = |field: usize| slot_offset(slot) + field as u32;
        for _ in 0..SNAPSHOT_TRIES {
            let seq = self.load_u64(at(offset_of!(TraceSlot, seq)), Ordering::Acquire);
            // The verdict is written last, so it is read first.
            let verdict = self.load_u32(at(offset_of!(TraceSlot, verdict)), Ordering::Acquire);
            let stamp = |field| self.load_u64(at(field), Ordering::Relaxed);
            let snapshot = TraceSlot {
                seq,
                raise: stamp(offset_of!(TraceSlot, raise)),
                isr: stamp(offset_of!(TraceSlot, isr)),
                notify: stamp(offset_of!(TraceSlot, notify)),
                user: stamp(offset_of!(TraceSlot, user)),
                verdict,
                vector: self.load_u32(at(offset_of!(TraceSlot, vector)), Ordering::Relaxed),
                reply: stamp(offset_of!(TraceSlot, reply)),
                command: stamp(offset_of!(TraceSlot, command)),
            };
            fence(Ordering::Acquire);
            if self.load_u64(at(offset_of!(TraceSlot, seq)), Ordering::Relaxed) == seq {
                return Some(snapshot);
            }
        }
        Some(TraceSlot::default())
    }

    /// What is known of an event; `None` when its slot belongs to another one
    /// by now, or to none.
    #[must_use]
    pub fn event(&self, seq: Seq) -> Option<TraceSlot> {
        self.slot(seq.slot()).filter(|slot| slot.seq == seq.get())
    }

    /// Sends calibration ping number `number`; [`PING_STOP`] ends it. Numbers
    /// start at 1: 0 is what is there before the first.
    pub fn ping(&self, number: u64) {
        self.store_u64(PING_OFFSET, number, Ordering::Release);
    }

    /// Ends the calibration.
    pub fn ping_stop(&self) {
        self.ping(PING_STOP);
    }

    /// The last answer to a ping.
    #[must_use]
    pub fn pong(&self) -> Pong {
        // The number is written after the time.
        let number = self.load_u64(PONG_OFFSET, Ordering::Acquire);
        let tsc = GuestTsc(self.load_u64(PONG_TSC_OFFSET, Ordering::Relaxed));
        Pong { number, tsc }
    }

    /// Forgets ping and pong, before a calibration.
    pub fn clear_pings(&self) {
        self.store_u64(PONG_OFFSET, 0, Ordering::Relaxed);
        self.store_u64(PONG_TSC_OFFSET, 0, Ordering::Relaxed);
        self.ping(0);
    }
}
