// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device behind an IOMMU, where the guest gives it to a process:
//! memory comes and goes page by page, and who takes the device back resets it
//! with whatever it still held.

mod common;

use std::os::fd::AsRawFd;

use common::{Guest, PAYLOAD_AT, RAM_AT, RAM_SIZE};
use device_model::{
    DmaError, GuestAddr,
    event::{Payload, RaiseError, Vector},
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
fn what_a_disarmed_ring_still_held_is_discarded() {
    let mut guest = Guest::boot();
    guest.arm(0, 8, 8192);
    guest.enable();
    for _ in 0..5 {
        guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    }
    guest.consume(0, 2);
    let arm = regs::REG_RING_BASE + regs::RING_ARM;
    guest.set_register(arm, 0);
    assert_eq!(guest.source.counters().discarded, 3);
    guest.set_register(arm, 1);
    guest.set_register(regs::REG_CTRL, regs::CTRL_RESET);
    assert_eq!(guest.source.counters().discarded, 3, "an empty ring");
}
