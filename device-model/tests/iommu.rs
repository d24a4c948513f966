// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device behind an IOMMU, where the guest gives it to a process:
//! memory comes and goes page by page, and who takes the device back resets it
//! with whatever it still held.

mod common;

use std::os::fd::AsRawFd;

use common::{Guest, PAYLOAD_AT, RAM_AT, RAM_SIZE};
use device_model::{
    DmaError, GuestAddr,
    event::{Outcome, Payload, RaiseError, Vector},
};
use irqbed_abi::regs;
use vfio_bindings::bindings::vfio::VFIO_PCI_CONFIG_REGION_INDEX;

const V0: Vector = Vector::new(0).unwrap();

#[test]
fn a_page_unmapped_while_its_ring_is_armed_stops_the_device_at_that_page() {
    const PAGE: u64 = 4096;
    let mut guest = Guest::boot();
    guest.client.dma_unmap(RAM_AT, RAM_SIZE).unwrap();
    for page in (0..RAM_SIZE / PAGE).rev() {
        let ram = guest.ram.as_raw_fd();
        guest
            .client
            .dma_map(page * PAGE, RAM_AT + page * PAGE, PAGE, ram)
            .unwrap();
    }
    guest.arm(0, 4, 2 * PAGE as u32);
    guest.enable();
    guest.source.raise(V0, Payload::Pattern(4096)).unwrap();
    assert_eq!(guest.record(0).seq, 1);
    guest.client.dma_unmap(PAYLOAD_AT + PAGE, PAGE).unwrap();
    let Err(RaiseError::Dma { seq, source }) = guest.source.raise(V0, Payload::Pattern(8)) else {
        panic!("the second payload's page is gone");
    };
    let addr = GuestAddr(PAYLOAD_AT + PAGE);
    assert_eq!((seq.get(), source), (2, DmaError::NotMapped { addr }));
    assert_eq!(guest.register(regs::REG_STATUS), regs::STATUS_DMA_ERROR);
    guest.set_register(regs::REG_CTRL, regs::CTRL_RESET);
    assert!(
        !guest.arm(0, 4, 2 * PAGE as u32),
        "what is not mapped is no ring"
    );
    guest
        .client
        .dma_map(
            PAYLOAD_AT + PAGE - RAM_AT,
            PAYLOAD_AT + PAGE,
            PAGE,
            guest.ram.as_raw_fd(),
        )
        .unwrap();
    assert!(guest.arm(0, 4, 2 * PAGE as u32));
    guest.enable();
    guest.source.raise(V0, Payload::Pattern(8)).unwrap();
}

#[test]
fn software_resets_the_function_by_its_capability() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    guest.consume(0, 1);
    let mut config = [0; 256];
    guest
        .client
        .region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &mut config)
        .unwrap();
    let mut at = usize::from(config[0x34]);
    while config[at] != 0x13 {
        at = usize::from(config[at + 1]);
        assert_ne!(at, 0, "there is a capability of advanced features");
    }
    assert_eq!(config[at + 3] & 2, 2, "it can reset the function");
    guest
        .client
        .region_write(VFIO_PCI_CONFIG_REGION_INDEX, at as u64 + 4, &[1])
        .unwrap();
    assert!(!guest.source.is_ready());
    assert_eq!(guest.source.armed_vectors(), 0);
    assert_eq!(guest.source.counters().discarded, 1);
    let mut command = [0; 2];
    guest
        .client
        .region_read(VFIO_PCI_CONFIG_REGION_INDEX, 4, &mut command)
        .unwrap();
    assert_eq!(u16::from_le_bytes(command) & 4, 0, "no bus mastering");
    // What the hypervisor connected is still connected.
    guest.set_bus_master(true);
    guest.enable_msix();
    guest.arm(0, 4, 8192);
    guest.enable();
    guest.interrupts(0);
    guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    assert_eq!(guest.interrupts(0), 1);
}

#[test]
fn what_the_driver_leaves_in_a_stopped_ring_is_discarded_when_it_is_armed() {
    let mut guest = Guest::boot();
    guest.arm(0, 8, 8192);
    guest.enable();
    for _ in 0..5 {
        guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    }
    guest.consume(0, 2);
    let arm = regs::REG_RING_BASE + regs::RING_ARM;
    assert_eq!(guest.register(regs::REG_PENDING), 1);
    guest.set_register(arm, 0);
    assert_eq!(guest.register(arm), 0);
    let raised = guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    assert_eq!(raised.outcome, Outcome::RingOverflow);
    guest.consume(0, 3);
    let counters = guest.source.counters();
    assert_eq!((counters.discarded, guest.source.in_flight(V0)), (0, 2));
    let next = regs::REG_RING_BASE + regs::RING_NEXT;
    assert_eq!(guest.register(next), 5);
    // The driver need not begin where the device stopped.
    guest.set_register(next, 13);
    guest.set_register(arm, 1);
    assert_eq!(guest.source.counters().discarded, 2);
    assert_eq!(guest.register(regs::REG_PENDING), 0);
    guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    let record = guest.record(13 % 8);
    assert_eq!((record.number, record.ready), (13, 14));
    guest.consume(0, 14);
    guest.set_register(regs::REG_CTRL, regs::CTRL_RESET);
    assert_eq!(guest.source.counters().discarded, 2, "an empty ring");
}

#[test]
fn what_the_driver_takes_after_a_reset_was_not_discarded() {
    let mut guest = Guest::boot();
    guest.arm(0, 8, 8192);
    guest.enable();
    for _ in 0..5 {
        guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    }
    guest.consume(0, 1);
    guest.set_register(regs::REG_CTRL, regs::CTRL_RESET);
    assert_eq!(guest.source.counters().discarded, 4);
    guest.consume(0, 4);
    assert_eq!(guest.source.counters().discarded, 1);
    guest.arm(0, 8, 8192);
    guest.consume(0, 5);
    assert_eq!(guest.source.counters().discarded, 1);
}
