// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Raising an event: number, trace slot, payload, record, time stamp, the word
//! that says the record is complete, interrupt, in this order. Everything an event needs was allocated before,
//! and one lock covers the way from the number to the interrupt, so that
//! records appear in the order of their numbers.

mod look;

use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{Ordering, fence},
};

use irqbed_abi::ring::{EVENT_PATTERN, EventRecord};
use zerocopy::IntoBytes;

use super::{
    Instrument, Seq, Vector,
    raise::{Burst, Outcome, Payload, RaiseError, Raised},
    registers::Register,
    ring::{Geometry, Place},
    state::State,
};
use crate::{
    device::Bus,
    dma::{Dma, DmaError, GuestAddr},
    irq::{IrqError, IrqKind, Irqs, Signalled},
    tsc::HostTsc,
};

/// Offset in a record of the word that is written last, bytes.
const READY_OFFSET: u64 = std::mem::offset_of!(EventRecord, ready) as u64;

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Notified when the driver enables the device.
    enabled: Condvar,
    instrument: Instrument,
    bus: OnceLock<Bus>,
}

/// Raises events, from any thread. Clones raise on the same device.
#[derive(Debug, Clone)]
pub struct EventSource {
    shared: Arc<Shared>,
}

impl EventSource {
    pub(super) fn new(instrument: Instrument) -> Self {
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(State::new()),
                enabled: Condvar::new(),
                instrument,
                bus: OnceLock::new(),
            }),
        }
    }

    pub(super) fn attach(&self, bus: Bus) {
        // A device is attached once.
        let _ = self.shared.bus.set(bus);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        let state = self.shared.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }

    /// Raises one event.
    ///
    /// # Errors
    /// When the device is not enabled, the ring not armed or the payload too
    /// long, no number is taken. When guest memory cannot be written, the
    /// device stops until its driver resets it.
    pub fn raise(&self, vector: Vector, payload: Payload<'_>) -> Result<Raised, RaiseError> {
        let Some(bus) = self.shared.bus.get() else {
            return Err(RaiseError::NotEnabled);
        };
        self.raise_locked(&mut self.lock(), bus, vector, payload)
    }

    /// Raises `count` events (1 for 0) with one interrupt behind the last of
    /// them, as a device does that moderates its interrupts.
    ///
    /// # Errors
    /// As [`EventSource::raise`]; the events before the one that failed are
    /// raised.
    pub fn raise_burst(
        &self,
        vector: Vector,
        payload: Payload<'_>,
        count: u32,
    ) -> Result<Burst, RaiseError> {
        let Some(bus) = self.shared.bus.get() else {
            return Err(RaiseError::NotEnabled);
        };
        let mut state = self.lock();
        let mut left = count.max(1);
        let mut burst: Option<Burst> = None;
        let mut result = Ok(());
        while left > 0 && result.is_ok() {
            let take = if left > 1 && bus.hooks.swap(vector.get()) {
                self.publish_swapped(&mut state, vector, payload)
            } else {
                self.publish_locked(&mut state, vector, payload)
                    .map(Burst::from)
            };
            match take {
                Ok(more) => {
                    left -= more.events();
                    burst = Some(burst.map_or(more, |burst| burst.and(more)));
                }
                Err(error) => result = Err(error),
            }
        }
        let Some(burst) = burst else {
            return Err(result.err().unwrap_or(RaiseError::NotEnabled));
        };
        if burst.overflows < burst.events() {
            signal(&mut state, bus, vector);
        }
        result.map(|()| burst)
    }

    fn raise_locked(
        &self,
        state: &mut State,
        bus: &Bus,
        vector: Vector,
        payload: Payload<'_>,
    ) -> Result<Raised, RaiseError> {
        let Published { seq, published } = self.publish_locked(state, vector, payload)?;
        let outcome = if published {
            signal(state, bus, vector)
        } else {
            Outcome::RingOverflow
        };
        Ok(Raised { seq, outcome })
    }

    /// Takes two numbers, and writes the second before the first: a fault that
    /// was asked for.
    #[cold]
    fn publish_swapped(
        &self,
        state: &mut State,
        vector: Vector,
        payload: Payload<'_>,
    ) -> Result<Burst, RaiseError> {
        payload.checked_len()?;
        state.producer(vector)?;
        let (first, second) = (state.next_seq(), state.next_seq());
        let mut overflows = 0;
        for (seq, left) in [(second, 1), (first, 0)] {
            match self.publish_numbered(state, vector, payload, seq) {
                Ok(published) => overflows += u32::from(!published.published),
                Err(error) => {
                    // Its number was taken, too.
                    state.counters.dma_errors += left;
                    return Err(error);
                }
            }
        }
        Ok(Burst {
            first,
            last: second,
            overflows,
        })
    }

    /// Takes a number and writes the record; does not interrupt.
    fn publish_locked(
        &self,
        state: &mut State,
        vector: Vector,
        payload: Payload<'_>,
    ) -> Result<Published, RaiseError> {
        payload.checked_len()?;
        state.producer(vector)?;
        let seq = state.next_seq();
        self.publish_numbered(state, vector, payload, seq)
    }

    fn publish_numbered(
        &self,
        state: &mut State,
        vector: Vector,
        payload: Payload<'_>,
        seq: Seq,
    ) -> Result<Published, RaiseError> {
        let instrument = &self.shared.instrument;
        let len = payload.checked_len()?;
        let producer = state.producer(vector)?;
        producer.observe(instrument.consumer(vector));
        let (place, geometry) = (producer.place(len), *producer.geometry());
        instrument.open_slot(seq, vector);
        let Some(place) = place else {
            state.count_overflow(vector);
            let published = false;
            return Ok(Published { seq, published });
        };
        let (pattern, flags) = match payload {
            Payload::Bytes(_) => (0, 0),
            Payload::Pattern(len) => (len, EVENT_PATTERN),
        };
        let (memory, pattern) = state.memory_and_pattern(vector, seq, pattern);
        let bytes = match payload {
            Payload::Bytes(bytes) => bytes,
            Payload::Pattern(_) => pattern,
        };
        let record = EventRecord {
            seq: seq.get(),
            payload_offset: place.payload_offset,
            payload_len: len,
            slot: seq.slot(),
            flags,
            number: place.number,
            // The record is not complete yet.
            ready: place.number,
        };
        if let Err(source) = publish(memory, instrument, &geometry, &place, &record, bytes) {
            state.stop_after_dma_error();
            // The caller is told; the log is for a device that serves alone.
            tracing::warn!("event {seq} is lost and the device stops: {source}");
            return Err(RaiseError::Dma { seq, source });
        }
        state.commit(vector, place);
        let published = true;
        Ok(Published { seq, published })
    }

    /// A write of the driver to a register.
    pub(super) fn write(&self, register: Register, value: u32) {
        let Some(bus) = self.shared.bus.get() else {
            return;
        };
        let mut state = self.lock();
        let raise = state.write(register, value, &bus.dma, &self.shared.instrument);
        follow_status(&state, &bus.irqs);
        if let Some((vector, len)) = raise {
            let payload = match len {
                0 => Payload::Bytes(&[]),
                len => Payload::Pattern(len),
            };
            match self.raise_locked(&mut state, bus, vector, payload) {
                Ok(_) => state.counters.self_raised += 1,
                Err(error) => tracing::debug!("the driver raised an event in vain: {error}"),
            }
        }
        if state.is_ready() {
            self.shared.enabled.notify_all();
        }
    }

    /// After power on, but for the numbers and the account, which run on.
    pub(super) fn reset(&self) {
        let mut state = self.lock();
        state.reset(&self.shared.instrument);
        if let Some(bus) = self.shared.bus.get() {
            follow_status(&state, &bus.irqs);
        }
    }

    /// A write of the guest to the doorbell BAR, seen at `now`.
    pub(super) fn reply(&self, offset: u64, data: &[u8], now: HostTsc) {
        let mut state = self.lock();
        let last_seq = state.last_seq;
        if state.replies.take(offset, data, last_seq, now) {
            state.counters.replies += 1;
        } else {
            state.counters.unknown_replies += 1;
        }
    }
}

/// An event that took a number, and whether its ring had room for it.
struct Published {
    seq: Seq,
    published: bool,
}

impl From<Published> for Burst {
    fn from(Published { seq, published }: Published) -> Self {
        Self {
            first: seq,
            last: seq,
            overflows: u32::from(!published),
        }
    }
}

/// Interrupts, for what was published before.
fn signal(state: &mut State, bus: &Bus, vector: Vector) -> Outcome {
    // The records must be visible before the guest can be interrupted.
    fence(Ordering::SeqCst);
    let outcome = match announce(state, &bus.irqs, vector) {
        Ok(Signalled::Sent) => Outcome::Signalled,
        Ok(Signalled::Pending | Signalled::Off) => Outcome::Pending,
        Err(error) => not_signalled(&error),
    };
    if outcome == Outcome::Pending {
        state.counters.unsignalled += 1;
    }
    outcome
}

/// Interrupts the guest in the way it wants to be.
fn announce(state: &mut State, irqs: &Irqs, vector: Vector) -> Result<Signalled, IrqError> {
    let number = vector.get();
    let Some((kind, vector)) = irqs.chosen(number) else {
        return Ok(Signalled::Off);
    };
    if kind == IrqKind::Intx {
        state.irq_status |= 1 << number;
    }
    irqs.signal(kind, vector)
}

/// The line is asserted by [`announce`] alone, and no longer than a bit is set.
/// Both under the device's lock, so that neither overtakes the other.
fn follow_status(state: &State, irqs: &Irqs) {
    if state.irq_status == 0 {
        irqs.deassert_intx();
    }
}

/// Writes an event to the guest: payload, record, time stamp, last word.
fn publish(
    dma: &Dma,
    instrument: &Instrument,
    geometry: &Geometry,
    place: &Place,
    record: &EventRecord,
    payload: &[u8],
) -> Result<(), DmaError> {
    if !payload.is_empty() {
        let payload_at = at(geometry.payload, u64::from(place.payload_offset));
        dma.write(payload_at, payload)?;
    }
    let record_at = at(geometry.records, place.record_offset);
    dma.write(record_at, record.as_bytes())?;
    instrument.stamp_raise(record.slot, HostTsc::now());
    dma.store(at(record_at, READY_OFFSET), place.ready)
}

/// Both areas end inside the address space, so the sum does not wrap.
fn at(base: GuestAddr, offset: u64) -> GuestAddr {
    GuestAddr(base.0.wrapping_add(offset))
}

/// An eventfd that takes no signal is as good as none; the record is there.
#[cold]
fn not_signalled(error: &IrqError) -> Outcome {
    tracing::error!("{error}");
    Outcome::Pending
}
