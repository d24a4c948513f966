// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device's interrupts that are not MSI-X, over a real socket: the
//! vectors of MSI, and the line of INTx with its acknowledge.

mod common;

use std::{thread, time::Duration};

use common::{Guest, PAYLOAD_AT, RAM_AT, RECORDS_AT, board::wait};
use device_model::event::{Outcome, Payload, Vector};
use irqbed_abi::{pci, regs, trace::slot_offset};

/// Where ring 1 has its records.
const OTHER_RECORDS_AT: u64 = RECORDS_AT + 0x1000;
/// Where ring 1 has its payloads.
const OTHER_PAYLOAD_AT: u64 = PAYLOAD_AT + 0x1_0000;

fn raise(guest: &Guest, vector: u32) {
    let vector = Vector::new(vector).unwrap();
    let raised = guest.source.raise(vector, Payload::Pattern(16)).unwrap();
    assert_eq!(raised.outcome, Outcome::Signalled);
}

/// Rings 0 and 1 armed, and the device enabled.
fn with_rings(mut guest: Guest) -> Guest {
    assert!(guest.arm_at(0, RECORDS_AT, PAYLOAD_AT, 4, 8192));
    assert!(guest.arm_at(1, OTHER_RECORDS_AT, OTHER_PAYLOAD_AT, 4, 8192));
    guest.enable();
    guest
}

#[test]
fn each_ring_has_its_vector_of_msi_where_there_are_enough() {
    let mut guest = with_rings(Guest::boot_with_msi(1));
    raise(&guest, 0);
    raise(&guest, 1);
    assert_eq!((guest.interrupts(0), guest.interrupts(1)), (1, 1));
    assert_eq!(guest.register(regs::REG_IRQ_STATUS), 0);
}

#[test]
fn a_ring_without_a_vector_of_msi_interrupts_by_the_first() {
    let guest = with_rings(Guest::boot_with_msi(0));
    raise(&guest, 0);
    raise(&guest, 1);
    assert_eq!(guest.interrupts(0), 2);
}

#[test]
fn the_line_stays_asserted_until_every_bit_is_acknowledged() {
    let mut guest = with_rings(Guest::boot_with_intx());
    raise(&guest, 0);
    raise(&guest, 1);
    raise(&guest, 1);
    assert_eq!(guest.interrupts(0), 1);
    assert_eq!(guest.register(regs::REG_IRQ_STATUS), 0b11);
    guest.unmask_intx();
    wait("it again, as nobody has acknowledged", || {
        guest.interrupts(0) == 1
    });
    guest.set_register(regs::REG_IRQ_STATUS, 0b01);
    guest.unmask_intx();
    assert_eq!(guest.interrupts(0), 1, "one of two");
    assert_eq!(guest.register(regs::REG_IRQ_STATUS), 0b10);
    guest.set_register(regs::REG_IRQ_STATUS, 0b10);
    guest.unmask_intx();
    assert_eq!(guest.interrupts(0), 0);
    raise(&guest, 1);
    assert_eq!(guest.register(regs::REG_IRQ_STATUS), 0b10);
    assert_eq!(guest.interrupts(0), 1);
}

#[test]
fn a_look_before_the_acknowledgement_does_not_interrupt_twice() {
    let mut guest = with_rings(Guest::boot_with_intx());
    for vector in [0, 1, 0] {
        raise(&guest, vector);
        assert_eq!(guest.interrupts(0), 1);
        // As QEMU does: the first access to a BAR ends the service for it.
        let status = guest.register(regs::REG_IRQ_STATUS);
        assert_eq!(status, 1 << vector);
        guest.unmask_intx();
        guest.set_register(regs::REG_IRQ_STATUS, status);
        assert_eq!(guest.register(regs::REG_IRQ_STATUS), 0);
    }
    thread::sleep(Duration::from_millis(5));
    assert_eq!(guest.interrupts(0), 0);
}

#[test]
fn an_event_between_acknowledge_and_unmask_is_not_forgotten() {
    let mut guest = with_rings(Guest::boot_with_intx());
    raise(&guest, 0);
    assert_eq!(guest.interrupts(0), 1);
    guest.set_register(regs::REG_IRQ_STATUS, 0b1);
    raise(&guest, 0);
    assert_eq!(guest.interrupts(0), 0, "the line is masked");
    guest.unmask_intx();
    assert_eq!(guest.interrupts(0), 1);
}

#[test]
fn a_reset_brings_the_line_down() {
    for by_register in [true, false] {
        let mut guest = with_rings(Guest::boot_with_intx());
        raise(&guest, 0);
        assert_eq!(guest.interrupts(0), 1);
        if by_register {
            guest.set_register(regs::REG_CTRL, regs::CTRL_RESET);
        } else {
            guest.client.reset().unwrap();
        }
        assert_eq!(guest.register(regs::REG_IRQ_STATUS), 0);
        guest.unmask_intx();
        assert_eq!(guest.interrupts(0), 0);
    }
}

#[test]
fn trapped_accesses_reach_the_memory_that_is_mapped() {
    let mut guest = Guest::boot_with_intx();
    let at = u64::from(slot_offset(3));
    // As a processor stores: words, and parts of them anywhere.
    for (offset, data) in [
        (0, &[1, 2, 3, 4, 5, 6, 7, 8][..]),
        (8, &[9, 10, 11, 12]),
        (13, &[13, 14, 15, 16]),
        (17, &[17]),
    ] {
        let client = &mut guest.client;
        client
            .region_write(pci::INSTRUMENT_BAR, at + offset, data)
            .unwrap();
        let mut back = vec![0; data.len()];
        client
            .region_read(pci::INSTRUMENT_BAR, at + offset, &mut back)
            .unwrap();
        assert_eq!(back, data);
    }
    assert_eq!(guest.instrument_u64(slot_offset(3)), 0x0807_0605_0403_0201);
    let slot = guest.source.instrument().slot(3).unwrap();
    assert_eq!(slot.seq, 0x0807_0605_0403_0201);
    guest.set_instrument_u64(slot_offset(3), RAM_AT);
    let mut seen = [0; 8];
    guest
        .client
        .region_read(pci::INSTRUMENT_BAR, at, &mut seen)
        .unwrap();
    assert_eq!(u64::from_le_bytes(seen), RAM_AT);
}
