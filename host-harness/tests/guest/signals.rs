// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events that are told by signals: what a signal cannot say, the queue does.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use device_model::event::{Payload, Vector};
use irqbed_abi::control::{Behaviour, ListenerReport, ListenerSpec, Mechanism};
use irqbed_machine::qemu::ClockKind;

use crate::support::{Guest, machine, signal_listeners};

fn boot(notifier: &str) -> Guest {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    guest
        .session
        .load_module([("notifier", notifier.to_owned())])
        .expect("the driver loads");
    guest
}

/// Raises events while the one listener is stopped, lets it go on, and waits
/// until it has them all: its report.
fn raise_while_stopped(guest: &mut Guest, number: u32, events: u64) -> ListenerReport {
    let before = guest.session.report(number).expect("a report").received;
    signal_listeners(guest, "STOP");
    let source = guest.session.source().clone();
    for _ in 0..events {
        source
            .raise(Vector::default(), Payload::Pattern(0))
            .expect("the device takes the event");
        sleep(Duration::from_micros(300));
    }
    guest.flush();
    let report = guest.session.report(number).expect("a report");
    assert_eq!(report.received, before, "it is stopped");
    signal_listeners(guest, "CONT");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let report = guest.session.report(number).expect("a report");
        if report.received == before + events {
            // Signals that are left find the queue empty.
            sleep(Duration::from_millis(200));
            return guest.session.report(number).expect("a report");
        }
        assert!(Instant::now() < deadline, "{events} events: {report:?}");
        sleep(Duration::from_millis(50));
    }
}

#[test]
fn one_sigio_stands_for_all_events_that_a_stopped_process_missed() {
    let mut guest = boot("signal");
    let spec = ListenerSpec::new(Mechanism::Signal, Behaviour::Measure);
    let number = guest.session.listen(spec).expect("a listener");
    assert_eq!(guest.raise(100, 0).delivered(), 100);
    let before = guest.session.report(number).expect("a report");
    let after = raise_while_stopped(&mut guest, number, 500);
    assert_eq!(after.wake_ups - before.wake_ups, 1);
    assert_eq!(guest.raise(100, 0).delivered(), 100);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!(
        (report.received, report.bad_payload, report.out_of_order),
        (700, 0, 0)
    );
    guest.assert_quiet();
}

#[test]
fn an_overflow_of_the_signal_queue_is_noticed_and_loses_no_event() {
    let mut guest = boot("signal");
    let spec = ListenerSpec::new(Mechanism::SignalQueued, Behaviour::Measure);
    let number = guest.session.listen(spec).expect("a listener");
    let (_, limits, _) = guest
        .session
        .run(&["cat", "/proc/1/limits"])
        .expect("cat runs");
    let limit: u64 = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max pending signals"))
        .and_then(|line| line.split_ascii_whitespace().next()?.parse().ok())
        .expect("a limit");
    let report = raise_while_stopped(&mut guest, number, limit / 2);
    assert_eq!(report.signal_overflows, 0, "{report:?}");
    // A signal each.
    assert_eq!(report.wake_ups, limit / 2);

    let report = raise_while_stopped(&mut guest, number, limit + 100);
    assert_eq!(report.signal_overflows, 1, "{report:?}");
    assert_eq!(report.wake_ups, limit / 2 + limit + 1);
    assert_eq!(guest.raise(100, 0).delivered(), 100);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!(
        (report.received, report.bad_payload, report.out_of_order),
        (limit / 2 + limit + 200, 0, 0)
    );
    assert_eq!(guest.flush().queue_full, 0);
    guest.assert_quiet();
}

#[test]
fn a_file_asks_in_vain_for_signals_of_a_driver_that_sends_none() {
    let mut guest = boot("chardev");
    for mechanism in [Mechanism::Signal, Mechanism::SignalQueued] {
        let error = guest
            .session
            .listen(ListenerSpec::new(mechanism, Behaviour::Measure))
            .expect_err("no signals");
        assert!(error.to_string().contains("sends no signals"), "{error}");
    }
    guest.assert_quiet();
}
