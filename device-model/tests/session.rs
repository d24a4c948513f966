// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device as a hypervisor and a driver see it, over a real socket.

mod common;

use std::time::Duration;

use common::{Guest, PAYLOAD_AT};
use device_model::event::{Outcome, Payload, RaiseError, Vector};
use irqbed_abi::{pattern, pci, regs, ring::EVENT_PATTERN, trace::VERDICT_NONE};
use vfio_bindings::bindings::vfio::{
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
    VFIO_REGION_INFO_FLAG_MMAP,
};

const V0: Vector = Vector::new(0).unwrap();

#[test]
fn the_hypervisor_sees_the_device_of_the_abi() {
    let mut guest = Guest::boot();
    let mut id = [0; 4];
    let client = &mut guest.client;
    client
        .region_read(VFIO_PCI_CONFIG_REGION_INDEX, 0, &mut id)
        .unwrap();
    let [vendor, device] = [[id[0], id[1]], [id[2], id[3]]].map(u16::from_le_bytes);
    assert_eq!((vendor, device), (pci::PCI_VENDOR_ID, pci::PCI_DEVICE_ID));
    assert_eq!(client.region(0).unwrap().size, pci::CONTROL_BAR_SIZE);
    let instrument = client.region(pci::INSTRUMENT_BAR).unwrap();
    assert_eq!(instrument.size, pci::INSTRUMENT_BAR_SIZE);
    assert_ne!(instrument.flags & VFIO_REGION_INFO_FLAG_MMAP, 0);
    assert!(instrument.file_offset.is_some());
    assert_eq!(instrument.sparse_areas.len(), 1);
    let msix = client.get_irq_info(VFIO_PCI_MSIX_IRQ_INDEX).unwrap();
    assert_eq!(msix.count, pci::VECTORS);
    let intx = client.get_irq_info(VFIO_PCI_INTX_IRQ_INDEX).unwrap();
    assert_eq!(intx.count, 0);
    assert_eq!(guest.register(regs::REG_MAGIC), regs::MAGIC);
    assert_eq!(guest.register(regs::REG_VERSION), regs::ABI_VERSION);
    guest.set_register(regs::REG_SCRATCH, 0x1234_5678);
    assert_eq!(guest.register(regs::REG_SCRATCH), 0x1234_5678);
}

#[test]
fn an_event_reaches_the_ring_the_slot_and_the_eventfd() {
    let mut guest = Guest::boot();
    assert!(!guest.source.is_ready());
    assert!(matches!(
        guest.source.raise(V0, Payload::Pattern(1)),
        Err(RaiseError::NotEnabled)
    ));
    guest.arm(0, 4, 8192);
    guest.enable();
    assert!(guest.source.wait_ready(Duration::ZERO));
    assert_eq!(guest.source.armed_vectors(), 1);
    let raised = guest.source.raise(V0, Payload::Pattern(100)).unwrap();
    assert_eq!(raised.outcome, Outcome::Signalled);
    assert_eq!(raised.seq.get(), 1);
    assert_eq!(guest.interrupts(0), 1);
    let record = guest.record(0);
    assert_eq!((record.seq, record.slot, record.phase), (1, 0, 1));
    assert_eq!((record.payload_len, record.flags), (100, EVENT_PATTERN));
    let payload = guest.memory(PAYLOAD_AT + u64::from(record.payload_offset), 100);
    assert!(pattern::matches(1, &payload));
    let slot = guest.source.instrument().event(raised.seq).unwrap();
    assert_eq!((slot.seq, slot.vector), (1, 0));
    assert_ne!(slot.raise, 0);
    assert_eq!((slot.isr, slot.verdict), (0, VERDICT_NONE));
}
