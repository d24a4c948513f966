// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Interrupts that are lost, late, doubled, of another vector or of no event.

use std::{thread, time::Duration};

use device_model::event::Outcome;
use irqbed_abi::regs;

use crate::{
    arm,
    common::{Guest, board::wait},
    counts, guest, raise,
};

#[test]
fn a_lost_interrupt_leaves_its_record_in_the_ring() {
    let guest = guest();
    let faults = arm(&guest, "irq-lost:after=1,count=1");
    for interrupts in [1, 0, 1] {
        assert_eq!(raise(&guest), Outcome::Signalled);
        assert_eq!(guest.interrupts(0), interrupts);
    }
    assert_eq!(guest.record(2).seq, 3);
    assert_eq!(counts(&faults), (3, 1));
    let reports = faults.clear();
    assert_eq!(reports[0].fault.to_string(), "irq-lost:after=1,count=1");
    raise(&guest);
    assert_eq!(guest.interrupts(0), 1);
    assert!(faults.list().is_empty());
}

#[test]
fn an_interrupt_comes_twice_or_on_another_vector() {
    let guest = guest();
    let faults = arm(&guest, "irq-duplicated:gap=0ns,count=1");
    raise(&guest);
    assert_eq!(guest.interrupts(0), 2);
    faults.clear();
    arm(&guest, "irq-duplicated:gap=1ms,count=1");
    raise(&guest);
    assert_eq!(guest.interrupts(0), 1);
    wait("the second", || guest.interrupts(0) == 1);
    faults.clear();
    arm(&guest, "irq-misrouted:to=3,vector=0");
    raise(&guest);
    assert_eq!(
        [0, 1, 2, 3].map(|vector| guest.interrupts(vector)),
        [0, 0, 0, 1]
    );
}

#[test]
fn a_late_interrupt_comes_when_its_record_has_long_been_there() {
    let guest = guest();
    let faults = arm(&guest, "irq-delayed:mean=20ms");
    raise(&guest);
    assert_eq!((guest.record(0).seq, guest.interrupts(0)), (1, 0));
    wait("the interrupt", || guest.interrupts(0) == 1);
    faults.clear();
    // What is late when the fault is cleared arrives then.
    let faults = arm(&guest, "irq-delayed:mean=60s");
    raise(&guest);
    faults.clear();
    assert_eq!(guest.interrupts(0), 1);
}

#[test]
fn a_line_that_is_late_is_not_asserted_once_its_reason_is_gone() {
    let mut guest = Guest::boot_with_intx();
    assert!(guest.arm(0, 16, 8192));
    guest.enable();
    let faults = arm(&guest, "irq-delayed:mean=5ms,count=1");
    raise(&guest);
    guest.set_register(regs::REG_IRQ_STATUS, 1);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(guest.interrupts(0), 0);
    raise(&guest);
    assert_eq!(guest.interrupts(0), 1);
    assert_eq!(counts(&faults), (2, 1));
}

#[test]
fn interrupts_come_without_an_event() {
    let guest = guest();
    let faults = arm(&guest, "irq-spurious:vector=2");
    assert_eq!(guest.interrupts(2), 1);
    assert_eq!(counts(&faults), (1, 1));
    faults.clear();
    let faults = arm(&guest, "irq-spurious:rate=1000,vector=1,count=5");
    let mut found = 0;
    wait("five of them", || {
        found += guest.interrupts(1);
        found == 5
    });
    thread::sleep(Duration::from_millis(10));
    assert_eq!(guest.interrupts(1), 0);
    assert_eq!(counts(&faults), (5, 5));
    assert_eq!(guest.source.last_seq(), None);
}

#[test]
fn a_spurious_interrupt_asserts_no_line() {
    let mut guest = Guest::boot_with_intx();
    arm(&guest, "irq-spurious");
    assert_eq!(guest.interrupts(0), 1);
    guest.unmask_intx();
    assert_eq!(guest.interrupts(0), 0, "nothing asserts it");
}

#[test]
fn a_storm_follows_an_interrupt_and_ends() {
    let guest = guest();
    let faults = arm(&guest, "irq-storm:interrupts=50,rate=10000,count=1");
    raise(&guest);
    let mut found = 0;
    wait("all of them", || {
        found += guest.interrupts(0);
        found >= 51
    });
    thread::sleep(Duration::from_millis(5));
    assert_eq!(found + guest.interrupts(0), 51);
    assert_eq!(counts(&faults), (1, 1));
}

#[test]
fn a_storm_ends_when_it_is_cleared() {
    let guest = guest();
    let faults = arm(&guest, "irq-storm:interrupts=1000000,rate=1000");
    raise(&guest);
    wait("some of them", || guest.interrupts(0) > 2);
    faults.clear();
    // One may have been on its way.
    thread::sleep(Duration::from_millis(10));
    guest.interrupts(0);
    thread::sleep(Duration::from_millis(20));
    assert_eq!(guest.interrupts(0), 0);
}
