// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Raising an event: number, trace slot, payload, record, time stamp, phase,
//! interrupt, in this order. Everything an event needs was allocated before,
//! and one lock covers the way from the number to the interrupt, so that
//! records appear in the order of their numbers.

use std::{
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{Ordering, fence},
    },
    time::{Duration, Instant},
};

use irqbed_abi::{
    pattern,
    ring::{EVENT_PATTERN, EventRecord, MAX_PAYLOAD},
};
use zerocopy::IntoBytes;

use super::{
    DeviceCounters, Instrument, Seq, Vector, registers::Register, ring::Place, state::State,
};
use crate::{
    device::Bus,
    dma::DmaError,
    irq::{IrqError, Signalled},
    tsc::HostTsc,
};

/// Offset of the phase in a record, bytes.
const PHASE_OFFSET: u64 = std::mem::offset_of!(EventRecord, phase) as u64;

/// What an event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// That many bytes of [`irqbed_abi::pattern`], which the receiver checks.
    Pattern(u32),
    /// These bytes.
    Bytes(&'a [u8]),
}

impl Payload<'_> {
    /// Length, bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Pattern(len) => *len as usize,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it carries nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An event that took a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// Its number.
    pub seq: Seq,
    /// How far it came.
    pub outcome: Outcome,
}

/// How far an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its record is in the ring and its vector was signalled.
    Signalled,
    /// Its record is in the ring, but its vector is connected to nothing yet.
    Pending,
    /// The ring or its payload area was full; the event is lost, and its
    /// trace slot has no stamp.
    RingOverflow,
}

/// An event that could not be raised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RaiseError {
    /// The driver has not enabled the device.
    #[error(
        "the event device is not enabled: no driver has loaded in the guest, or it has unloaded"
    )]
    NotEnabled,
    /// The driver has not armed that ring.
    #[error("vector {0} has no armed ring: the driver does not use it")]
    NotArmed(Vector),
    /// A DMA access failed before; only a reset by the driver clears that.
    #[error("the event device has stopped after a failed DMA access: reload the driver")]
    DmaStopped,
    /// Longer than any payload may be.
    #[error("a payload of {0} bytes is too long: the most is {MAX_PAYLOAD}")]
    PayloadTooLong(usize),
    /// The event took a number, but could not be written to the guest.
    #[error("event {seq} is lost, and the event device has stopped")]
    Dma {
        /// Number of the event.
        seq: Seq,
        /// The access that failed.
        source: DmaError,
    },
}

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

    /// The memory that host and guest share.
    #[must_use]
    pub fn instrument(&self) -> &Instrument {
        &self.shared.instrument
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

    fn raise_locked(
        &self,
        state: &mut State,
        bus: &Bus,
        vector: Vector,
        payload: Payload<'_>,
    ) -> Result<Raised, RaiseError> {
        let instrument = &self.shared.instrument;
        let len = match u32::try_from(payload.len()) {
            Ok(len) if len <= MAX_PAYLOAD => len,
            _ => return Err(RaiseError::PayloadTooLong(payload.len())),
        };
        if state.dma_error {
            return Err(RaiseError::DmaStopped);
        }
        if !state.is_ready() {
            return Err(RaiseError::NotEnabled);
        }
        let ring = state.ring_mut(vector);
        let Some(producer) = ring.and_then(|ring| ring.producer.as_mut()) else {
            return Err(RaiseError::NotArmed(vector));
        };
        producer.observe(instrument.consumer(vector));
        let (place, geometry) = (producer.place(len), *producer.geometry());

        // At one event a nanosecond the number lasts for 584 years.
        let seq = Seq(state.last_seq.wrapping_add(1));
        state.last_seq = seq.get();
        state.counters.raised += 1;
        instrument.open_slot(seq, vector);
        let Some(place) = place else {
            state.counters.ring_overflow += 1;
            if let Some(ring) = state.ring_mut(vector) {
                ring.overflows = ring.overflows.saturating_add(1);
            }
            let outcome = Outcome::RingOverflow;
            return Ok(Raised { seq, outcome });
        };

        let mut publish = || {
            let (bytes, flags) = match payload {
                Payload::Bytes(bytes) => (bytes, 0),
                Payload::Pattern(_) => {
                    let (bytes, _) = state.pattern.split_at_mut(len as usize);
                    pattern::fill(seq.get(), bytes);
                    (&*bytes, EVENT_PATTERN)
                }
            };
            let record = record(seq, &place, len, flags);
            // Both areas end inside the address space, as the ring was armed.
            let record_at = at(geometry.records, place.record_offset);
            if !bytes.is_empty() {
                let payload_at = at(geometry.payload, u64::from(place.payload_offset));
                bus.dma.write(payload_at, bytes)?;
            }
            bus.dma.write(record_at, record.as_bytes())?;
            instrument.stamp_raise(seq, HostTsc::now());
            bus.dma
                .store_release(at(record_at, PHASE_OFFSET), place.phase)
        };
        if let Err(source) = publish() {
            state.counters.dma_errors += 1;
            state.dma_error = true;
            tracing::error!("event {seq} is lost and the device stops: {source}");
            return Err(RaiseError::Dma { seq, source });
        }
        if let Some(producer) = state
            .ring_mut(vector)
            .and_then(|ring| ring.producer.as_mut())
        {
            producer.commit(place);
        }
        state.counters.published += 1;
        // The record must be visible before the guest can be interrupted.
        fence(Ordering::SeqCst);
        let outcome = match bus.irqs.signal_msix(vector.get()) {
            Ok(Signalled::Sent) => Outcome::Signalled,
            Ok(Signalled::Pending) => Outcome::Pending,
            Err(error) => not_signalled(&error),
        };
        if outcome == Outcome::Pending {
            state.counters.unsignalled += 1;
        }
        Ok(Raised { seq, outcome })
    }

    /// A write of the driver to a register.
    pub(super) fn write(&self, register: Register, value: u32) {
        let Some(bus) = self.shared.bus.get() else {
            return;
        };
        let mut state = self.lock();
        let raise = state.write(register, value, &bus.dma, &self.shared.instrument);
        if let Some(vector) = raise {
            match self.raise_locked(&mut state, bus, vector, Payload::Bytes(&[])) {
                Ok(_) => state.counters.self_raised += 1,
                Err(error) => tracing::warn!("the driver raised an event in vain: {error}"),
            }
        }
        if state.is_ready() {
            self.shared.enabled.notify_all();
        }
    }

    /// Whether an event with that payload would find room now. False also
    /// while the ring is not armed.
    #[must_use]
    pub fn has_room(&self, vector: Vector, len: usize) -> bool {
        let consumer = self.shared.instrument.consumer(vector);
        let mut state = self.lock();
        let ring = state.ring_mut(vector);
        let Some(producer) = ring.and_then(|ring| ring.producer.as_mut()) else {
            return false;
        };
        producer.observe(consumer);
        u32::try_from(len).is_ok_and(|len| producer.place(len).is_some())
    }

    /// Records of a vector that the driver has not consumed; 0 while its ring
    /// is not armed.
    #[must_use]
    pub fn in_flight(&self, vector: Vector) -> u32 {
        let consumer = self.shared.instrument.consumer(vector);
        let mut state = self.lock();
        let ring = state.ring_mut(vector);
        ring.and_then(|ring| ring.producer.as_mut())
            .map_or(0, |producer| {
                producer.observe(consumer);
                producer.in_flight()
            })
    }

    /// Events lost on a vector since the last reset, as the driver reads it.
    #[must_use]
    pub fn overflows(&self, vector: Vector) -> u32 {
        self.lock().ring(vector).map_or(0, |ring| ring.overflows)
    }

    /// The device's part of the account.
    #[must_use]
    pub fn counters(&self) -> DeviceCounters {
        self.lock().counters
    }

    /// Number of the last event raised; `None` before the first.
    #[must_use]
    pub fn last_seq(&self) -> Option<Seq> {
        Seq::new(self.lock().last_seq)
    }

    /// Whether the driver has enabled the device and nothing failed since.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().is_ready()
    }

    /// Waits until the driver has enabled the device, at most `timeout`. Says
    /// whether it has.
    #[must_use]
    pub fn wait_ready(&self, timeout: Duration) -> bool {
        let started = Instant::now();
        let mut state = self.lock();
        while !state.is_ready() {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return false;
            }
            let waited = self.shared.enabled.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Bit `v` is set where the ring of vector `v` is armed.
    #[must_use]
    pub fn armed_vectors(&self) -> u32 {
        self.lock().armed()
    }
}

/// The record of an event, still with the phase of the lap before, which says
/// that it is not there yet.
fn record(seq: Seq, place: &Place, len: u32, flags: u32) -> EventRecord {
    EventRecord {
        seq: seq.get(),
        payload_offset: place.payload_offset,
        payload_len: len,
        slot: seq.slot(),
        flags,
        reserved: 0,
        phase: place.phase ^ 1,
    }
}

fn at(base: crate::GuestAddr, offset: u64) -> crate::GuestAddr {
    crate::GuestAddr(base.0.wrapping_add(offset))
}

/// An eventfd that takes no signal is as good as none; the record is there.
#[cold]
fn not_signalled(error: &IrqError) -> Outcome {
    tracing::error!("{error}");
    Outcome::Pending
}
