// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener that drives the device itself, through `vfio-pci` and a virtual
//! IOMMU: everything arrives, whatever its end leaves is accounted for, and
//! our driver can have the device afterwards.

use std::{thread, time::Duration};

use device_model::event::{DeviceCounters, Payload, Vector};
use irqbed_abi::control::{Behaviour, ListenerSpec, Mechanism};
use irqbed_machine::qemu::{ClockKind, Machine};
use irqbed_measure::measure::{Plan, Rate};

use crate::support::{Guest, machine, unicast};

const EVENTS: u64 = 1000;

fn boot() -> Guest {
    let mut guest = Guest::boot_bare(&Machine {
        iommu: true,
        ..machine(ClockKind::Wall)
    });
    guest.session.bind_vfio().expect("vfio-pci takes it");
    guest
}

/// A listener for four vectors.
fn spec(behaviour: Behaviour) -> ListenerSpec {
    ListenerSpec {
        vectors: 0b1111,
        ..ListenerSpec::new(Mechanism::Vfio, behaviour)
    }
}

/// Our driver has the device as if nobody had had it before.
fn assert_ours_again(guest: &mut Guest) {
    guest.session.unbind_vfio().expect("vfio-pci gives it back");
    guest.session.load_module([]).expect("the driver loads");
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    guest.assert_quiet();
}

#[test]
fn every_event_arrives_intact_and_in_order_without_a_driver() {
    let mut guest = boot();
    let number = guest
        .session
        .listen(spec(Behaviour::Measure))
        .expect("a listener");
    let payloads = [0, 64, 4096];
    for payload in payloads {
        let run = guest.run(&Plan {
            events: EVENTS,
            rate: Rate::Max { window: 32 },
            payload,
            vectors: 4,
            ..Plan::default()
        });
        assert_eq!(run.delivered(), EVENTS, "{payload} bytes");
        for trace in &run.traces {
            assert!(
                trace.user.is_some() && trace.isr.is_none() && trace.notify.is_none(),
                "{trace:?}"
            );
        }
    }
    let report = guest.session.end_listener(number, false).expect("a report");
    let all = EVENTS * payloads.len() as u64;
    assert_eq!(
        (
            report.received,
            report.bad_payload,
            report.out_of_order,
            report.malformed
        ),
        (all, 0, 0, 0)
    );
    assert!((1..=all + 1).contains(&report.wake_ups), "{report:?}");
    assert_eq!(guest.session.source().counters().discarded, 0);
    assert_ours_again(&mut guest);
}

#[test]
fn a_listener_killed_in_mid_stream_leaves_a_device_that_is_reset_and_an_account_that_balances() {
    let mut guest = boot();
    let victim = guest
        .session
        .listen(spec(Behaviour::Measure))
        .expect("a listener");
    let source = guest.session.source().clone();
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            // Until the device is stopped, and then reset.
            while source.raise(Vector::default(), Payload::Pattern(0)).is_ok() {
                thread::sleep(Duration::from_micros(300));
            }
        });
        thread::sleep(Duration::from_millis(300));
        let ended = guest.session.end_listener(victim, true);
        ended.expect("a last report")
    });
    assert!(report.received > 0 && !report.alive, "{report:?}");
    assert!(!source.is_ready() && source.armed_vectors() == 0);
    let DeviceCounters {
        raised,
        ring_overflow,
        dma_errors,
        discarded,
        ..
    } = source.counters();
    assert_eq!(
        raised,
        report.received + ring_overflow + dma_errors + discarded,
        "{report:?} {:?}",
        source.counters()
    );
    assert_ours_again(&mut guest);
}

#[test]
fn what_a_listener_that_never_read_leaves_in_the_rings_is_discarded_with_them() {
    let mut guest = boot();
    let sleeper = guest
        .session
        .listen(spec(Behaviour::Stall))
        .expect("a sleeper");
    assert_eq!(
        guest.session.source().armed_vectors(),
        0b1111,
        "the rings it asked for"
    );
    for vector in (0..100).map(|number| Vector::new(number % 4).unwrap_or_default()) {
        let raised = guest.session.source().raise(vector, Payload::Pattern(64));
        raised.expect("the device takes it");
    }
    let report = guest.session.end_listener(sleeper, true).expect("a report");
    let counters = guest.session.source().counters();
    assert_eq!((report.received, counters.discarded), (0, 100));
    assert_ours_again(&mut guest);
}

#[test]
fn a_second_process_does_not_get_the_device_and_the_first_keeps_it() {
    let mut guest = boot();
    let first = guest
        .session
        .listen(spec(Behaviour::Measure))
        .expect("a listener");
    let error = guest
        .session
        .listen(spec(Behaviour::Count))
        .expect_err("it is taken");
    assert!(
        error.to_string().contains("does another process drive it"),
        "{error}"
    );
    let error = guest.session.unbind_vfio().expect_err("it is in use");
    assert!(error.to_string().contains("end it first"), "{error}");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    guest.session.end_listener(first, false).expect("a report");
    let next = guest
        .session
        .listen(spec(Behaviour::Measure))
        .expect("it is free again");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    guest.session.end_listener(next, false).expect("a report");
    assert_ours_again(&mut guest);
}

#[test]
fn a_machine_that_has_no_iommu_says_so() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let error = guest.session.bind_vfio().expect_err("no IOMMU");
    assert!(error.to_string().contains("behind no IOMMU"), "{error}");
    let error = guest
        .session
        .listen(spec(Behaviour::Measure))
        .expect_err("no VFIO");
    assert!(error.to_string().contains("is vfio-pci bound"), "{error}");
    guest.session.load_module([]).expect("the driver loads");
    guest.assert_quiet();
}

#[test]
fn a_device_that_has_a_driver_is_not_taken_from_it() {
    let mut guest = boot();
    guest.session.unbind_vfio().expect("nobody has it open");
    guest.session.load_module([]).expect("the driver loads");
    let error = guest.session.bind_vfio().expect_err("it has a driver");
    assert!(error.to_string().contains("irqbed"), "{error}");
    let error = guest.session.unbind_vfio().expect_err("vfio-pci has not");
    assert!(error.to_string().contains("does not have"), "{error}");
    guest.assert_quiet();
}
