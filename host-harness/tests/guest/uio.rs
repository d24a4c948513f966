// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is special about UIO: one process may have the device, one count may
//! stand for several events, and the device may go while it is open.

use std::time::Duration;

use device_model::event::{Payload, Vector};
use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_machine::qemu::ClockKind;
use irqbed_results::mechanism::{Context, Mechanism};

use crate::{
    mechanisms::load,
    support::{Guest, machine, sh, signal_listeners},
};

fn boot() -> Guest {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::Uio, Context::Hardirq);
    guest
}

fn measuring() -> ListenerSpec {
    ListenerSpec::new(Mechanism::Uio, Behaviour::Measure)
}

#[test]
fn a_second_process_is_told_that_the_device_is_taken() {
    let mut guest = boot();
    let first = guest.session.listen(measuring()).expect("a listener");
    let error = guest
        .session
        .listen(measuring())
        .expect_err("one process may open it")
        .to_string();
    assert!(error.contains("one process at a time"), "{error}");
    assert!(error.contains("busy"), "{error}");
    // The first one has not noticed, and the next one may when it is gone.
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    guest.session.end_listener(first, false).expect("a report");
    guest.session.listen(measuring()).expect("the next one");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    guest.assert_quiet();
}

#[test]
fn one_count_may_stand_for_several_events_and_none_is_lost() {
    const EVENTS: u64 = 300;
    let mut guest = boot();
    let number = guest.session.listen(measuring()).expect("a listener");
    assert_eq!(guest.raise(10, 64).delivered(), 10);
    let before = guest.session.report(number).expect("a report");
    signal_listeners(&mut guest, "STOP");
    assert_eq!(guest.raise(EVENTS, 64).delivered(), 0);
    signal_listeners(&mut guest, "CONT");
    let after = guest.session.end_listener(number, false).expect("a report");
    assert_eq!(
        (after.received, after.out_of_order, after.bad_payload),
        (10 + EVENTS, 0, 0)
    );
    let wake_ups = after.wake_ups - before.wake_ups;
    let coalesced = after.coalesced - before.coalesced;
    assert!((1..10).contains(&wake_ups), "{after:?}");
    // Each notification woke it or was coalesced; the end may come with events.
    let noticed = wake_ups + coalesced;
    assert!((EVENTS..=EVENTS + 1).contains(&noticed), "{after:?}");
    guest.assert_quiet();
}

#[test]
fn a_device_that_is_not_read_fills_up_and_starts_anew_for_the_next() {
    let mut guest = boot();
    let sleeper = guest
        .session
        .listen(ListenerSpec::new(Mechanism::Uio, Behaviour::Stall))
        .expect("a sleeper");
    assert_eq!(guest.raise(1000, 1024).delivered(), 0);
    let counters = guest.flush();
    assert!(counters.queue_full > 0, "{counters:?}");
    assert_eq!(counters.sent + counters.queue_full, 1000);
    let report = guest.session.end_listener(sleeper, true).expect("a report");
    assert_eq!(report.received, 0);
    let counters = guest.flush();
    assert_eq!((counters.subscribers, counters.listeners_forgotten), (0, 1));
    let number = guest.session.listen(measuring()).expect("a listener");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!((report.received, report.kernel_drops), (100, 0));
    guest.assert_quiet();
}

#[test]
fn a_listener_killed_in_mid_stream_leaves_an_account_that_balances() {
    let mut guest = boot();
    let victim = guest.session.listen(measuring()).expect("a listener");
    let source = guest.session.source().clone();
    let report = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for _ in 0..1000 {
                source
                    .raise(Vector::default(), Payload::Pattern(64))
                    .expect("the device takes the event");
                std::thread::sleep(Duration::from_micros(300));
            }
        });
        std::thread::sleep(Duration::from_millis(100));
        let report = guest.session.end_listener(victim, true).expect("a report");
        load.join().expect("the load ends");
        report
    });
    let counters = guest.flush();
    let overflow = u64::from(source.overflows(Vector::default()));
    assert_eq!(
        counters.sent + counters.queue_full + counters.no_listener + overflow,
        1000,
        "{counters:?}"
    );
    assert!(
        report.received > 0 && report.received <= counters.sent && counters.no_listener > 0,
        "{report:?} {counters:?}"
    );
    assert_eq!((counters.subscribers, counters.listeners_forgotten), (0, 1));
    guest.session.unload_module().expect("the driver unloads");
    guest.assert_quiet();
}

#[test]
fn a_device_that_goes_while_it_is_open_leaves_what_was_queued() {
    const UNBIND: &str = "cd /sys/bus/pci/drivers/irqbed && for device in 0000:*; do
            echo $device >unbind || exit
        done";
    let mut guest = boot();
    let number = guest.session.listen(measuring()).expect("a listener");
    let error = guest.session.unload_module().expect_err("it is in use");
    assert!(error.to_string().contains("busy"), "{error}");
    signal_listeners(&mut guest, "STOP");
    assert_eq!(guest.raise(50, 64).delivered(), 0);
    sh(&mut guest.session, UNBIND);
    signal_listeners(&mut guest, "CONT");
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!(
        (report.received, report.bad_payload, report.malformed),
        (50, 0, 0)
    );
    assert_eq!(guest.flush().subscribers, 0);
    guest.session.unload_module().expect("the driver unloads");
    guest
        .session
        .load_module([])
        .expect("the driver loads again");
    guest.assert_quiet();
}
