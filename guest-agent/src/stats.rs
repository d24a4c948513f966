// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a listener has seen, in memory that it shares with PID 1, so that the
//! figures outlive it however it ends.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    sync::atomic::Ordering,
};

use irqbed_abi::control::ListenerReport;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use crate::mapping::Mapping;

/// Size of the shared memory, bytes: a page.
const SIZE: u16 = 4096;

/// One figure: its place in the shared memory, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Figure {
    /// [`ListenerReport::port_id`].
    PortId,
    /// [`ListenerReport::received`].
    Received,
    /// [`ListenerReport::bad_payload`].
    BadPayload,
    /// [`ListenerReport::out_of_order`].
    OutOfOrder,
    /// [`ListenerReport::malformed`].
    Malformed,
    /// [`ListenerReport::overrun_signals`].
    OverrunSignals,
    /// [`ListenerReport::signal_overflows`].
    SignalOverflows,
    /// [`ListenerReport::wake_ups`].
    WakeUps,
    /// [`ListenerReport::coalesced`].
    Coalesced,
    /// [`ListenerReport::replies`].
    Replies,
    /// [`ListenerReport::replies_unsent`].
    RepliesUnsent,
    /// [`ListenerReport::last_seq`].
    LastSeq,
    /// [`ListenerReport::kernel_drops`], as read by the listener at its end.
    KernelDrops,
}

/// The figures of one listener. The listener alone writes, PID 1 reads.
#[derive(Debug)]
pub struct Stats(Mapping);

impl Stats {
    /// Fresh figures, all zero, and the file by which another process gets them.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let file = memfd_create("irqbed-listener", MemfdFlags::CLOEXEC)?;
        ftruncate(&file, u64::from(SIZE))?;
        Ok((Self::map(&file)?, file))
    }

    /// The figures behind a file.
    pub fn map(file: impl AsFd) -> io::Result<Self> {
        Mapping::shared(file, usize::from(SIZE)).map(Self)
    }

    /// Reads a figure.
    pub fn get(&self, figure: Figure) -> u64 {
        self.0
            .word64(figure as usize * size_of::<u64>())
            .map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Writes a figure.
    #[inline(always)]
    pub fn set(&self, figure: Figure, value: u64) {
        if let Some(word) = self.0.word64(figure as usize * size_of::<u64>()) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Counts one up.
    #[inline(always)]
    pub fn count(&self, figure: Figure) {
        self.add(figure, 1);
    }

    /// Adds to a figure. With one writer a load and a store will do.
    #[inline(always)]
    pub fn add(&self, figure: Figure, count: u64) {
        self.set(figure, self.get(figure).wrapping_add(count));
    }

    /// All figures. `kernel_drops` is what PID 1 read last; a listener that
    /// ended cleanly knew better.
    pub fn report(&self, kernel_drops: u64, alive: bool) -> ListenerReport {
        ListenerReport {
            port_id: u32::try_from(self.get(Figure::PortId)).unwrap_or_default(),
            received: self.get(Figure::Received),
            bad_payload: self.get(Figure::BadPayload),
            out_of_order: self.get(Figure::OutOfOrder),
            malformed: self.get(Figure::Malformed),
            overrun_signals: self.get(Figure::OverrunSignals),
            signal_overflows: self.get(Figure::SignalOverflows),
            wake_ups: self.get(Figure::WakeUps),
            coalesced: self.get(Figure::Coalesced),
            replies: self.get(Figure::Replies),
            replies_unsent: self.get(Figure::RepliesUnsent),
            kernel_drops: kernel_drops.max(self.get(Figure::KernelDrops)),
            last_seq: self.get(Figure::LastSeq),
            alive,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_reaches_the_report() {
        let (reader, file) = Stats::create().expect("shared memory");
        let writer = Stats::map(&file).expect("the same memory");
        writer.set(Figure::PortId, 1);
        for (figure, value) in [
            (Figure::Received, 2),
            (Figure::BadPayload, 3),
            (Figure::OutOfOrder, 4),
            (Figure::Malformed, 5),
            (Figure::OverrunSignals, 6),
            (Figure::SignalOverflows, 11),
            (Figure::WakeUps, 10),
            (Figure::Coalesced, 11),
            (Figure::Replies, 13),
            (Figure::RepliesUnsent, 14),
            (Figure::LastSeq, 7),
        ] {
            writer.set(figure, value);
            writer.count(figure);
        }
        drop(writer);
        let report = ListenerReport {
            port_id: 1,
            received: 3,
            bad_payload: 4,
            out_of_order: 5,
            malformed: 6,
            overrun_signals: 7,
            signal_overflows: 12,
            wake_ups: 11,
            coalesced: 12,
            replies: 14,
            replies_unsent: 15,
            kernel_drops: 9,
            last_seq: 8,
            alive: true,
        };
        assert_eq!(reader.report(9, true), report);
    }
}
