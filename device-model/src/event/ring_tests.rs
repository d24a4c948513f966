// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::{collections::VecDeque, ops::Range};

use irqbed_abi::ring::MIN_PAYLOAD_AREA;
use proptest::prelude::*;

use super::*;

const GEOMETRY: Geometry = Geometry {
    records: GuestAddr(0x1000),
    payload: GuestAddr(0x10_0000),
    entries: 8,
    payload_size: MIN_PAYLOAD_AREA,
};

#[test]
fn geometries_that_no_ring_has_are_refused() {
    assert!(Producer::new(GEOMETRY, 0).is_ok());
    for entries in [0, 1, 3, MAX_ENTRIES + 1, 2 * MAX_ENTRIES, u32::MAX] {
        let geometry = Geometry {
            entries,
            ..GEOMETRY
        };
        assert_eq!(geometry.check(), Err(GeometryError::Entries(entries)));
    }
    for payload_size in [0, 4096, 8193, MAX_PAYLOAD_AREA + 64, u32::MAX] {
        let geometry = Geometry {
            payload_size,
            ..GEOMETRY
        };
        assert_eq!(
            geometry.check(),
            Err(GeometryError::PayloadSize(payload_size))
        );
    }
    for address in [1, 32, !63] {
        let records = GuestAddr(address);
        let geometry = Geometry {
            records,
            ..GEOMETRY
        };
        assert_eq!(geometry.check(), Err(GeometryError::Address(records)));
        let payload = GuestAddr(address);
        let geometry = Geometry {
            payload,
            ..GEOMETRY
        };
        assert_eq!(geometry.check(), Err(GeometryError::Address(payload)));
    }
}

fn produce(ring: &mut Producer, len: u32) -> Option<Place> {
    let place = ring.place(len)?;
    ring.commit(place);
    Some(place)
}

#[test]
fn a_full_ring_has_room_again_when_a_record_is_consumed() {
    let mut ring = Producer::new(GEOMETRY, 0).unwrap();
    for n in 0..8 {
        let place = produce(&mut ring, 0).unwrap();
        assert_eq!((place.record_offset, place.number), (n * 32, n as u32));
    }
    assert_eq!(produce(&mut ring, 0), None);
    ring.observe(1);
    let place = produce(&mut ring, 0).unwrap();
    assert_eq!((place.record_offset, place.number), (0, 8), "the next lap");
}

#[test]
fn the_longest_payload_always_fits_an_empty_ring() {
    for before in 0..=MAX_PAYLOAD / 64 {
        let mut ring = Producer::new(GEOMETRY, 0).unwrap();
        produce(&mut ring, before * 64);
        ring.observe(1);
        assert!(ring.place(MAX_PAYLOAD).is_some(), "after {before}");
    }
}

#[test]
fn a_payload_that_does_not_fit_before_the_end_starts_again_at_0() {
    let mut ring = Producer::new(GEOMETRY, 0).unwrap();
    produce(&mut ring, 4096);
    produce(&mut ring, 64);
    ring.observe(1);
    assert_eq!(produce(&mut ring, 4096).unwrap().payload_offset, 0);
    assert_eq!(ring.place(64), None, "the gap is not free");
    assert_eq!(ring.place(0).unwrap().payload_offset, 0);
}

#[test]
fn free_running_indices_may_wrap() {
    let mut ring = Producer::new(GEOMETRY, 0).unwrap();
    (ring.produced, ring.consumed) = (u32::MAX - 1, u32::MAX - 1);
    for n in [6, 7, 0, 1] {
        assert_eq!(produce(&mut ring, 64).unwrap().record_offset, n * 32);
    }
    assert_eq!(ring.in_flight(), 4);
    ring.observe(2);
    assert_eq!((ring.in_flight(), ring.head - ring.tail), (0, 0));
}

/// One step against the ring.
#[derive(Debug, Clone)]
enum Step {
    Produce(u32),
    Consume(u32),
    /// Scribble on the consumer index.
    Scribble(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..=MAX_PAYLOAD).prop_map(Step::Produce),
        2 => (0_u32..200).prop_map(Step::Produce),
        3 => (0_u32..6).prop_map(Step::Consume),
        1 => any::<u32>().prop_map(Step::Scribble),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// The model keeps the parts of the payload area that are in flight, gaps
    /// at the end included. An event is placed exactly when there is room for
    /// it in the model, and never on anything in flight, whatever is written
    /// to the consumer index.
    #[test]
    fn no_payload_in_flight_is_ever_overwritten(
        steps in prop::collection::vec(step(), 1..200),
        entries in prop::sample::select(vec![2_u32, 8, 64]),
        extra in 0_u32..4,
    ) {
        let payload_size = MIN_PAYLOAD_AREA + extra * 64;
        let geometry = Geometry { entries, payload_size, ..GEOMETRY };
        let mut ring = Producer::new(geometry, 0).unwrap();
        let mut in_flight: VecDeque<[Range<u32>; 2]> = VecDeque::new();
        let (mut produced, mut consumed, mut next) = (0_u32, 0_u32, 0_u32);
        for step in steps {
            match step {
                Step::Consume(count) => {
                    let count = count.min(in_flight.len() as u32);
                    in_flight.drain(..count as usize);
                    consumed += count;
                    ring.observe(consumed);
                }
                Step::Scribble(index) => {
                    // An index that could be true is believed.
                    let newly = index.wrapping_sub(consumed);
                    ring.observe(index);
                    if newly <= in_flight.len() as u32 {
                        in_flight.drain(..newly as usize);
                        consumed = index;
                    }
                }
                Step::Produce(len) => {
                    let needed = len.next_multiple_of(64);
                    let [gap, start] = if next + needed > payload_size {
                        [next..payload_size, 0..needed]
                    } else {
                        [0..0, next..next + needed]
                    };
                    let parts = [gap, start];
                    let taken = in_flight.iter().flatten().any(|old| {
                        parts.iter().any(|new| new.start.max(old.start) < new.end.min(old.end))
                    });
                    let room = in_flight.len() < entries as usize && !taken;
                    let place = ring.place(len);
                    prop_assert_eq!(place.is_some(), room);
                    let Some(place) = place else { continue };
                    ring.commit(place);
                    let offset = if len == 0 { 0 } else { parts[1].start };
                    prop_assert_eq!(place.payload_offset, offset);
                    prop_assert_eq!(place.record_offset, u64::from(produced % entries) * 32);
                    prop_assert_eq!(place.number, produced);
                    produced += 1;
                    if len > 0 {
                        next = parts[1].end % payload_size;
                    }
                    in_flight.push_back(parts);
                }
            }
            prop_assert_eq!(ring.in_flight(), in_flight.len() as u32);
        }
    }
}
