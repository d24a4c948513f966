// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The numbers: a delay of known length must show where it was put, and
//! nowhere else.

use device_model::GuestTsc;
use irqbed_machine::qemu::ClockKind;
use irqbed_measure::{
    clock::{Calibration, WallClock},
    measure::{Plan, Rate, Run},
};

use crate::support::{Guest, is_debug_kernel, machine, sh, unicast};

/// Median of a stage in guest time units, from its two stamps.
fn medians(run: &Run) -> (u64, u64) {
    let mut isr_to_notify = Vec::new();
    let mut notify_to_user = Vec::new();
    for trace in &run.traces {
        let (Some(isr), Some(notify), Some(user)) = (trace.isr, trace.notify, trace.user) else {
            panic!("an event was lost: {trace:?}");
        };
        isr_to_notify.push(notify.0 - isr.0);
        notify_to_user.push(user.0 - notify.0);
    }
    isr_to_notify.sort_unstable();
    notify_to_user.sort_unstable();
    (
        isr_to_notify[isr_to_notify.len() / 2],
        notify_to_user[notify_to_user.len() / 2],
    )
}

fn set_delay(guest: &mut Guest, parameter: &str, value: u64) {
    let file = format!("echo {value} > /sys/module/irqbed/parameters/{parameter}");
    sh(&mut guest.session, &file);
}

#[test]
fn a_delay_in_instructions_shows_exactly_in_isr_to_notify() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Instructions));
    guest.session.load_module([]).expect("the driver loads");
    guest.session.listen(unicast()).expect("a listener");
    let plan = Plan {
        events: 300,
        rate: Rate::WhenIdle(1000.0),
        payload: 16,
        vectors: 1,
        ..Plan::default()
    };
    let (isr_to_notify, notify_to_user) = medians(&guest.run(&plan));
    for delay in [2, 1000, 20_000] {
        set_delay(&mut guest, "delay_insns", delay);
        let delayed = medians(&guest.run(&plan));
        assert_eq!(delayed.0, isr_to_notify + delay, "delay of {delay}");
        if !is_debug_kernel() {
            assert_eq!(delayed.1, notify_to_user, "delay of {delay}");
        }
    }
    guest.assert_quiet();
}

#[test]
fn a_delay_in_nanoseconds_shows_in_isr_to_notify() {
    const DELAY: u64 = 200_000;
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    let before = Calibration::take(&mut guest.session).expect("a calibration");
    let plan = Plan {
        events: 300,
        rate: Rate::Hertz(500.0),
        payload: 16,
        vectors: 1,
        ..Plan::default()
    };
    let without = guest.run(&plan);
    set_delay(&mut guest, "delay_ns", DELAY);
    let with = guest.run(&plan);
    let after = Calibration::take(&mut guest.session).expect("a calibration");
    let clock = WallClock::between(&before, &after);
    let nanos = |cycles: u64| {
        clock
            .guest_to_guest(GuestTsc(0), GuestTsc(cycles))
            .unsigned_abs()
    };

    let shortest = with
        .traces
        .iter()
        .filter_map(|trace| Some(trace.notify?.0 - trace.isr?.0))
        .min();
    assert!(nanos(shortest.expect("events")) >= DELAY);
    let (without, with) = (nanos(medians(&without).0), nanos(medians(&with).0));
    let shown = with - without;
    assert!(
        shown.abs_diff(DELAY) <= DELAY / 50,
        "a delay of {DELAY} ns shows as {shown} ns"
    );
}
