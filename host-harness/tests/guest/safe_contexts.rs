// SPDX-License-Identifier: Apache-2.0 OR MIT
//! May the driver tell a process by each mechanism, in each context, whatever
//! goes wrong? The debug kernel is asked: one with lockdep, checks for
//! sleeping in atomic context, KASAN, DEBUG_NET, DEBUG_OBJECTS and kmemleak.

use std::{
    thread,
    time::{Duration, Instant},
};

use irqbed_abi::{
    control::{Behaviour, ListenerSpec},
    counters::Counters,
};
use irqbed_machine::{
    artefacts::DEBUG_KERNEL,
    qemu::{ClockKind, Machine},
};
use irqbed_measure::{
    bench::cannot,
    measure::{Plan, Rate},
};
use irqbed_results::mechanism::{
    Context, Driver, Mechanism, Pair, batches, driver, most_listeners,
};

use crate::{
    load::under_load,
    mechanisms::roomy,
    support::{Guest, LOOK_FOR_LEAKS, kernel, kmemleak, machine, sh},
    taps,
};

/// Vectors that take turns; the kernel spreads them over its processors.
const VECTORS: u32 = 4;
/// Events that come at once, and events in a message where it may carry several.
const BATCH: u32 = 8;

/// What has not come by then never will.
const LATE: Duration = Duration::from_secs(20);

/// Allocations that fail: every other one of those that may not sleep and that
/// the driver's own code asks for. The end is beyond its text, and before
/// anybody else's. `times` counts down with each.
const FAIL: &str = "cd /sys/kernel/debug/failslab
    start=$(cat /sys/module/irqbed/sections/.text)
    echo $start >require-start
    printf 0x%x $((start + $(cat /sys/module/irqbed/coresize))) >require-end
    echo 0 >verbose
    echo 1000000 >times
    echo 50 >probability";
const FAIL_NO_MORE: &str = "cd /sys/kernel/debug/failslab
    echo 0 >probability
    cat times";

/// How long kmemleak may take.
const SCANNED: Duration = Duration::from_secs(300);

fn boot() -> Guest {
    assert_eq!(
        kernel().as_deref(),
        Some(DEBUG_KERNEL),
        "by `./just test-debug`"
    );
    let machine = Machine {
        vcpus: 2,
        ..machine(ClockKind::Wall)
    };
    let mut guest = Guest::boot_bare(&machine);
    sh(
        &mut guest.session,
        "mount -t debugfs none /sys/kernel/debug",
    );
    taps::add(&mut guest);
    guest
}

fn raise(guest: &mut Guest, events: u64, payload: u32) {
    guest.run(&Plan {
        events,
        rate: Rate::Hertz(500.0),
        payload,
        vectors: VECTORS,
        burst: BATCH,
    });
}

/// Raises events and waits until a listener has so many more of them: this
/// kernel is slow, and a busy host makes it slower.
fn arrive(guest: &mut Guest, listener: u32, events: u64, payload: u32) {
    let seen = |guest: &mut Guest| guest.session.report(listener).expect("a report").received;
    let before = seen(guest);
    raise(guest, events, payload);
    let begun = Instant::now();
    while seen(guest) < before + events {
        assert!(begun.elapsed() < LATE, "of {events} events some never came");
        thread::sleep(Duration::from_millis(100));
    }
}

fn load(guest: &mut Guest, pair: Pair, batch: u32) {
    let parameters = pair.module_parameters().into_iter().flatten();
    guest
        .session
        .load_module(parameters.chain([("batch", batch.to_string())]))
        .unwrap_or_else(|error| panic!("{pair}: {error}"));
}

fn listen(guest: &mut Guest, mechanism: Mechanism) -> u32 {
    let spec = roomy(mechanism, Behaviour::Measure);
    guest.session.listen(spec).expect("a listener")
}

fn end(guest: &mut Guest, listener: u32) {
    guest
        .session
        .end_listener(listener, false)
        .expect("a report");
}

fn events_arrive(guest: &mut Guest, pair: Pair) {
    let listener = listen(guest, pair.mechanism);
    for payload in [0, 4096] {
        arrive(guest, listener, 200, payload);
    }
    end(guest, listener);
    // Two that never sleep cannot share a processor in time.
    if most_listeners(pair.mechanism) == Some(1) || pair.mechanism == Mechanism::MmapPoll {
        return;
    }
    // On a processor that is not the interrupt's, the first of two reads its
    // event while the second one is told: what it frees may be in use.
    let listeners = [Behaviour::Measure, Behaviour::Count].map(|behaviour| {
        let spec = ListenerSpec {
            cpu: Some(1),
            ..roomy(pair.mechanism, behaviour)
        };
        guest.session.listen(spec).expect("a listener")
    });
    arrive(guest, listeners[0], 400, 64);
    for listener in listeners {
        end(guest, listener);
    }
}

/// Deliveries that found no room, by the driver's account.
fn full(counters: &Counters) -> u64 {
    counters.socket_full + counters.queue_full
}

fn a_full_listener_costs_only_itself(guest: &mut Guest, pair: Pair) {
    let sleeper = guest
        .session
        .listen(ListenerSpec::new(pair.mechanism, Behaviour::Stall))
        .expect("a sleeper");
    let before = guest.flush();
    if most_listeners(pair.mechanism) == Some(1) {
        raise(guest, 400, 1024);
    } else {
        let listener = listen(guest, pair.mechanism);
        arrive(guest, listener, 400, 1024);
        end(guest, listener);
    }
    let drops = guest
        .session
        .report(sleeper)
        .expect("a report")
        .kernel_drops;
    let dropped = full(&guest.flush()) - full(&before) + drops;
    assert!(dropped > 0, "{pair}: the sleeper was never full");
    guest
        .session
        .end_listener(sleeper, true)
        .expect("a last report");
}

fn listeners_are_killed_in_mid_stream(guest: &mut Guest, pair: Pair) {
    under_load(guest, VECTORS, |guest| {
        for _ in 0..10 {
            let victim = listen(guest, pair.mechanism);
            let begun = Instant::now();
            while guest.session.report(victim).expect("a report").received == 0 {
                assert!(begun.elapsed() < LATE, "{pair}: no event reached it");
            }
            guest
                .session
                .end_listener(victim, true)
                .expect("a last report");
        }
    });
}

/// What notifies by netlink allocates each message, and a clone that fails
/// within a broadcast is told as a full socket. A signal may be allocated, and
/// no event depends on it. Nothing else allocates.
fn allocations_fail(guest: &mut Guest, pair: Pair) {
    let listener = listen(guest, pair.mechanism);
    let before = guest.flush();
    sh(&mut guest.session, FAIL);
    raise(guest, 100, 64);
    let left: u64 = sh(&mut guest.session, FAIL_NO_MORE)
        .trim()
        .parse()
        .expect("a number");
    let after = guest.flush();
    let failed = 1_000_000 - left;
    let no_memory = after.no_memory - before.no_memory;
    let lost = no_memory + full(&after) - full(&before);
    match driver(pair.mechanism) {
        Driver::Ours(notifier) if notifier.contains("netlink") => {
            assert!(no_memory > 0, "{pair}: no allocation failed");
        }
        Driver::Ours("signal") => assert_eq!(lost, 0, "{pair}"),
        _ => assert_eq!((failed, lost), (0, 0), "{pair}"),
    }
    assert_eq!(after.sent - before.sent + lost, 100, "{pair}");
    end(guest, listener);
}

fn the_driver_goes_and_comes_back(guest: &mut Guest, pair: Pair, batch: u32) {
    under_load(guest, VECTORS, |guest| {
        for _ in 0..3 {
            thread::sleep(Duration::from_millis(50));
            guest.session.unload_module().expect("the driver unloads");
            load(guest, pair, batch);
        }
    });
}

/// What the kernel says of a pair. A kernel that has complained of locks once
/// no longer looks at them.
fn complaints(guest: &mut Guest, pair: Pair) -> Vec<String> {
    let several = batches(pair.mechanism).then_some(BATCH);
    for batch in [1].into_iter().chain(several) {
        load(guest, pair, batch);
        events_arrive(guest, pair);
        a_full_listener_costs_only_itself(guest, pair);
        listeners_are_killed_in_mid_stream(guest, pair);
        allocations_fail(guest, pair);
        the_driver_goes_and_comes_back(guest, pair, batch);
        guest.session.unload_module().expect("the driver unloads");
    }
    let complaints = guest.complaints();
    let locks = sh(&mut guest.session, "grep debug_locks /proc/lockdep_stats");
    let looks = locks.trim().ends_with('1');
    assert!(looks || !complaints.is_empty(), "lockdep is off: {locks}");
    complaints
}

/// Every mechanism, in a guest of its own driver; in another guest, once the
/// kernel has complained.
fn no_mechanism_draws_a_complaint(context: Context) {
    // What only a measurement is refused for is no matter here.
    let measured = machine(ClockKind::Instructions);
    let mut guest = boot();
    let mut unsafe_pairs = Vec::new();
    for pair in Pair::of(Mechanism::ALL, &[context]) {
        if driver(pair.mechanism) == Driver::Vfio {
            println!("{pair}: without a driver of ours");
            continue;
        }
        if let Some(why) = cannot(pair, &measured, 1) {
            println!("{pair}: refused: {why}");
            continue;
        }
        // Somebody looks on, where the driver lets him.
        taps::set(&mut guest, taps::allowed(pair));
        let complaints = complaints(&mut guest, pair);
        if complaints.is_empty() {
            println!("{pair}: no complaint");
        } else {
            println!("{pair}: {complaints:#?}");
            unsafe_pairs.push(pair);
            // First its turn must be over.
            drop(guest);
            guest = boot();
        }
    }
    assert_eq!(
        kmemleak(SCANNED, &mut guest.session, LOOK_FOR_LEAKS),
        "",
        "leaks"
    );
    assert_eq!(unsafe_pairs, [], "unsafe");
}

#[test]
#[ignore = "needs the debug kernel: `./just kernel 6.12-debug`, then `./just test-debug`"]
fn in_the_hard_interrupt_no_mechanism_draws_a_complaint() {
    no_mechanism_draws_a_complaint(Context::Hardirq);
}

#[test]
#[ignore = "needs the debug kernel: `./just kernel 6.12-debug`, then `./just test-debug`"]
fn in_the_interrupts_thread_no_mechanism_draws_a_complaint() {
    no_mechanism_draws_a_complaint(Context::Threaded);
}

#[test]
#[ignore = "needs the debug kernel: `./just kernel 6.12-debug`, then `./just test-debug`"]
fn in_a_softirq_no_mechanism_draws_a_complaint() {
    no_mechanism_draws_a_complaint(Context::Bh);
}

#[test]
#[ignore = "needs the debug kernel: `./just kernel 6.12-debug`, then `./just test-debug`"]
fn in_a_worker_no_mechanism_draws_a_complaint() {
    no_mechanism_draws_a_complaint(Context::Workqueue);
}
