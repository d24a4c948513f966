// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The doorbell as a guest rings it, over a real socket.

mod common;

use common::Guest;
use device_model::{
    HostTsc,
    event::{Payload, Seq, Vector},
};
use irqbed_abi::{pci, reply::DOORBELL};

fn ring(guest: &mut Guest, offset: u64, data: &[u8]) {
    guest
        .client
        .region_write(pci::DOORBELL_BAR, offset, data)
        .unwrap();
}

fn guest_with_events(events: u32) -> Guest {
    let mut guest = Guest::boot();
    guest.arm(0, 16, 8192);
    guest.enable();
    for _ in 0..events {
        guest
            .source
            .raise(Vector::default(), Payload::Bytes(&[]))
            .unwrap();
    }
    guest
}

#[test]
fn the_doorbell_is_a_trapped_page_of_its_own() {
    let mut guest = Guest::boot();
    let region = guest.client.region(pci::DOORBELL_BAR).unwrap();
    assert_eq!(region.size, pci::DOORBELL_BAR_SIZE);
    assert!(region.file_offset.is_none(), "each access comes to us");
    let mut word = [0xff; 4];
    guest
        .client
        .region_read(pci::DOORBELL_BAR, DOORBELL.into(), &mut word)
        .unwrap();
    assert_eq!(word, [0; 4], "it tells nothing");
    assert_eq!(guest.source.counters().unknown_replies, 0);
}

#[test]
fn a_reply_is_stamped_when_the_device_sees_it() {
    let mut guest = guest_with_events(3);
    let seq = Seq::new(2).unwrap();
    assert_eq!(guest.source.replied(seq), None);
    let before = HostTsc::now();
    ring(&mut guest, DOORBELL.into(), &2_u32.to_le_bytes());
    let after = HostTsc::now();
    let seen = guest.source.replied(seq).unwrap();
    assert!(before < seen && seen < after);
    let counters = guest.source.counters();
    assert_eq!((counters.replies, counters.unknown_replies), (1, 0));
}

#[test]
fn what_makes_no_sense_is_counted_and_the_device_goes_on() {
    let mut guest = guest_with_events(1);
    let good = 1_u32.to_le_bytes();
    for (count, (offset, data)) in (1..).zip([
        (0, &[0; 4][..]),
        (0, &[2, 0, 0, 0]),
        (0, &[0xff; 4]),
        (0, &[1]),
        (0, &[1, 0, 0, 0, 0, 0, 0, 0]),
        (4, &good),
        (pci::DOORBELL_BAR_SIZE - 4, &good),
    ]) {
        ring(&mut guest, offset, data);
        let counters = guest.source.counters();
        assert_eq!(
            (counters.replies, counters.unknown_replies),
            (0, count),
            "{offset} {data:?}"
        );
    }
    ring(&mut guest, 0, &good);
    ring(&mut guest, 0, &good);
    let counters = guest.source.counters();
    assert_eq!((counters.replies, counters.unknown_replies), (1, 8));
    guest
        .source
        .raise(Vector::default(), Payload::Bytes(&[]))
        .unwrap();
    assert_eq!(guest.source.counters().published, 2);
}
