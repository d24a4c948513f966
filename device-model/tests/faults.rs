// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults of a device that is served: what its client sees of each.

mod common;

use std::{thread, time::Duration};

use common::{Guest, PAYLOAD_AT, board::wait};
use device_model::{
    Faults,
    event::{EventDevice, Outcome, Payload, RaiseError, Vector},
    fault::FaultError,
};
use irqbed_abi::{pci, regs};
use vfio_bindings::bindings::vfio::VFIO_PCI_CONFIG_REGION_INDEX;

/// A guest with ring 0 armed.
fn guest() -> Guest {
    let mut guest = Guest::boot();
    assert!(guest.arm(0, 16, 8192));
    guest.enable();
    guest
}

fn arm(guest: &Guest, text: &str) -> Faults {
    let faults = guest.source.faults();
    let fault = text.parse().unwrap_or_else(|error| panic!("{error}"));
    faults
        .arm(fault)
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    faults
}

/// Opportunities and hits of the only fault.
fn counts(faults: &Faults) -> (u64, u64) {
    let reports = faults.list();
    assert_eq!(reports.len(), 1, "{reports:?}");
    (reports[0].opportunities, reports[0].hits)
}

fn raise(guest: &Guest) -> Outcome {
    let payload = Payload::Pattern(16);
    guest
        .source
        .raise(Vector::default(), payload)
        .unwrap()
        .outcome
}

fn config(guest: &mut Guest) -> u32 {
    let mut word = [0; 4];
    guest
        .client
        .region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &mut word)
        .unwrap();
    u32::from_le_bytes(word)
}

const ID: u32 = (pci::PCI_DEVICE_ID as u32) << 16 | pci::PCI_VENDOR_ID as u32;

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
fn a_device_that_is_not_served_has_no_faults() {
    let source = EventDevice::new().unwrap().source();
    let fault = "irq-lost".parse().unwrap();
    assert_eq!(source.faults().arm(fault), Err(FaultError::NoDevice));
}

#[test]
fn faults_that_the_device_cannot_have_are_refused() {
    let guest = Guest::boot();
    for (text, expected) in [
        (
            "irq-lost:vector=32",
            "irq-lost: vector=32: the device has 32 vectors: give 0 to 31",
        ),
        (
            "irq-misrouted:to=40",
            "irq-misrouted: to=40: the device has 32 vectors",
        ),
        (
            "reads-ones:bar=5",
            "reads-ones: bar=5: the device has no such BAR",
        ),
        (
            "bits-stuck:bar=0,offset=0x100000,mask=1,value=1",
            "bits-stuck: offset=0x100000: BAR 0 ends at",
        ),
    ] {
        let error = guest
            .source
            .faults()
            .arm(text.parse().unwrap())
            .unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
    assert!(guest.source.faults().list().is_empty());
}

#[test]
fn the_end_of_a_device_ends_what_its_faults_have_under_way() {
    let guest = guest();
    let faults = arm(&guest, "irq-delayed:mean=60s");
    raise(&guest);
    assert_eq!(counts(&faults), (1, 1));
    assert_eq!(guest.interrupts(0), 0);
    assert_eq!(guest.memory(PAYLOAD_AT, 1).len(), 1);
    drop(guest);
    thread::sleep(Duration::from_millis(1));
    assert_eq!(faults.clear().len(), 1);
}
