// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Registers that lie, and a function that is gone, back or reset.

use std::{thread, time::Duration};

use device_model::event::{Payload, RaiseError, Vector};
use irqbed_abi::{pci, regs};
use vfio_bindings::bindings::vfio::VFIO_PCI_CONFIG_REGION_INDEX;

use crate::{
    arm,
    common::{Guest, board::wait},
    counts, guest, raise,
};

const ID: u32 = (pci::PCI_DEVICE_ID as u32) << 16 | pci::PCI_VENDOR_ID as u32;

fn config(guest: &mut Guest) -> u32 {
    let mut word = [0; 4];
    guest
        .client
        .region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &mut word)
        .unwrap();
    u32::from_le_bytes(word)
}

#[test]
fn reads_of_a_register_return_ones_and_others_do_not() {
    let mut guest = guest();
    let magic = guest.register(regs::REG_MAGIC);
    let text = format!("reads-ones:bar=0,offset={},size=4,count=1", regs::REG_MAGIC);
    let faults = arm(&guest, &text);
    let version = guest.register(regs::REG_VERSION);
    assert_ne!(version, u32::MAX);
    assert_eq!(guest.register(regs::REG_MAGIC), u32::MAX);
    assert_eq!(guest.register(regs::REG_MAGIC), magic);
    assert_eq!(counts(&faults), (2, 1));
}

#[test]
fn bits_of_a_register_are_stuck_for_who_reads_it() {
    let mut guest = guest();
    let at = regs::REG_SCRATCH;
    arm(
        &guest,
        &format!("bits-stuck:bar=0,offset={at},mask=0xff,value=0x5a"),
    );
    guest.set_register(at, 0x1234_5678);
    assert_eq!(guest.register(at), 0x1234_565a);
    guest.source.faults().clear();
    assert_eq!(guest.register(at), 0x1234_5678);
}

#[test]
fn a_function_that_is_gone_answers_nothing_and_comes_back_as_after_power_on() {
    let mut guest = guest();
    raise(&guest);
    assert_eq!(guest.interrupts(0), 1);
    let faults = arm(&guest, "removed");
    assert!(faults.is_removed());
    assert_eq!(config(&mut guest), u32::MAX);
    assert_eq!(guest.register(regs::REG_MAGIC), u32::MAX);
    assert_eq!(guest.instrument_u64(0x100), u64::MAX);
    guest.set_register(regs::REG_SCRATCH, 7);
    let error = guest.source.raise(Vector::default(), Payload::Pattern(16));
    assert!(matches!(error, Err(RaiseError::Dma { .. })), "{error:?}");
    assert_eq!(guest.interrupts(0), 0);
    assert_eq!(guest.source.counters().dma_errors, 1);
    faults.clear();
    assert!(!faults.is_removed());
    assert_eq!(config(&mut guest), ID);
    assert_eq!(guest.register(regs::REG_SCRATCH), 0);
    assert_eq!(guest.register(regs::REG_CTRL), 0);
    assert!(!guest.source.is_ready());
    // Its driver begins anew.
    guest.set_bus_master(true);
    guest.enable_msix();
    assert!(guest.arm(0, 16, 8192));
    guest.enable();
    raise(&guest);
    assert_eq!(guest.interrupts(0), 1);
}

#[test]
fn a_function_is_removed_in_the_middle_of_an_event_and_returns() {
    let mut guest = guest();
    let faults = arm(&guest, "removed:when=dma,after=4");
    faults
        .arm("returned:when=read,after=2".parse().unwrap())
        .unwrap();
    raise(&guest);
    let error = guest.source.raise(Vector::default(), Payload::Pattern(16));
    assert!(matches!(error, Err(RaiseError::Dma { .. })), "{error:?}");
    assert_eq!(guest.interrupts(0), 1);
    assert!(faults.is_removed());
    assert_eq!(guest.register(regs::REG_MAGIC), u32::MAX);
    assert_eq!(guest.register(regs::REG_MAGIC), u32::MAX);
    // The third read is what it returns at, a moment later.
    guest.register(regs::REG_MAGIC);
    wait("its return", || !faults.is_removed());
    assert_eq!(guest.register(regs::REG_MAGIC), regs::MAGIC);
    assert_eq!(guest.register(regs::REG_CTRL), 0);
    let counters = guest.source.counters();
    assert_eq!((counters.published, counters.dma_errors), (1, 1));
}

#[test]
fn a_function_is_reset_and_what_was_late_with_it() {
    let mut guest = guest();
    let faults = arm(&guest, "irq-delayed:mean=30ms,vector=1");
    faults
        .arm("reset:when=interrupt,after=1".parse().unwrap())
        .unwrap();
    guest.arm_at(1, 0x10_4000, 0x18_4000, 16, 8192);
    guest
        .source
        .raise(Vector::new(1).unwrap(), Payload::Bytes(&[]))
        .unwrap();
    raise(&guest);
    wait("the reset", || !guest.source.is_ready());
    // Its driver begins anew: the late interrupt is not of its time.
    guest.set_bus_master(true);
    guest.enable_msix();
    thread::sleep(Duration::from_millis(60));
    assert_eq!(guest.interrupts(1), 0);
    assert_eq!(guest.register(regs::REG_CTRL), 0);
    assert!(guest.arm(0, 16, 8192));
}
