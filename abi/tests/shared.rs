// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What both sides compute for themselves must come out the same.

use irqbed_abi::{
    LAYOUTS,
    control::{Behaviour, ListenerSpec, Mechanism, Reply, Request},
    counters::Counters,
    pattern, pci,
    ring::{MAX_PAYLOAD, ready_word},
    trace::{CONSUMER_BASE, SLOT_BASE, SLOTS, consumer_offset, slot_offset},
};
use proptest::prelude::*;

#[test]
fn consumer_indices_and_slots_do_not_overlap() {
    assert_eq!(consumer_offset(0), CONSUMER_BASE);
    assert!(consumer_offset(pci::VECTORS) <= SLOT_BASE);
    assert_eq!(u64::from(slot_offset(SLOTS)), pci::INSTRUMENT_BAR_SIZE);
}

#[test]
fn every_structure_is_listed_with_fields_that_fill_it() {
    for layout in LAYOUTS {
        let ends = layout
            .fields
            .iter()
            .skip(1)
            .map(|field| field.1)
            .chain([layout.size]);
        for ((name, start), end) in layout.fields.iter().zip(ends) {
            assert!(
                *start < end,
                "{}.{name} at {start} is empty or out of order",
                layout.name
            );
        }
    }
}

proptest! {
    #[test]
    fn a_record_that_is_not_complete_or_of_another_lap_does_not_look_ready(number: u32, laps: u32, order in 1u32..17) {
        // What the last word is until the record is complete.
        prop_assert_ne!(ready_word(number), number);
        let other = number.wrapping_add(laps << order);
        prop_assert_eq!(ready_word(other) == ready_word(number), other == number);
    }

    #[test]
    fn a_payload_matches_its_own_pattern_and_no_other(
        seq: u64,
        length in 8usize..=MAX_PAYLOAD as usize,
        at: prop::sample::Index,
        bit in 0u32..8,
    ) {
        let mut payload = vec![0; length];
        pattern::fill(seq, &mut payload);
        prop_assert!(pattern::matches(seq, &payload));
        prop_assert!(!pattern::matches(seq.wrapping_add(1), &payload));
        let at = at.index(length);
        payload[at] ^= 1 << bit;
        prop_assert!(!pattern::matches(seq, &payload));
    }

    #[test]
    fn a_shorter_payload_is_the_beginning_of_a_longer_one(seq: u64, length in 0usize..64) {
        let (mut short, mut long) = (vec![0; length], vec![0; 64]);
        pattern::fill(seq, &mut short);
        pattern::fill(seq, &mut long);
        prop_assert_eq!(&short[..], &long[..length]);
    }

    #[test]
    fn what_is_said_on_the_control_line_is_understood(
        vectors: u32,
        receive_buffer: Option<u32>,
        bytes: Vec<u8>,
        text in "\\PC*",
        sent: u64,
    ) {
        let spec = ListenerSpec {
            vectors,
            receive_buffer,
            ..ListenerSpec::new(Mechanism::Netlink, Behaviour::Count)
        };
        for request in [
            Request::Listen(spec),
            Request::SendRaw { bytes, protocol: None, group: None, unprivileged: true },
            Request::ReplyByIoctl { request: Some([7; 16]) },
            Request::Run { argv: vec![text.clone()] },
            Request::Flush,
        ] {
            let line = serde_json::to_string(&request).expect("a request is JSON");
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Request>(&line).expect("and comes back"), request);
        }
        for reply in [
            Reply::Counters(Box::new(Counters { sent, ..Counters::default() })),
            Reply::Failed { error: text },
            Reply::Returned { errno: 22 },
            Reply::Done,
        ] {
            let line = serde_json::to_string(&reply).expect("a reply is JSON");
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Reply>(&line).expect("and comes back"), reply);
        }
    }

    #[test]
    fn no_line_makes_the_parser_fall_over(line in "\\PC*") {
        let _ = serde_json::from_str::<Request>(&line);
        let _ = serde_json::from_str::<Reply>(&line);
    }
}
