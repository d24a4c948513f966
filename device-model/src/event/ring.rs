// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device's side of a completion ring: where the next record and its
//! payload go, and how much room the driver has left. The driver's consumer
//! index is memory that anybody in the guest may scribble on; it can only
//! ever free what was produced, and never take it back. A ring that was stopped
//! has no room; its records are the driver's to take.

use irqbed_abi::ring::{
    MAX_ENTRIES, MAX_PAYLOAD, MAX_PAYLOAD_AREA, MIN_ENTRIES, MIN_PAYLOAD_AREA, PAYLOAD_ALIGN,
    ready_word,
};

use crate::dma::GuestAddr;

/// Size of a record, bytes.
pub(super) const RECORD_SIZE: u64 = size_of::<irqbed_abi::ring::EventRecord>() as u64;
/// Alignment of both areas, bytes.
const AREA_ALIGN: u64 = 64;

/// Where a ring lies and how large it is, as the driver wrote it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Geometry {
    pub records: GuestAddr,
    pub payload: GuestAddr,
    pub entries: u32,
    pub payload_size: u32,
}

/// A geometry that no ring can have.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum GeometryError {
    #[error("{0} records: use a power of two from {MIN_ENTRIES} to {MAX_ENTRIES}")]
    Entries(u32),
    #[error(
        "a payload area of {0} bytes: use a multiple of {PAYLOAD_ALIGN} from {MIN_PAYLOAD_AREA} to {MAX_PAYLOAD_AREA}"
    )]
    PayloadSize(u32),
    #[error("the area at {0} is not {AREA_ALIGN}-byte aligned, or ends beyond the address space")]
    Address(GuestAddr),
}

impl Geometry {
    /// Length of the records, bytes.
    pub fn records_len(&self) -> u64 {
        u64::from(self.entries) * RECORD_SIZE
    }

    fn check(&self) -> Result<(), GeometryError> {
        let Self {
            entries,
            payload_size,
            ..
        } = *self;
        if !entries.is_power_of_two() || !(MIN_ENTRIES..=MAX_ENTRIES).contains(&entries) {
            return Err(GeometryError::Entries(entries));
        }
        if payload_size % PAYLOAD_ALIGN != 0
            || !(MIN_PAYLOAD_AREA..=MAX_PAYLOAD_AREA).contains(&payload_size)
        {
            return Err(GeometryError::PayloadSize(payload_size));
        }
        let areas = [
            (self.records, self.records_len()),
            (self.payload, u64::from(payload_size)),
        ];
        for (address, len) in areas {
            if address.0 % AREA_ALIGN != 0 || address.checked_add(len).is_none() {
                return Err(GeometryError::Address(address));
            }
        }
        Ok(())
    }
}

/// Where an event goes. Offsets are inside the areas of the geometry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Offset of the record in the records, bytes.
    pub record_offset: u64,
    /// Offset of the payload in its area, bytes; 0 for an empty one.
    pub payload_offset: u32,
    /// Number of the record.
    pub number: u32,
    /// Its last word when it is complete.
    pub ready: u32,
    /// Head of the payload area behind this payload.
    head: u64,
}

/// The producer of an armed ring.
#[derive(Debug)]
pub(super) struct Producer {
    geometry: Geometry,
    /// Number of the next record, free-running.
    produced: u32,
    /// Records known to be consumed, free-running; never ahead of `produced`.
    consumed: u32,
    /// Bytes of the payload area handed out since the ring was armed, gaps at
    /// its end included.
    head: u64,
    /// How many of them are free again.
    tail: u64,
    /// `head` behind the payload of each record in the ring.
    heads: Box<[u64]>,
    /// Nothing more is produced.
    stopped: bool,
}

impl Producer {
    /// An empty ring of that geometry, whose first record has the number `first`.
    pub fn new(geometry: Geometry, first: u32) -> Result<Self, GeometryError> {
        geometry.check()?;
        Ok(Self {
            geometry,
            produced: first,
            consumed: first,
            head: 0,
            tail: 0,
            heads: vec![0; geometry.entries as usize].into(),
            stopped: false,
        })
    }

    /// Produces nothing more.
    pub fn stop(&mut self) {
        self.stopped = true;
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Number of the next record.
    pub fn next(&self) -> u32 {
        self.produced
    }

    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Records produced and not yet consumed.
    pub fn in_flight(&self) -> u32 {
        self.produced.wrapping_sub(self.consumed)
    }

    fn index(&self, record: u32) -> u32 {
        record & (self.geometry.entries - 1)
    }

    /// Records in flight if that is the driver's consumer index. One that lies
    /// outside of them is no index of this ring and changes nothing.
    pub fn in_flight_at(&self, consumer: u32) -> u32 {
        let in_flight = self.in_flight();
        let newly = consumer.wrapping_sub(self.consumed);
        in_flight.checked_sub(newly).unwrap_or(in_flight)
    }

    /// Takes note of the driver's consumer index.
    pub fn observe(&mut self, consumer: u32) {
        if self.in_flight_at(consumer) == self.in_flight() {
            return;
        }
        self.consumed = consumer;
        let last = self.index(consumer.wrapping_sub(1));
        if let Some(head) = self.heads.get(last as usize) {
            self.tail = *head;
        }
    }

    /// Where an event with `len` bytes of payload would go; `None` while the
    /// ring or the payload area is full.
    pub fn place(&self, len: u32) -> Option<Place> {
        let is_full = self.in_flight() >= self.geometry.entries;
        if self.stopped || is_full || len > MAX_PAYLOAD {
            return None;
        }
        let size = u64::from(self.geometry.payload_size);
        let needed = u64::from(len.next_multiple_of(PAYLOAD_ALIGN));
        let position = self.head % size;
        let gap = if position + needed > size {
            size - position
        } else {
            0
        };
        let start = self.head + gap;
        let head = if len == 0 { self.head } else { start + needed };
        if head - self.tail > size {
            return None;
        }
        let offset = if len == 0 { 0 } else { start % size };
        Some(Place {
            record_offset: u64::from(self.index(self.produced)) * RECORD_SIZE,
            payload_offset: u32::try_from(offset).ok()?,
            number: self.produced,
            ready: ready_word(self.produced),
            head,
        })
    }

    /// Takes a place that [`Producer::place`] gave last.
    pub fn commit(&mut self, place: Place) {
        let index = self.index(self.produced);
        if let Some(head) = self.heads.get_mut(index as usize) {
            *head = place.head;
        }
        self.head = place.head;
        self.produced = self.produced.wrapping_add(1);
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
