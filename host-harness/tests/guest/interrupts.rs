// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every type of interrupt: what the device raises arrives, in every context,
//! and a line that was served is quiet.

use std::{thread, time::Duration};

use irqbed_machine::{
    qemu::{ClockKind, Machine},
    session::SessionError,
};
use irqbed_measure::measure::{Plan, Rate};
use irqbed_results::mechanism::{Context, InterruptType, Mechanism, Pair};

use crate::{
    load::under_load,
    support::{Guest, machine, unicast},
};

const EVENTS: u64 = 1000;
const RINGS: u32 = 4;

fn load(guest: &mut Guest, irq: InterruptType, context: Context) -> Result<(), SessionError> {
    let pair = Pair {
        mechanism: Mechanism::Netlink,
        context,
    };
    let irq = ("irq", irq.as_str().to_owned());
    let parameters = pair.module_parameters().into_iter().flatten();
    guest.session.load_module(parameters.chain([irq]))
}

/// The lines of `/proc/interrupts` that are the driver's.
fn lines(guest: &mut Guest) -> Vec<String> {
    let (status, interrupts, _) = guest
        .session
        .run(&["grep", "irqbed0", "/proc/interrupts"])
        .expect("grep runs");
    assert_eq!(status, 0);
    interrupts.lines().map(str::to_owned).collect()
}

/// How often the processor was interrupted, whoever's interrupt it was found
/// to be.
fn taken(guest: &mut Guest) -> u64 {
    let count = |line: &String| {
        let count = line.split_ascii_whitespace().nth(1);
        count
            .and_then(|count| count.parse::<u64>().ok())
            .expect("a count")
    };
    lines(guest).iter().map(count).sum()
}

fn delivers_in_every_context(irq: InterruptType) {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for &context in Context::ALL {
        let what = format!("{irq:?} in {context:?}");
        load(&mut guest, irq, context).expect(&what);
        let number = guest.session.listen(unicast()).expect("a listener");
        let run = guest.run(&Plan {
            events: EVENTS,
            // No more than a guest that is slow can hold.
            rate: Rate::Max { window: 32 },
            payload: 64,
            vectors: RINGS,
            burst: 1,
        });
        assert_eq!(run.delivered(), EVENTS, "{what}");
        for trace in &run.traces {
            assert!(
                trace.isr <= trace.notify && trace.notify < trace.user,
                "{what}: {trace:?}"
            );
        }
        let counters = guest.flush();
        assert_eq!((counters.events, counters.sent), (EVENTS, EVENTS), "{what}");
        assert!(
            (1..=EVENTS).contains(&counters.interrupts),
            "{what}: {counters:?}"
        );
        // What nobody acknowledges comes again at once, and for ever; and a line
        // that is down interrupts nobody.
        let before = taken(&mut guest);
        let forced = guest.session.handler_forced_by(&[]).expect("an answer");
        if forced.is_some() {
            // In a thread it runs once for all messages that came meanwhile.
            assert!(
                before >= counters.interrupts,
                "{what}: {before}, {counters:?}"
            );
        } else {
            assert_eq!(before, counters.interrupts, "{what}");
        }
        thread::sleep(Duration::from_millis(100));
        assert_eq!(taken(&mut guest), before, "{what}: the line is quiet");
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (report.received, report.bad_payload, report.out_of_order),
            (EVENTS, 0, 0),
            "{what}"
        );
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn msix_delivers_in_every_context() {
    delivers_in_every_context(InterruptType::Msix);
}

#[test]
fn msi_delivers_in_every_context() {
    delivers_in_every_context(InterruptType::Msi);
}

#[test]
fn intx_delivers_in_every_context() {
    delivers_in_every_context(InterruptType::Intx);
}

#[test]
fn rings_share_an_interrupt_where_there_is_one() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for (irq, count, kind) in [
        // Before Linux 6.2 they are all PCI-MSI.
        (InterruptType::Msix, 32, "MSI"),
        (InterruptType::Msi, 1, "MSI"),
        (InterruptType::Intx, 1, "fasteoi"),
    ] {
        load(&mut guest, irq, Context::Hardirq).expect("the driver loads");
        assert_eq!(guest.session.source().armed_vectors(), u32::MAX, "{irq:?}");
        let lines = lines(&mut guest);
        assert_eq!(lines.len(), count, "{lines:#?}");
        assert!(lines.iter().all(|line| line.contains(kind)), "{lines:#?}");
        guest.session.unload_module().expect("the driver unloads");
    }
}

#[test]
fn each_type_unloads_and_loads_again_under_load() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for &irq in InterruptType::ALL {
        load(&mut guest, irq, Context::Hardirq).expect("the driver loads");
        under_load(&mut guest, 1, |guest| {
            for _ in 0..3 {
                thread::sleep(Duration::from_millis(100));
                guest.session.unload_module().expect("the driver unloads");
                load(guest, irq, Context::Hardirq).expect("the driver loads");
            }
        });
        let number = guest.session.listen(unicast()).expect("a listener");
        assert_eq!(guest.raise(100, 16).delivered(), 100, "{irq:?}");
        guest.session.end_listener(number, false).expect("a report");
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn a_type_that_there_is_not_is_refused_with_words() {
    let mut guest = Guest::boot_bare(&Machine {
        kernel_parameters: vec!["pci=nomsi".to_owned()],
        ..machine(ClockKind::Wall)
    });
    for (irq, title) in [(InterruptType::Msix, "MSI-X"), (InterruptType::Msi, "MSI")] {
        let error = load(&mut guest, irq, Context::Hardirq).expect_err("there is none");
        let words = format!("no interrupts by {title}: ");
        assert!(error.to_string().contains(&words), "{error}");
        guest.session.unload_module().expect("the driver unloads");
    }
    load(&mut guest, InterruptType::Intx, Context::Hardirq).expect("the line is there");
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
}

#[test]
fn an_unknown_type_is_named() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let error = guest
        .session
        .load_module([("irq", "smoke".to_owned())])
        .expect_err("no such type");
    assert!(error.to_string().contains("smoke"), "{error}");
}

#[test]
fn events_at_the_highest_rate_over_intx_are_all_accounted_for() {
    const MANY: u64 = 10_000;
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, InterruptType::Intx, Context::Hardirq).expect("the driver loads");
    guest.session.listen(unicast()).expect("a listener");
    let run = guest.run(&Plan {
        events: MANY,
        rate: Rate::Max { window: 128 },
        payload: 16,
        vectors: RINGS,
        burst: 1,
    });
    let counters = guest.flush();
    let device = guest.session.source().counters();
    assert_eq!(device.raised, MANY);
    assert_eq!(counters.events + device.ring_overflow, MANY);
    assert_eq!(
        run.delivered() + counters.socket_full + device.ring_overflow,
        MANY
    );
    guest.assert_quiet();
}
