// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a run leaves: of each event its stamps and what its receiver found.

use std::time::Duration;

use device_model::{
    GuestTsc, HostTsc,
    event::{EventSource, RaiseError, Seq},
};
use irqbed_abi::trace::{
    TraceSlot, VERDICT_BAD_PAYLOAD, VERDICT_NONE, VERDICT_OK, VERDICT_OUT_OF_ORDER,
};

/// What became of one event.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// Its number.
    pub seq: Seq,
    /// When the device raised it; `None` when its ring was full.
    pub raise: Option<HostTsc>,
    /// When the handler took it; `None` when it did not.
    pub isr: Option<GuestTsc>,
    /// When the notifier took it.
    pub notify: Option<GuestTsc>,
    /// When the receiving process had it.
    pub user: Option<GuestTsc>,
    /// When the process replied; `None` when it did not.
    pub reply: Option<GuestTsc>,
    /// When the driver was entered with the reply; `None` too for a reply that
    /// needs no driver.
    pub command: Option<GuestTsc>,
    /// When the device saw the reply.
    pub device: Option<HostTsc>,
    /// What the receiver found, `VERDICT_*`.
    pub verdict: u32,
}

impl Trace {
    /// As the event's slot has it now.
    pub(super) fn of(source: &EventSource, seq: Seq) -> Self {
        let slot: TraceSlot = source.instrument().event(seq).unwrap_or_default();
        let stamp = |tsc: u64| (tsc != 0).then_some(tsc);
        Self {
            seq,
            raise: stamp(slot.raise).map(HostTsc),
            isr: stamp(slot.isr).map(GuestTsc),
            notify: stamp(slot.notify).map(GuestTsc),
            user: stamp(slot.user).map(GuestTsc),
            reply: stamp(slot.reply).map(GuestTsc),
            command: stamp(slot.command).map(GuestTsc),
            device: source.replied(seq),
            verdict: slot.verdict,
        }
    }
}

/// What a run left.
#[derive(Debug, Default)]
pub struct Run {
    /// One entry per event raised, in order.
    pub traces: Vec<Trace>,
    /// From the first event to the last.
    pub duration: Duration,
    /// The event at which a [`Limit`](super::Limit) ended it.
    pub stopped_by: Option<Seq>,
    /// Why the device took no more events, where that is the doing of a fault.
    pub refused: Option<RaiseError>,
    /// Events that faults had kept back and that arrived when they were over.
    pub late: u64,
}

impl Run {
    /// Events that the measuring listener received intact and in order.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.count(|trace| trace.verdict == VERDICT_OK)
    }

    /// Events that the measuring listener found good or bad.
    #[must_use]
    pub fn judged(&self) -> u64 {
        self.count(|trace| trace.verdict != VERDICT_NONE)
    }

    /// Events whose payload was not what was sent.
    #[must_use]
    pub fn bad_payload(&self) -> u64 {
        self.count(|trace| trace.verdict == VERDICT_BAD_PAYLOAD)
    }

    /// Events that came after a later one of the same vector.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        self.count(|trace| trace.verdict == VERDICT_OUT_OF_ORDER)
    }

    fn count(&self, is: impl Fn(&Trace) -> bool) -> u64 {
        self.traces.iter().filter(|trace| is(trace)).count() as u64
    }
}
