// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listeners: several, dying, asleep, rude.

use irqbed_abi::{
    control::{Behaviour, ListenerSpec, Mechanism},
    netlink::{MSG_EVENT, MSG_SUBSCRIBE},
};
use irqbed_measure::measure::{Plan, Rate};

use crate::support::{Guest, error_of, message, send, unicast};

#[test]
fn three_listeners_hear_one_broadcast() {
    let mut guest = Guest::boot();
    guest.session.unload_module().expect("unloads");
    guest
        .session
        .load_module([("notifier", "netlink-broadcast".to_owned())])
        .expect("loads");
    let first = guest
        .session
        .listen(ListenerSpec::new(
            Mechanism::NetlinkBroadcast,
            Behaviour::Measure,
        ))
        .expect("a listener");
    let others = [0, 1].map(|_| {
        guest
            .session
            .listen(ListenerSpec::new(
                Mechanism::NetlinkBroadcast,
                Behaviour::Count,
            ))
            .expect("another listener")
    });
    let run = guest.raise_one_by_one(500, 64);
    assert_eq!(run.delivered(), 500);
    assert_eq!(guest.flush().sent, 500);
    for number in [first, others[0], others[1]] {
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (report.received, report.bad_payload, report.kernel_drops),
            (500, 0, 0)
        );
    }
    guest.assert_quiet();
}

#[test]
fn a_killed_listener_is_forgotten() {
    let mut guest = Guest::boot();
    let victim = guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    let last = guest
        .session
        .end_listener(victim, true)
        .expect("a last report");
    assert!(!last.alive);
    assert_eq!(last.received, 100);
    let run = guest.raise(50, 64);
    assert_eq!(run.delivered(), 0);
    let counters = guest.flush();
    assert_eq!(
        (
            counters.subscribers,
            counters.listeners_forgotten,
            counters.no_listener
        ),
        (0, 1, 50)
    );
    guest.session.listen(unicast()).expect("a new listener");
    assert_eq!(guest.raise(50, 64).delivered(), 50);
    guest.assert_quiet();
}

#[test]
fn a_listener_killed_in_mid_stream_leaves_an_account_that_balances() {
    let mut guest = Guest::boot();
    let victim = guest.session.listen(unicast()).expect("a listener");
    let source = guest.session.source().clone();
    let before = guest.flush();
    let run = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for _ in 0..2000 {
                source
                    .raise(
                        device_model::event::Vector::default(),
                        device_model::event::Payload::Pattern(64),
                    )
                    .expect("the device takes the event");
                std::thread::sleep(std::time::Duration::from_micros(300));
            }
        });
        std::thread::sleep(std::time::Duration::from_millis(200));
        let report = guest
            .session
            .end_listener(victim, true)
            .expect("a last report");
        load.join().expect("the load ends");
        report
    });
    let after = guest.flush();
    let overflow = source.counters().ring_overflow;
    assert_eq!(after.events - before.events + overflow, 2000);
    assert_eq!(
        after.events - before.events,
        after.sent + after.no_listener + after.listener_gone + after.socket_full
    );
    assert!(
        run.received <= after.sent && run.received > 0,
        "{run:?} {after:?}"
    );
    assert_eq!(after.listeners_forgotten, 1);
    guest.assert_quiet();
}

#[test]
fn a_listener_that_never_reads_costs_only_itself() {
    let mut guest = Guest::boot();
    let sleeper = guest
        .session
        .listen(ListenerSpec::new(Mechanism::Netlink, Behaviour::Stall))
        .expect("a sleeper");
    guest.session.listen(unicast()).expect("a listener");
    let run = guest.raise_one_by_one(1000, 1024);
    assert_eq!(run.delivered(), 1000);
    let counters = guest.flush();
    assert!(counters.socket_full > 0);
    assert_eq!(counters.sent + counters.socket_full, 2000);
    let report = guest.session.end_listener(sleeper, true).expect("a report");
    assert_eq!(report.received, 0);
    guest.assert_quiet();
}

#[test]
fn events_at_the_highest_rate_are_all_accounted_for() {
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    let run = guest.run(&Plan {
        events: 40_000,
        rate: Rate::Max { window: 128 },
        payload: 16,
        vectors: 1,
        ..Plan::default()
    });
    let counters = guest.flush();
    let device = guest.session.source().counters();
    assert_eq!(device.raised, 40_000);
    assert_eq!(counters.events + device.ring_overflow, 40_000);
    assert_eq!(
        run.delivered() + counters.socket_full + device.ring_overflow,
        40_000
    );
    guest.assert_quiet();
}

#[test]
fn bad_requests_are_answered_with_an_error_and_counted() {
    let mut guest = Guest::boot();
    let cases = [
        ("unknown type", message(16, 0x4242, 0, &[])),
        ("an event from userspace", message(16, MSG_EVENT, 0, &[])),
        ("no vectors", message(24, MSG_SUBSCRIBE, 0, &[0; 8])),
        (
            "half a request",
            message(20, MSG_SUBSCRIBE, 0, &[1, 0, 0, 0]),
        ),
        (
            "length beyond the datagram",
            message(4096, MSG_SUBSCRIBE, 0, &[]),
        ),
        ("length below the header", message(3, MSG_SUBSCRIBE, 0, &[])),
        ("short header", vec![1, 2, 3, 4, 5]),
    ];
    for (count, (name, bytes)) in cases.into_iter().enumerate() {
        let answers = send(&mut guest, bytes, false);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        assert!(error_of(&answers[0]) < 0, "{name}: {answers:?}");
        let counters = guest.flush();
        assert_eq!(
            (counters.bad_request, counters.subscribers),
            (count as u64 + 1, 0),
            "{name}"
        );
    }
    guest.assert_quiet();
}

#[test]
fn an_unprivileged_process_may_not_subscribe() {
    let mut guest = Guest::boot();
    let answers = send(&mut guest, message(16, MSG_SUBSCRIBE, 0, &[]), true);
    assert_eq!(
        answers
            .iter()
            .map(|answer| error_of(answer))
            .collect::<Vec<_>>(),
        [-1],
        "EPERM"
    );
    assert_eq!(guest.flush().subscribers, 0);
}

#[test]
fn the_port_id_in_the_header_is_not_believed() {
    let mut guest = Guest::boot();
    let listener = guest.session.listen(unicast()).expect("a listener");
    let port = guest.session.report(listener).expect("a report").port_id;
    // Somebody else asks to be taken for our listener, and then leaves.
    let answers = send(&mut guest, message(16, MSG_SUBSCRIBE, port, &[]), false);
    assert_eq!(error_of(&answers[0]), 0);
    let run = guest.raise(20, 16);
    assert_eq!(run.delivered(), 20);
    assert_eq!(guest.flush().subscribers, 1);
}
