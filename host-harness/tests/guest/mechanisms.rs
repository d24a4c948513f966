// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every mechanism in every context: what was raised arrives, or is accounted
//! for, and the kernel has nothing to complain of.

use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_measure::measure::{Plan, Rate};
use irqbed_results::mechanism::{Context, Mechanism, Pair};

use crate::{
    load::under_load,
    support::{Guest, machine, skip},
};
use irqbed_machine::qemu::ClockKind;

const PAYLOADS: [u32; 3] = [0, 64, 4096];
const EVENTS: u64 = 1000;

/// Room for more than any test leaves unread.
pub fn roomy(mechanism: Mechanism, behaviour: Behaviour) -> ListenerSpec {
    ListenerSpec {
        receive_buffer: Some(8 << 20),
        ..ListenerSpec::new(mechanism, behaviour)
    }
}

pub fn load(guest: &mut Guest, mechanism: Mechanism, context: Context) {
    let pair = Pair { mechanism, context };
    guest
        .session
        .load_module(pair.module_parameters().expect("it needs our driver"))
        .unwrap_or_else(|error| panic!("{pair}: {error}"));
}

fn delivers_in_every_context(mechanism: Mechanism) {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    if guest.known(&[mechanism]).is_empty() {
        return skip("this kernel does not have it");
    }
    for &context in Context::ALL {
        let pair = Pair { mechanism, context };
        load(&mut guest, mechanism, context);
        let spec = roomy(mechanism, Behaviour::Measure);
        let number = guest.session.listen(spec).expect("a listener");
        for payload in PAYLOADS {
            let run = guest.run(&Plan {
                events: EVENTS,
                // No more than the rings have room for, whatever the host does.
                rate: Rate::Max { window: 32 },
                payload,
                vectors: 4,
                ..Plan::default()
            });
            assert_eq!(run.delivered(), EVENTS, "{pair}, {payload} bytes");
            for trace in &run.traces {
                assert!(
                    trace.isr <= trace.notify && trace.notify < trace.user,
                    "{pair}: {trace:?}"
                );
            }
        }
        let counters = guest.flush();
        let all = EVENTS * PAYLOADS.len() as u64;
        assert_eq!(
            (counters.events, counters.sent),
            (all, all),
            "{pair}: {counters:?}"
        );
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (
                report.received,
                report.bad_payload,
                report.out_of_order,
                report.malformed
            ),
            (all, 0, 0, 0),
            "{pair}"
        );
        let counters = guest.flush();
        assert_eq!(
            (counters.subscribers, counters.listeners_forgotten),
            (0, 0),
            "{pair}"
        );
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn netlink_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Netlink);
}

#[test]
fn netlink_broadcast_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::NetlinkBroadcast);
}

#[test]
fn genetlink_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Genetlink);
}

#[test]
fn genetlink_multicast_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::GenetlinkMulticast);
}

#[test]
fn read_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Read);
}

#[test]
fn poll_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Poll);
}

#[test]
fn ioctl_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Ioctl);
}

#[test]
fn signal_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Signal);
}

#[test]
fn signal_queued_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::SignalQueued);
}

#[test]
fn eventfd_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Eventfd);
}

#[test]
fn uio_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::Uio);
}

#[test]
fn io_uring_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::IoUring);
}

#[test]
fn netlink_io_uring_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::NetlinkIoUring);
}

#[test]
fn mmap_poll_delivers_in_every_context() {
    delivers_in_every_context(Mechanism::MmapPoll);
}

#[test]
fn a_file_that_is_not_read_fills_up_and_costs_only_itself() {
    for mechanism in [
        Mechanism::Read,
        Mechanism::Signal,
        Mechanism::SignalQueued,
        Mechanism::Eventfd,
        Mechanism::IoUring,
    ] {
        let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
        if guest.known(&[mechanism]).is_empty() {
            continue;
        }
        load(&mut guest, mechanism, Context::Hardirq);
        let sleeper = guest
            .session
            .listen(ListenerSpec::new(mechanism, Behaviour::Stall))
            .expect("a sleeper");
        guest
            .session
            .listen(roomy(mechanism, Behaviour::Measure))
            .expect("a listener");
        assert_eq!(guest.raise(1000, 1024).delivered(), 1000);
        let counters = guest.flush();
        assert!(counters.queue_full > 0, "{counters:?}");
        assert_eq!(counters.sent + counters.queue_full, 2000);
        let report = guest.session.end_listener(sleeper, true).expect("a report");
        assert_eq!(report.received, 0);
        let counters = guest.flush();
        assert_eq!((counters.subscribers, counters.listeners_forgotten), (1, 1));
        guest.assert_quiet();
    }
}

#[test]
fn an_event_longer_than_the_readers_buffer_is_cut_and_both_sides_know() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::Read, Context::Hardirq);
    let readers = [
        Mechanism::Read,
        Mechanism::Poll,
        Mechanism::Ioctl,
        Mechanism::IoUring,
    ];
    for (count, mechanism) in (1..).zip(guest.known(&readers)) {
        let spec = ListenerSpec {
            // The event's description and half of its payload.
            read_size: Some(24 + 32),
            ..ListenerSpec::new(mechanism, Behaviour::Measure)
        };
        let number = guest.session.listen(spec).expect("a listener");
        assert_eq!(guest.raise(100, 32).delivered(), 100);
        assert_eq!(guest.raise(100, 64).bad_payload(), 100);
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (report.received, report.bad_payload, report.malformed),
            (200, 100, 0)
        );
        assert_eq!(guest.flush().truncated, 100 * count);
    }
    guest.assert_quiet();
}

#[test]
fn a_file_gets_no_events_from_a_driver_that_tells_by_netlink() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::Netlink, Context::Hardirq);
    let error = guest
        .session
        .listen(ListenerSpec::new(Mechanism::Read, Behaviour::Measure))
        .expect_err("there is no queue");
    assert!(error.to_string().contains("does not put events"), "{error}");
    let (status, _, _) = guest
        .session
        .run(&["dd", "if=/dev/irqbed0", "of=/dev/null", "bs=64", "count=1"])
        .expect("dd runs");
    assert_ne!(
        status, 0,
        "a file that asked for nothing has nothing to read"
    );
    guest.assert_quiet();
}

#[test]
fn each_context_unloads_and_loads_again_under_load() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for &context in Context::ALL {
        load(&mut guest, Mechanism::Netlink, context);
        under_load(&mut guest, 1, |guest| {
            for _ in 0..3 {
                std::thread::sleep(std::time::Duration::from_millis(100));
                guest.session.unload_module().expect("the driver unloads");
                load(guest, Mechanism::Netlink, context);
            }
        });
        let spec = ListenerSpec::new(Mechanism::Netlink, Behaviour::Measure);
        let number = guest.session.listen(spec).expect("a listener");
        assert_eq!(guest.raise(100, 16).delivered(), 100);
        guest.session.end_listener(number, false).expect("a report");
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn an_unknown_context_is_named() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let error = guest
        .session
        .load_module([("context", "dream".to_owned())])
        .expect_err("no such context");
    assert!(error.to_string().contains("dream"), "{error}");
}
