// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes to the guest's memory that are torn, late, astray, damaged or refused, and
//! completions that change places.

use device_model::event::{Outcome, Payload, RaiseError, Vector};
use irqbed_abi::regs;

use crate::{
    arm,
    common::{Guest, PAYLOAD_AT, board::wait},
    counts, guest, raise,
};

/// The bytes of a payload, and of the record before it.
fn written(guest: &Guest) -> (Vec<u8>, u64) {
    (guest.memory(PAYLOAD_AT, 16), guest.record(0).seq)
}

/// The payload of the first event.
fn pattern() -> Vec<u8> {
    let mut bytes = vec![0; 16];
    irqbed_abi::pattern::fill(1, &mut bytes);
    bytes
}

#[test]
fn a_write_is_torn_and_its_rest_comes_later_or_never() {
    let expected = pattern();
    for (text, whole) in [
        ("dma-torn:bytes=6,length=16", false),
        ("dma-torn:bytes=6,length=16,rest=5ms", true),
    ] {
        let guest = guest();
        arm(&guest, text);
        raise(&guest);
        let (payload, seq) = written(&guest);
        assert_eq!((&payload[..6], seq), (&expected[..6], 1));
        if whole {
            wait("the rest", || written(&guest).0 == expected);
        } else {
            assert_eq!(payload[6..], [0; 10]);
        }
    }
}

#[test]
fn data_is_late_and_the_interrupt_is_not() {
    let guest = guest();
    let faults = arm(&guest, "dma-late:mean=20ms,length=4");
    raise(&guest);
    let ready = || guest.record(0).ready;
    assert_eq!((guest.interrupts(0), ready()), (1, 0));
    wait("the last word", || ready() == 1);
    assert_eq!(counts(&faults), (1, 1));
}

#[test]
fn a_write_goes_to_the_wrong_place_or_to_none() {
    let guest = guest();
    let faults = arm(&guest, "dma-misplaced:offset=-32,length=16");
    raise(&guest);
    assert_eq!(written(&guest).0, [0; 16]);
    assert_eq!(guest.memory(PAYLOAD_AT + 4096 - 32, 16), pattern());
    faults.clear();
    let faults = arm(&guest, "dma-misplaced:place=outside,length=32");
    assert_eq!(raise(&guest), Outcome::Signalled);
    assert_eq!(guest.record(1).seq, 0);
    assert_eq!(counts(&faults), (1, 1));
    faults.clear();
    // Far outside: lost, too, and nobody is told.
    arm(
        &guest,
        "dma-misplaced:place=anywhere,offset=0x100000000,length=32",
    );
    assert_eq!(raise(&guest), Outcome::Signalled);
    assert_eq!(guest.record(2).seq, 0);
}

#[test]
fn data_arrives_with_bits_flipped() {
    let guest = guest();
    arm(&guest, "dma-corrupted:bits=3,length=16");
    raise(&guest);
    let found = written(&guest).0;
    let flipped: u32 = found
        .iter()
        .zip(pattern())
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    assert_eq!(flipped, 3);
}

#[test]
fn a_refused_write_stops_the_device_until_it_is_reset() {
    let mut guest = guest();
    let faults = arm(&guest, "dma-failed:length=32,after=1");
    raise(&guest);
    let error = guest.source.raise(Vector::default(), Payload::Pattern(16));
    let Err(RaiseError::Dma { seq, source }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(seq.get(), 2);
    assert!(source.to_string().contains("(dma-failed)"), "{source}");
    assert_ne!(guest.register(regs::REG_STATUS) & regs::STATUS_DMA_ERROR, 0);
    let counters = guest.source.counters();
    assert_eq!(
        (counters.raised, counters.published, counters.dma_errors),
        (2, 1, 1)
    );
    assert_eq!(counts(&faults), (2, 1));
}

#[test]
fn two_completions_of_a_burst_change_places() {
    let guest = guest();
    let faults = arm(&guest, "completions-swapped:count=1,after=1");
    let burst = |count| {
        let payload = Payload::Pattern(16);
        let burst = guest
            .source
            .raise_burst(Vector::default(), payload, count)
            .unwrap();
        (burst.first.get(), burst.last.get(), burst.overflows)
    };
    assert_eq!(raise(&guest), Outcome::Signalled);
    assert_eq!(
        counts(&faults),
        (0, 0),
        "alone there is nothing to change with"
    );
    assert_eq!(burst(5), (2, 6, 0));
    let order: Vec<u64> = (0..6).map(|index| guest.record(index).seq).collect();
    assert_eq!(order, [1, 2, 4, 3, 5, 6]);
    // Each has its own payload with it.
    let record = guest.record(2);
    let mut expected = vec![0; 16];
    irqbed_abi::pattern::fill(4, &mut expected);
    assert_eq!(
        guest.memory(PAYLOAD_AT + u64::from(record.payload_offset), 16),
        expected
    );
    let counters = guest.source.counters();
    assert_eq!((counters.raised, counters.published), (6, 6));
    assert_eq!(guest.interrupts(0), 2);
}

#[test]
fn the_account_holds_where_completions_change_places_in_vain() {
    let mut guest = Guest::boot();
    assert!(guest.arm(0, 4, 8192));
    guest.enable();
    let faults = arm(&guest, "completions-swapped");
    let burst = guest
        .source
        .raise_burst(Vector::default(), Payload::Bytes(&[]), 6)
        .unwrap();
    assert_eq!((burst.events(), burst.overflows), (6, 2));
    guest.consume(0, 4);
    faults.arm("dma-failed:length=32".parse().unwrap()).unwrap();
    guest
        .source
        .raise_burst(Vector::default(), Payload::Bytes(&[]), 2)
        .unwrap_err();
    let counters = guest.source.counters();
    assert_eq!(counters.raised, 8);
    assert_eq!(
        counters.published + counters.ring_overflow + counters.dma_errors,
        8
    );
}
