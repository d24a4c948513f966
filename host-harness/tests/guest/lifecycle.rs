// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver: probing, delivering, going, coming back.

use std::{thread, time::Duration};

use irqbed_measure::measure::{Plan, Rate};

use crate::{
    load::under_load,
    support::{Guest, unicast},
};

#[test]
fn the_driver_probes_and_takes_its_vectors() {
    let mut guest = Guest::boot();
    assert_eq!(guest.session.source().armed_vectors(), u32::MAX);
    let (status, interrupts, _) = guest
        .session
        .run(&["cat", "/proc/interrupts"])
        .expect("cat runs");
    assert_eq!(status, 0);
    assert_eq!(
        interrupts
            .lines()
            .filter(|line| line.contains("irqbed"))
            .count(),
        32
    );
    guest.assert_quiet();
}

#[test]
fn payloads_of_every_size_arrive_intact_and_in_order() {
    let mut guest = Guest::boot();
    let listener = guest.session.listen(unicast()).expect("a listener");
    let mut delivered = 0;
    for payload in [0, 1, 63, 64, 4096] {
        let run = guest.raise_one_by_one(100, payload);
        assert_eq!(run.delivered(), 100, "payload of {payload} bytes");
        delivered += 100;
    }
    assert_eq!(guest.flush().sent, delivered);
    let report = guest
        .session
        .end_listener(listener, false)
        .expect("a report");
    assert_eq!(
        (report.received, report.bad_payload, report.out_of_order),
        (delivered, 0, 0)
    );
    guest.assert_quiet();
}

#[test]
fn every_vector_has_its_own_ring() {
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    let run = guest.run(&Plan {
        events: 320,
        rate: Rate::OneByOne(1000.0),
        payload: 64,
        vectors: 32,
        ..Plan::default()
    });
    assert_eq!(run.delivered(), 320);
    guest.assert_quiet();
}

#[test]
fn stamps_of_an_event_are_in_the_order_of_its_journey() {
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    for trace in guest.raise(200, 16).traces {
        let (isr, notify, user) = (
            trace.isr.expect("isr"),
            trace.notify.expect("notify"),
            trace.user.expect("user"),
        );
        assert!(trace.raise.is_some());
        assert!(isr.0 <= notify.0 && notify.0 < user.0, "{trace:?}");
    }
}

#[test]
fn the_driver_unloads_and_loads_again_under_load() {
    let mut guest = Guest::boot();
    let source = guest.session.source().clone();
    under_load(&mut guest, 1, |guest| {
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(100));
            guest.session.unload_module().expect("the driver unloads");
            assert_eq!(source.armed_vectors(), 0);
            guest.session.load_module([]).expect("the driver loads");
        }
    });
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
    guest.assert_quiet();
}
