// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be seen of the device while others raise its events: whether its driver
//! is there, what is in the rings, what was counted.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::EventSource;
use crate::{
    event::{DeviceCounters, Instrument, Seq, Vector, ring::Producer},
    fault::{FaultInjection, Faults},
    tsc::HostTsc,
};

impl EventSource {
    /// What goes wrong with the device, from the moment that it is served.
    #[must_use]
    pub fn faults(&self) -> Faults {
        let bus = self.shared.bus.get();
        bus.map_or_else(Faults::default, FaultInjection::faults)
    }

    /// The memory that host and guest share.
    #[must_use]
    pub fn instrument(&self) -> &Instrument {
        &self.shared.instrument
    }

    /// When the device saw the reply to an event; `None` when it did not, or
    /// when the slot of the event belongs to another one by now.
    #[must_use]
    pub fn replied(&self, seq: Seq) -> Option<HostTsc> {
        self.lock().replies.of(seq)
    }

    /// Looks at the producer of a vector as it stands now.
    fn with_producer<T>(&self, vector: Vector, look: impl FnOnce(&Producer) -> T) -> Option<T> {
        let mut state = self.lock();
        let producer = state.ring_mut(vector)?.producer.as_mut()?;
        producer.observe(self.shared.instrument.consumer(vector));
        Some(look(producer))
    }

    /// Whether an event with that payload would find room now. False also
    /// while the ring is not armed.
    #[must_use]
    pub fn has_room(&self, vector: Vector, len: usize) -> bool {
        let Ok(len) = u32::try_from(len) else {
            return false;
        };
        let room = self.with_producer(vector, |producer| producer.place(len).is_some());
        room == Some(true)
    }

    /// Records of a vector that the driver has not consumed; 0 while its ring
    /// is not armed.
    #[must_use]
    pub fn in_flight(&self, vector: Vector) -> u32 {
        let in_flight = self.with_producer(vector, Producer::in_flight);
        in_flight.unwrap_or_default()
    }

    /// Events lost on a vector since the last reset, as the driver reads it.
    #[must_use]
    pub fn overflows(&self, vector: Vector) -> u32 {
        self.lock().ring(vector).map_or(0, |ring| ring.overflows)
    }

    /// The device's part of the account.
    #[must_use]
    pub fn counters(&self) -> DeviceCounters {
        self.lock().counters(&self.shared.instrument)
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
