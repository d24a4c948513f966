// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listeners that pause, die and crowd, by every mechanism: each costs only
//! itself, and every event is accounted for.

use device_model::event::{Payload, Vector};
use irqbed_abi::{
    control::{Behaviour, ListenerReport, ListenerSpec},
    counters::Counters,
};
use irqbed_machine::qemu::ClockKind;
use irqbed_measure::measure::{Plan, Rate};
use irqbed_results::mechanism::{Context, Mechanism, Pair, most_listeners};

use crate::support::{Guest, machine, sh, signal_listeners};

/// Every mechanism in a guest of its own driver, with `vcpus` processors.
fn with_each(vcpus: u32, mut test: impl FnMut(&mut Guest, Mechanism)) {
    let machine = irqbed_machine::qemu::Machine {
        vcpus,
        ..machine(ClockKind::Wall)
    };
    let mut guest = Guest::boot_bare(&machine);
    for mechanism in guest.known(Mechanism::ALL) {
        let pair = Pair {
            mechanism,
            context: Context::Hardirq,
        };
        // Who drives the device itself is in `vfio.rs`.
        let Some(parameters) = pair.module_parameters() else {
            continue;
        };
        guest
            .session
            .load_module(parameters)
            .unwrap_or_else(|error| panic!("{pair}: {error}"));
        test(&mut guest, mechanism);
        guest.session.unload_module().expect("the driver unloads");
        guest.assert_quiet();
    }
}

/// Deliveries that did not reach their listener, by the driver's account or,
/// for a broadcast, by the kernel's.
fn lost(counters: &Counters, report: &ListenerReport) -> u64 {
    (counters.queue_full + counters.socket_full).max(report.kernel_drops)
}

#[test]
fn a_listener_that_pauses_loses_what_has_no_room_and_then_goes_on() {
    with_each(1, |guest, mechanism| {
        let spec = ListenerSpec {
            receive_buffer: Some(16 << 10),
            ..ListenerSpec::new(mechanism, Behaviour::Measure)
        };
        let number = guest.session.listen(spec).expect("a listener");
        // No more at once than there is room for, however slow the guest is.
        for received in [10, 20, 30, 40, 50] {
            guest.raise(10, 64);
            let report = guest.session.report(number).expect("a report");
            assert_eq!(report.received, received);
        }

        signal_listeners(guest, "STOP");
        guest.raise(1000, 256);
        let report = guest.session.report(number).expect("a report");
        assert_eq!(report.received, 50, "{mechanism:?} sleeps");

        signal_listeners(guest, "CONT");
        // A socket that was full takes nothing before it has been emptied.
        let mut raised = 1050;
        let mut last = 0;
        while last < guest.session.source().counters().raised {
            assert!(raised < 1100, "{mechanism:?} does not wake");
            guest.raise(1, 64);
            raised += 1;
            last = guest.session.report(number).expect("a report").last_seq;
        }
        guest.raise(50, 64);
        raised += 50;
        let counters = guest.flush();
        let report = guest
            .session
            .end_listener(number, false)
            .expect("a last report");
        let lost = lost(&counters, &report);
        assert!(lost > 0, "{mechanism:?}: {counters:?} {report:?}");
        assert_eq!(
            report.received + lost,
            raised,
            "{mechanism:?}: {counters:?} {report:?}"
        );
        assert_eq!(
            (report.bad_payload, report.out_of_order, report.malformed),
            (0, 0, 0),
            "{mechanism:?}"
        );
        assert_eq!(report.last_seq, guest.session.source().counters().raised);
    });
}

#[test]
fn a_listener_killed_in_mid_stream_takes_nobody_with_it() {
    with_each(1, |guest, mechanism| {
        if most_listeners(mechanism) == Some(1) {
            // Nobody is with it.
            return;
        }
        let room = |behaviour| ListenerSpec {
            receive_buffer: Some(8 << 20),
            ..ListenerSpec::new(mechanism, behaviour)
        };
        let victim = guest
            .session
            .listen(room(Behaviour::Count))
            .expect("a victim");
        let survivor = guest
            .session
            .listen(room(Behaviour::Count))
            .expect("a survivor");
        let source = guest.session.source().clone();
        std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                for _ in 0..1000 {
                    source
                        .raise(Vector::default(), Payload::Pattern(64))
                        .expect("the device takes the event");
                    std::thread::sleep(std::time::Duration::from_micros(300));
                }
            });
            std::thread::sleep(std::time::Duration::from_millis(100));
            let report = guest.session.end_listener(victim, true).expect("a report");
            assert!(report.received <= 1000 && !report.alive);
            load.join().expect("the load ends");
        });
        guest.flush();
        let report = guest
            .session
            .end_listener(survivor, false)
            .expect("a report");
        let overflow = source.overflows(Vector::default());
        assert_eq!(
            report.received + u64::from(overflow),
            1000,
            "{mechanism:?}: {report:?}"
        );
        let counters = guest.flush();
        assert_eq!(counters.subscribers, 0, "{mechanism:?}: {counters:?}");
    });
}

#[test]
fn every_mechanism_delivers_on_several_processors() {
    with_each(2, |guest, mechanism| {
        let spec = ListenerSpec {
            receive_buffer: Some(8 << 20),
            ..ListenerSpec::new(mechanism, Behaviour::Measure)
        };
        // Half of the interrupts come to each processor.
        let spread = "for irq in $(awk -F: '/irqbed/ {print $1}' /proc/interrupts); do
            echo $((irq % 2)) > /proc/irq/$irq/smp_affinity_list; done";
        sh(&mut guest.session, spread);
        let number = guest.session.listen(spec).expect("a listener");
        let run = guest.run(&Plan {
            events: 2000,
            rate: Rate::Hertz(4000.0),
            payload: 64,
            vectors: 8,
            ..Plan::default()
        });
        assert_eq!(run.delivered(), 2000, "{mechanism:?}");
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (report.received, report.bad_payload, report.out_of_order),
            (2000, 0, 0),
            "{mechanism:?}"
        );
    });
}
