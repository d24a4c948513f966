// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How events come: at random, at once, several in a message, as fast as can
//! be; and what runs beside them.

use irqbed_abi::control::{Behaviour, ListenerSpec, Load};
use irqbed_machine::{progress::Progress, qemu::ClockKind};
use irqbed_measure::{
    bench::Bench,
    measure::{Plan, Rate},
    saturate::saturate,
};
use irqbed_results::mechanism::{Context, Mechanism, Pair};

use crate::{
    mechanisms::roomy,
    support::{Guest, machine, unicast},
};

fn bench(guest: &mut Guest, change: impl FnOnce(&mut Bench)) -> irqbed_results::result::RunResult {
    let pair = Pair {
        mechanism: Mechanism::Netlink,
        context: Context::Hardirq,
    };
    let mut bench = Bench::new(&machine(ClockKind::Wall), pair);
    change(&mut bench);
    bench.prepare(&mut guest.session).expect("the driver loads");
    let result = bench
        .run(&mut guest.session, &Progress::hidden())
        .expect("a run");
    guest.session.unload_module().expect("the driver unloads");
    result
}

#[test]
fn events_at_random_all_arrive() {
    let mut guest = Guest::boot();
    // A slow guest is behind at times.
    let spec = roomy(Mechanism::Netlink, Behaviour::Measure);
    guest.session.listen(spec).expect("a listener");
    let run = guest.run(&Plan {
        events: 1000,
        rate: Rate::Poisson {
            hertz: 2000.0,
            seed: 7,
        },
        ..Plan::default()
    });
    assert_eq!(run.delivered(), 1000);
    let mut gaps: Vec<_> = run
        .traces
        .windows(2)
        .filter_map(|pair| Some(pair[1].raise?.0 - pair[0].raise?.0))
        .collect();
    gaps.sort_unstable();
    // Half of exponential gaps are shorter than 0.7 of their mean, a tenth than
    // 0.11 of it; even ones are all as long.
    assert!(gaps[gaps.len() / 10] < gaps[gaps.len() / 2] / 2, "{gaps:?}");
    guest.assert_quiet();
}

#[test]
fn a_burst_comes_with_one_interrupt_and_arrives_whole() {
    let mut guest = Guest::boot();
    let listener = guest.session.listen(unicast()).expect("a listener");
    let before = guest.flush().interrupts;
    let run = guest.run(&Plan {
        events: 640,
        burst: 32,
        rate: Rate::Hertz(3200.0),
        vectors: 2,
        ..Plan::default()
    });
    assert_eq!(run.delivered(), 640);
    assert_eq!(guest.flush().interrupts - before, 20);
    let report = guest.session.report(listener).expect("a report");
    assert_eq!((report.received, report.out_of_order), (640, 0));
    guest.assert_quiet();
}

#[test]
fn a_run_longer_than_the_slots_keeps_its_rate_and_its_traces() {
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    let plan = Plan {
        events: 100_000,
        rate: Rate::Max { window: 128 },
        payload: 8,
        ..Plan::default()
    };
    let run = guest.run(&plan);
    assert_eq!(run.traces.len(), 100_000);
    assert_eq!(run.delivered(), 100_000);
    let raised: Vec<_> = run.traces.iter().filter_map(|trace| trace.raise).collect();
    assert!(raised.is_sorted() && raised.len() == 100_000);
    guest.assert_quiet();
}

#[test]
fn a_message_carries_what_a_burst_brings() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    // What a message holds at most: so many as it may, or as 16 KiB have room for.
    for (payload, batch, most) in [(16, 32, 32), (16, 5, 5), (0, 64, 64), (4096, 32, 3)] {
        let result = bench(&mut guest, |bench| {
            bench.batch = batch;
            bench.listeners = 3;
            bench.receive_buffer = Some(4 << 20);
            bench.plan = Plan {
                events: 320,
                burst: 32,
                payload,
                ..Plan::default()
            };
        });
        assert_eq!(result.problems(), [""; 0]);
        assert_eq!(result.account.delivered, 3 * 320, "{:?}", result.account);
        for listener in &result.listeners {
            let bad = (
                listener.bad_payload,
                listener.out_of_order,
                listener.malformed,
            );
            assert_eq!((listener.received, bad), (320, (0, 0, 0)));
            let wake_ups = listener.wake_ups;
            assert!(wake_ups * most >= 320, "{batch}: {listener:?}");
            assert!(wake_ups < 320 / 2, "{batch}: {listener:?}");
        }
    }
    guest.assert_quiet();
}

#[test]
fn what_a_full_socket_refuses_is_counted_in_events_not_in_messages() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    guest
        .session
        .load_module([("batch", "8".to_owned())])
        .expect("the driver loads");
    let sleeper = ListenerSpec {
        receive_buffer: Some(16 << 10),
        ..ListenerSpec::new(Mechanism::Netlink, Behaviour::Stall)
    };
    guest.session.listen(sleeper).expect("a sleeper");
    guest.session.listen(unicast()).expect("a listener");
    let run = guest.run(&Plan {
        events: 1600,
        burst: 16,
        payload: 256,
        ..Plan::default()
    });
    assert_eq!(run.delivered(), 1600);
    let counters = guest.flush();
    assert!(counters.socket_full > 0, "{counters:?}");
    assert_eq!(counters.sent + counters.socket_full, 3200, "{counters:?}");
    guest.assert_quiet();
}

#[test]
fn a_mechanism_with_one_event_a_message_refuses_to_batch() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for (batch, notifier, words) in [
        ("2", "netlink-broadcast", "one event into a message"),
        ("65", "netlink", "1 to 64"),
        ("0", "netlink", "1 to 64"),
    ] {
        let error = guest
            .session
            .load_module([
                ("batch", batch.to_owned()),
                ("notifier", notifier.to_owned()),
            ])
            .expect_err("refused");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn the_highest_lossless_rate_is_between_one_that_loses_nothing_and_one_that_does() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let pair = Pair {
        mechanism: Mechanism::Netlink,
        context: Context::Hardirq,
    };
    let bench = Bench {
        // So slow that the guest is the limit on any host.
        module_parameters: [("delay_ns".to_owned(), "100000".to_owned())].into(),
        ..Bench::new(&machine(ClockKind::Wall), pair)
    };
    bench.prepare(&mut guest.session).expect("the driver loads");
    let result = saturate(&bench, &mut guest.session, &Progress::hidden()).expect("a rate");
    let saturation = result.saturation.expect("that was asked for");
    assert_eq!(result.account.raised, result.account.delivered);
    assert_eq!(result.parameters.rate_hz, Some(saturation.lossless_hz));
    // A handler of 100 us cannot be called 10,000 times a second.
    assert!(saturation.lossless_hz < 10_000.0, "{saturation:?}");
    let lossy = saturation.lossy.expect("the guest is the limit");
    assert!(lossy.hz > saturation.lossless_hz && lossy.account.total_lost() > 0);
    assert!(lossy.account.balances());
}

#[test]
fn each_load_runs_beside_the_events_and_ends_with_them() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let running = |guest: &mut Guest| {
        let (_, processes, _) = guest.session.run(&["ps"]).expect("ps runs");
        processes
            .lines()
            .filter(|line| line.contains(" load "))
            .count()
    };
    for &load in Load::ALL {
        let result = bench(&mut guest, |bench| {
            bench.load = Some(load);
            bench.plan.events = 300;
        });
        assert_eq!(result.account.delivered, 300, "{load:?}");
        assert_eq!(running(&mut guest), 0);
        guest.session.disturb(Some(load)).expect("it starts");
        assert_eq!(running(&mut guest), 1, "{load:?}");
        guest.session.disturb(None).expect("it ends");
    }
    guest.assert_quiet();
}

#[test]
fn a_listener_runs_with_the_priority_and_on_the_processor_it_was_given() {
    let mut guest = Guest::boot();
    let spec = ListenerSpec {
        fifo: Some(42),
        cpu: Some(0),
        ..unicast()
    };
    guest.session.listen(spec).expect("a listener");
    // Fields 40 and 41 of proc_pid_stat(5): priority and policy.
    let script = "for stat in /proc/[0-9]*/stat; do awk '$40 == 42 && $41 == 1' $stat; done";
    let (_, found, _) = guest.session.run(&["sh", "-c", script]).expect("sh runs");
    assert_eq!(found.lines().count(), 1, "{found}");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
    let spec = ListenerSpec {
        cpu: Some(7),
        ..unicast()
    };
    let error = guest.session.listen(spec).expect_err("no such processor");
    assert!(error.to_string().contains("no processor 7"), "{error}");
}

#[test]
fn sixty_four_listeners_hear_one_broadcast() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let result = bench(&mut guest, |bench| {
        bench.pair.mechanism = Mechanism::NetlinkBroadcast;
        bench.listeners = 64;
        // On a busy host none of them may be late.
        bench.receive_buffer = Some(4 << 20);
        bench.plan = Plan {
            events: 1000,
            rate: Rate::Hertz(200.0),
            payload: 64,
            ..Plan::default()
        };
    });
    assert_eq!(result.account.delivered, 64_000, "{:?}", result.account);
    for listener in &result.listeners {
        assert_eq!(listener.received, 1000);
    }
    guest.assert_quiet();
}
