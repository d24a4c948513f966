// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The listener's side of a completion ring, as `guest-kmod/irqbed_ring.c` is
//! the driver's. The memory is written by a device, which need not be believed:
//! a record that makes no sense is dropped, and the ring goes on.

use std::{mem::offset_of, sync::atomic::Ordering};

use irqbed_abi::{
    netlink::EventMessage,
    ring::{EventRecord, MAX_PAYLOAD, ready_word},
    trace::SLOTS,
};
use zerocopy::FromBytes;

use crate::{mapping::Mapping, tsc};

/// Records in a ring, as the driver has them.
pub const ENTRIES: u32 = 1024;
/// Payload area of a ring, bytes, as the driver has it.
pub const PAYLOAD_AREA: u32 = 256 << 10;
/// Memory of one ring, bytes: its records, then its payloads.
pub const SIZE: usize = RECORDS + PAYLOAD_AREA as usize;

const RECORDS: usize = ENTRIES as usize * size_of::<EventRecord>();

/// One completion ring: where it lies, and how far we came.
#[derive(Debug)]
pub struct Ring {
    vector: u32,
    base: usize,
    consumed: u32,
    payload: Vec<u8>,
}

/// What the oldest record of a ring was.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken<'a> {
    /// An event, its payload, and the moment it was taken.
    Event(tsc::GuestTsc, EventMessage, &'a [u8]),
    /// A record that makes no sense.
    BadRecord,
}

impl Ring {
    /// An empty ring of a vector, whose memory begins at an offset in bytes.
    pub fn new(vector: u32, base: usize) -> Self {
        Self {
            vector,
            base,
            consumed: 0,
            payload: vec![0; MAX_PAYLOAD as usize],
        }
    }

    /// Its vector.
    pub fn vector(&self) -> u32 {
        self.vector
    }

    /// Offset of its records in the memory, bytes.
    pub fn records(&self) -> usize {
        self.base
    }

    /// Offset of its payload area in the memory, bytes.
    pub fn payloads(&self) -> usize {
        self.base + RECORDS
    }

    /// Records taken, free-running: the consumer index.
    pub fn consumed(&self) -> u32 {
        self.consumed
    }

    /// Takes the oldest record, if there is one. What it says is a copy: the
    /// device may write over it as soon as it is told the consumer index.
    #[inline(always)]
    pub fn take(&mut self, memory: &Mapping) -> Option<Taken<'_>> {
        let index = (self.consumed % ENTRIES) as usize;
        let at = self.base + index * size_of::<EventRecord>();
        let ready = memory.word32(at + offset_of!(EventRecord, ready))?;
        let number = memory.word32(at + offset_of!(EventRecord, number))?;
        // The record was complete before its last word was.
        if ready.load(Ordering::Acquire) != ready_word(self.consumed)
            || number.load(Ordering::Relaxed) != self.consumed
        {
            return None;
        }
        let user = tsc::now();
        self.consumed = self.consumed.wrapping_add(1);
        Some(match self.event(memory, at) {
            Some(event) => {
                let payload = self.payload.get(..event.payload_len as usize);
                Taken::Event(user, event, payload.unwrap_or_default())
            }
            None => Taken::BadRecord,
        })
    }

    /// The event of a record, its payload copied; `None` where it makes no
    /// sense.
    #[inline(always)]
    fn event(&mut self, memory: &Mapping, at: usize) -> Option<EventMessage> {
        let mut bytes = [0; size_of::<EventRecord>()];
        memory.copy_to(at, &mut bytes).then_some(())?;
        let record = EventRecord::read_from_bytes(&bytes).ok()?;
        let end = record.payload_offset.checked_add(record.payload_len)?;
        if end > PAYLOAD_AREA || record.slot >= SLOTS {
            return None;
        }
        let from = self.payloads() + record.payload_offset as usize;
        let payload = self.payload.get_mut(..record.payload_len as usize)?;
        memory.copy_to(from, payload).then_some(EventMessage {
            seq: record.seq,
            slot: record.slot,
            vector: self.vector,
            payload_len: record.payload_len,
            flags: record.flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use irqbed_abi::{pattern, ring::EVENT_PATTERN};
    use proptest::prelude::*;
    use rustix::{
        fs::{MemfdFlags, ftruncate, memfd_create},
        io::pwrite,
    };
    use zerocopy::IntoBytes;

    use super::*;

    const BASE: usize = 4096;

    /// A ring behind a page that is not its own, and the file behind both.
    fn ring() -> (Ring, Mapping, OwnedFd) {
        let file = memfd_create("ring", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, (BASE + SIZE) as u64).expect("memory");
        let memory = Mapping::shared(&file, BASE + SIZE).expect("a mapping");
        (Ring::new(3, BASE), memory, file)
    }

    fn record(number: u32, payload_offset: u32, payload_len: u32) -> EventRecord {
        EventRecord {
            seq: u64::from(number) + 1,
            payload_offset,
            payload_len,
            slot: number % SLOTS,
            flags: EVENT_PATTERN,
            number,
            ready: ready_word(number),
        }
    }

    /// Writes record `number` and the payload it speaks of, as the device does.
    fn put(file: &OwnedFd, number: u32, record: &EventRecord) {
        let mut payload = vec![0; record.payload_len.min(MAX_PAYLOAD) as usize];
        pattern::fill(record.seq, &mut payload);
        let room = PAYLOAD_AREA.saturating_sub(record.payload_offset) as usize;
        payload.truncate(room);
        let area = (BASE + RECORDS) as u64;
        pwrite(file, &payload, area + u64::from(record.payload_offset)).expect("room");
        let at = BASE + (number % ENTRIES) as usize * size_of::<EventRecord>();
        pwrite(file, record.as_bytes(), at as u64).expect("room");
    }

    #[test]
    fn an_empty_ring_has_no_record() {
        let (mut ring, memory, _file) = ring();
        assert_eq!(ring.take(&memory), None);
        assert_eq!(ring.consumed(), 0);
    }

    #[test]
    fn records_come_in_order_over_more_than_two_laps() {
        let (mut ring, memory, file) = ring();
        for number in 0..2 * ENTRIES + 5 {
            put(&file, number, &record(number, 64 * (number % 4096), 63));
            match ring.take(&memory) {
                Some(Taken::Event(_, event, payload)) => {
                    assert_eq!((event.seq, event.vector), (u64::from(number) + 1, 3));
                    assert!(payload.len() == 63 && pattern::matches(event.seq, payload));
                }
                other => panic!("record {number}: {other:?}"),
            }
            assert_eq!(ring.take(&memory), None, "behind record {number}");
        }
        assert_eq!(ring.consumed(), 2 * ENTRIES + 5);
    }

    #[test]
    fn a_record_of_another_lap_is_not_there_yet() {
        let (mut ring, memory, file) = ring();
        let old = EventRecord {
            ready: ready_word(0),
            ..record(ENTRIES, 0, 0)
        };
        put(&file, 0, &old);
        assert_eq!(ring.take(&memory), None);
        let late = EventRecord {
            ready: ready_word(ENTRIES),
            ..record(0, 0, 0)
        };
        put(&file, 0, &late);
        assert_eq!(ring.take(&memory), None);
    }

    #[test]
    fn a_payload_at_the_very_end_of_its_area_is_whole() {
        let (mut ring, memory, file) = ring();
        put(
            &file,
            0,
            &record(0, PAYLOAD_AREA - MAX_PAYLOAD, MAX_PAYLOAD),
        );
        let taken = ring.take(&memory).expect("a record");
        assert!(
            matches!(taken, Taken::Event(_, event, payload) if payload.len() == 4096
                && pattern::matches(event.seq, payload))
        );
    }

    #[test]
    fn a_record_that_makes_no_sense_is_dropped_and_the_next_is_taken() {
        let (mut ring, memory, file) = ring();
        let bad = [
            record(0, PAYLOAD_AREA - 63, 64),
            record(1, u32::MAX, 64),
            record(2, 0, MAX_PAYLOAD + 1),
            EventRecord {
                slot: SLOTS,
                ..record(3, 0, 0)
            },
        ];
        for (number, record) in (0..).zip(&bad) {
            put(&file, number, record);
            assert_eq!(ring.take(&memory), Some(Taken::BadRecord), "{record:?}");
        }
        put(&file, 4, &record(4, 0, 16));
        assert!(matches!(ring.take(&memory), Some(Taken::Event(..))));
        assert_eq!(ring.consumed(), 5);
    }

    proptest! {
        #[test]
        fn any_bytes_are_records_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let (mut ring, memory, file) = ring();
            pwrite(&file, &bytes, BASE as u64).expect("room");
            for _ in 0..ENTRIES {
                if let Some(Taken::Event(_, event, payload)) = ring.take(&memory) {
                    prop_assert_eq!(event.payload_len as usize, payload.len());
                    prop_assert!(event.slot < SLOTS);
                }
            }
            prop_assert!(ring.consumed() <= ENTRIES);
        }

        #[test]
        fn any_record_is_an_event_inside_its_area_or_bad(
            seq: u64,
            payload_offset in prop_oneof![any::<u32>(), 0..2 * PAYLOAD_AREA],
            payload_len in prop_oneof![any::<u32>(), 0..2 * MAX_PAYLOAD],
            slot in prop_oneof![any::<u32>(), 0..2 * SLOTS],
            flags: u32,
        ) {
            let (mut ring, memory, file) = ring();
            let record = EventRecord {
                seq, payload_offset, payload_len, slot, flags, number: 0, ready: 1,
            };
            pwrite(&file, record.as_bytes(), BASE as u64).expect("room");
            let sound = slot < SLOTS
                && payload_len <= MAX_PAYLOAD
                && u64::from(payload_offset) + u64::from(payload_len) <= u64::from(PAYLOAD_AREA);
            let taken = ring.take(&memory);
            prop_assert_eq!(matches!(taken, Some(Taken::Event(..))), sound);
            prop_assert!(taken.is_some());
        }
    }
}
