// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver under the faults of the device library, kind by kind: the guest
//! lives, each event is delivered or its loss has a name, and once the fault is
//! cleared the service is as before, with no driver loaded anew.

mod campaign;
mod device;
mod line;
mod trial;

use device_model::event::Seq;
use irqbed_abi::{control::Mechanism, trace::VERDICT_BAD_PAYLOAD};

use trial::{Trial, UNDER};

use crate::account::Outcome;

/// Events that push out what a fault of DMA has left in the ring.
const LEFT: u32 = 16;

/// What the driver says of faults, at a limited rate.
const BAD_RECORDS: &str = "records made no sense or never became complete";
const RESET: &str = "the device was reset behind the driver's back: set up anew";
const SILENT: &str = "the device does not answer";

/// Interrupts that go wrong, with every record in its place.
const OF_INTERRUPTS: &[&str] = &[
    "irq-lost:chance=0.1,seed=7",
    "irq-lost",
    "irq-duplicated:gap=50us",
    "irq-delayed:mean=3ms",
    "irq-delayed:mean=2ms,distribution=exponential",
    "irq-spurious",
    "irq-spurious:rate=3000",
    "irq-storm:interrupts=300,rate=20000,chance=0.05",
];
/// The same, where there is more than one vector.
const OF_VECTORS: &[&str] = &[
    "irq-spurious:vector=5,rate=3000",
    "irq-misrouted:to=3",
    "irq-misrouted:chance=0.5",
];

#[track_caller]
fn assert_no_event_is_lost(trial: &mut Trial, fault: &str) {
    let outcome = trial.under(fault);
    assert!(outcome.hits() > 0, "{fault}: {outcome:#?}");
    outcome.assert_all_delivered(UNDER, fault);
    if fault == "irq-lost" {
        let rescues = outcome.driver(|d| d.rescues);
        assert!(rescues > 0, "{fault}: {outcome:#?}");
    }
    trial.assert_as_before(fault);
    trial.assert_said(&[], 0, fault);
}

#[test]
fn interrupts_that_are_lost_late_too_many_or_astray_lose_no_event() {
    let mut trial = Trial::boot();
    for fault in OF_INTERRUPTS.iter().chain(OF_VECTORS) {
        assert_no_event_is_lost(&mut trial, fault);
    }
    let mut trial = trial.reload(&[("notifier", "chardev")], Mechanism::Read);
    for fault in ["irq-lost", "irq-misrouted"] {
        assert_no_event_is_lost(&mut trial, fault);
    }
}

#[test]
fn whatever_context_hands_events_on_a_ring_that_stands_still_is_helped_on() {
    let mut trial = Trial::boot();
    for context in ["threaded", "bh", "workqueue"] {
        trial = trial.reload(&[("context", context)], Mechanism::Netlink);
        assert_no_event_is_lost(&mut trial, "irq-lost");
        assert_no_event_is_lost(&mut trial, "irq-misrouted");
        // The phase of a record, which is written last.
        assert_losses_have_names(
            &mut trial,
            "dma-misplaced:place=outside,length=4,chance=0.05",
        );
        trial.arm("reset");
        trial.guest.flush();
        trial.assert_ready(context);
        trial.assert_said(&[RESET], 1, context);
        trial.assert_as_before(context);
    }
}

#[test]
fn whatever_the_type_of_interrupt_no_event_is_lost() {
    let mut trial = Trial::boot();
    for irq in ["msi", "intx"] {
        trial = trial.reload(&[("irq", irq)], Mechanism::Netlink);
        for fault in OF_INTERRUPTS {
            assert_no_event_is_lost(&mut trial, fault);
        }
    }
    // A line whose reason cannot be read is acknowledged all the same.
    for fault in ["reads-ones", "reads-ones:chance=0.5"] {
        let outcome = trial.under(fault);
        assert!(outcome.hits() > 0, "{fault}: {outcome:#?}");
        outcome.assert_all_delivered(UNDER, fault);
        trial.assert_said(&[SILENT], 5, fault);
        trial.assert_as_before(fault);
        trial.assert_said(&[], 0, fault);
    }
}

#[test]
fn the_same_seed_hits_the_same_events() {
    let mut trial = Trial::boot();
    let mut hit = |seed: u64| {
        let outcome = trial.under(&format!("dma-corrupted:length=16,chance=0.1,seed={seed}"));
        let source = trial.guest.session.source();
        let first = outcome.before.device.raised;
        let events = (1..=u64::from(UNDER)).filter(|index| {
            let seq = Seq::new(first + index).expect("it counts from 1");
            let slot = source.instrument().event(seq).expect("not yet reused");
            slot.verdict == VERDICT_BAD_PAYLOAD
        });
        let events: Vec<_> = events.collect();
        assert_eq!(events.len() as u64, outcome.hits());
        assert_eq!(outcome.listener(|l| l.bad_payload), outcome.hits());
        (outcome.faults[0].opportunities, events)
    };
    let (seven, again, eight) = (hit(7), hit(7), hit(8));
    assert_eq!(seven, again);
    assert_ne!(seven, eight);
    trial.assert_as_before("dma-corrupted");
    trial.assert_said(&[], 0, "dma-corrupted");
}

/// Writes to the guest's memory that go wrong: of payloads (16 bytes), records
/// (32) and phases (4).
const OF_DMA: &[&str] = &[
    "dma-torn:bytes=4,rest=never,length=16",
    "dma-torn:bytes=8,rest=1ms,length=32",
    "dma-torn:bytes=8,rest=never,length=32",
    "dma-torn:bytes=20,rest=100us,length=32",
    "dma-late:mean=2ms,length=16",
    "dma-late:mean=2ms,length=32",
    "dma-late:mean=2ms,length=4",
    "dma-misplaced:offset=64,length=16",
    "dma-misplaced:offset=64,length=32",
    "dma-misplaced:offset=-64,length=32",
    "dma-misplaced:offset=64,length=4",
    "dma-misplaced:place=outside,length=32",
    "dma-misplaced:place=outside,length=4",
    "dma-corrupted:bits=1",
    "dma-corrupted:bits=9,length=32",
    "dma-corrupted:bits=2,length=4",
];

#[track_caller]
fn assert_losses_have_names(trial: &mut Trial, fault: &str) {
    let outcome = trial.under(fault);
    assert!(outcome.hits() > 0, "{fault}: {outcome:#?}");
    outcome.assert_balanced(fault);
    // No fault costs more events than it hits, but for one behind it, and those that are
    // raised while the ring is stopped: how long that is depends on the host.
    let lost = u64::from(UNDER).saturating_sub(outcome.delivered());
    let lost = lost.saturating_sub(outcome.device().ring_overflow);
    assert!(lost <= 2 * outcome.hits(), "{fault}: {outcome:#?}");
    trial.raise(LEFT, 1).expect("the device takes them");
    trial.assert_as_before(fault);
    trial.assert_said(&[BAD_RECORDS], 10, fault);
}

#[test]
fn records_that_are_torn_late_astray_or_damaged_are_named_and_hold_up_no_ring() {
    let mut trial = Trial::boot();
    for fault in OF_DMA {
        assert_losses_have_names(&mut trial, &format!("{fault},chance=0.05,seed=3"));
    }
    let mut trial = trial.reload(&[("notifier", "chardev")], Mechanism::Read);
    for fault in [
        "dma-late:mean=2ms,length=4",
        "dma-corrupted:bits=9,length=32",
    ] {
        assert_losses_have_names(&mut trial, &format!("{fault},chance=0.05,seed=3"));
    }
}

#[test]
fn completions_that_change_places_are_out_of_order_and_not_lost() {
    let mut trial = Trial::boot();
    let before = trial.counted();
    trial.arm("completions-swapped:chance=0.2");
    trial.raise(UNDER, 4).expect("the device takes them");
    let outcome = Outcome {
        before,
        faults: trial.clear(),
        after: trial.counted(),
    };
    assert!(outcome.hits() > 0, "{outcome:#?}");
    assert_eq!(outcome.listener(|l| l.received), u64::from(UNDER));
    assert_eq!(outcome.listener(|l| l.out_of_order), outcome.hits());
    outcome.assert_balanced("completions-swapped");
    trial.assert_as_before("completions-swapped");
    trial.assert_said(&[], 0, "completions-swapped");
}
