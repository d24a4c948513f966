// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The instrument BAR as the agent sees it: the trace slots, in which it is
//! the last to write, and the calibration words.

use std::{
    fs::OpenOptions,
    mem::offset_of,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use irqbed_abi::{
    pci::INSTRUMENT_BAR_SIZE,
    trace::{
        PING_OFFSET, PONG_OFFSET, PONG_TSC_OFFSET, SLOTS, TraceSlot, consumer_offset, slot_offset,
    },
};

use crate::{mapping::Mapping, tsc::GuestTsc};

/// The driver's character device, through which the BAR is mapped.
pub const DEVICE: &str = "/dev/irqbed0";

/// Size of a page, bytes.
const PAGE: usize = 4096;

/// The mapped instrument BAR.
#[derive(Debug)]
pub struct Instrument(Mapping);

impl Instrument {
    /// Maps the BAR through the driver, which takes it back when the device
    /// goes.
    pub fn open() -> Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE)
            .with_context(|| format!("cannot open {DEVICE} (is the module loaded?)"))?;
        let size = usize::try_from(INSTRUMENT_BAR_SIZE)?;
        let mapping = Mapping::shared(&device, size)
            .and_then(Mapping::guarded)
            .with_context(|| format!("cannot map the instrument BAR from {DEVICE}"))?;
        Ok(Self::over(mapping))
    }

    /// The BAR as a driver maps it, which fills in its page table at the first
    /// access: here, so that no event takes a page fault for its slot.
    pub fn over(mapping: Mapping) -> Self {
        for page in (0..mapping.len()).step_by(PAGE) {
            if let Some(word) = mapping.word32(page) {
                word.load(Ordering::Relaxed);
            }
        }
        Self(mapping)
    }

    /// Tells the device how far its ring was consumed, and that what lies
    /// before may be written over.
    #[inline(always)]
    pub fn consume(&self, vector: u32, index: u32) {
        if let Some(word) = self.0.word32(consumer_offset(vector) as usize) {
            word.store(index, Ordering::Release);
        }
    }

    /// The slot of an event, if the slot exists and speaks of this event.
    #[inline(always)]
    pub fn slot(&self, index: u32, seq: u64) -> Option<Slot<'_>> {
        if index >= SLOTS {
            return None;
        }
        let base = slot_offset(index) as usize;
        let holds = self.0.word64(base + offset_of!(TraceSlot, seq))?;
        if holds.load(Ordering::Relaxed) != seq {
            return None;
        }
        Some(Slot {
            user: self.0.word64(base + offset_of!(TraceSlot, user))?,
            reply: self.0.word64(base + offset_of!(TraceSlot, reply))?,
            verdict: self.0.word32(base + offset_of!(TraceSlot, verdict))?,
        })
    }

    /// The words of the calibration.
    pub fn calibration(&self) -> Option<Calibration<'_>> {
        Some(Calibration {
            ping: self.0.word64(PING_OFFSET as usize)?,
            pong_tsc: self.0.word64(PONG_TSC_OFFSET as usize)?,
            pong: self.0.word64(PONG_OFFSET as usize)?,
        })
    }
}

/// The receiver's part of a trace slot.
#[derive(Debug, Clone, Copy)]
pub struct Slot<'a> {
    user: &'a AtomicU64,
    reply: &'a AtomicU64,
    verdict: &'a AtomicU32,
}

impl Slot<'_> {
    /// Stamps the moment the receiver was back from its system call.
    #[inline(always)]
    pub fn stamp_user(self, at: GuestTsc) {
        self.user.store(at.0, Ordering::Relaxed);
    }

    /// Stamps the moment before the receiver replies.
    #[inline(always)]
    pub fn stamp_reply(self, at: GuestTsc) {
        self.reply.store(at.0, Ordering::Relaxed);
    }

    /// Says what the receiver found; whoever reads it sees the stamp too.
    #[inline(always)]
    pub fn close(self, verdict: u32) {
        self.verdict.store(verdict, Ordering::Release);
    }
}

/// The words by which host and guest compare their clocks.
#[derive(Debug, Clone, Copy)]
pub struct Calibration<'a> {
    /// Written by the host.
    pub ping: &'a AtomicU64,
    /// Written by us, before `pong`.
    pub pong_tsc: &'a AtomicU64,
    /// Written by us, last.
    pub pong: &'a AtomicU64,
}

#[cfg(test)]
pub mod tests {
    use std::os::fd::OwnedFd;

    use irqbed_abi::trace::{SLOT_BASE, VERDICT_OK};
    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    /// An instrument BAR in plain memory, and the file behind it.
    pub fn instrument() -> (Instrument, OwnedFd) {
        let file = memfd_create("bar", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, INSTRUMENT_BAR_SIZE).expect("memory");
        (map(&file), file)
    }

    /// Another mapping of the same BAR.
    pub fn map(file: &OwnedFd) -> Instrument {
        let size = usize::try_from(INSTRUMENT_BAR_SIZE).expect("4 MiB");
        Instrument(Mapping::shared(file, size).expect("a mapping"))
    }

    /// Lets a slot speak of an event.
    pub fn assign(instrument: &Instrument, index: u32, seq: u64) {
        let word = instrument
            .0
            .word64(slot_offset(index) as usize)
            .expect("a slot");
        word.store(seq, Ordering::Relaxed);
    }

    /// User stamp and verdict of a slot.
    pub fn read(instrument: &Instrument, index: u32) -> (u64, u32) {
        let base = slot_offset(index) as usize;
        let user = instrument.0.word64(base + 32).expect("a slot");
        let verdict = instrument.0.word32(base + 40).expect("a slot");
        (
            user.load(Ordering::Relaxed),
            verdict.load(Ordering::Acquire),
        )
    }

    #[test]
    fn only_the_slot_of_the_event_is_stamped() {
        let (bar, _file) = instrument();
        assign(&bar, SLOTS - 1, 9);
        assert!(bar.slot(SLOTS - 1, 8).is_none());
        assert!(bar.slot(SLOTS, 9).is_none());
        assert!(bar.slot(u32::MAX, 9).is_none());
        let slot = bar.slot(SLOTS - 1, 9).expect("the event's slot");
        slot.stamp_user(GuestTsc(77));
        slot.close(VERDICT_OK);
        assert_eq!(read(&bar, SLOTS - 1), (77, VERDICT_OK));
        assert_eq!(SLOT_BASE, slot_offset(0));
    }
}
