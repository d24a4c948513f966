// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device as a hypervisor and a driver see it, over a real socket.

mod common;

use std::{
    thread,
    time::{Duration, Instant},
};

use common::{Guest, PAYLOAD_AT, RAM_AT, RAM_SIZE, RECORDS_AT, memfd};
use device_model::{
    DmaError, ServerEnd,
    event::{Outcome, Payload, RaiseError, Vector},
};
use irqbed_abi::{
    pattern, pci, regs,
    ring::{EVENT_PATTERN, MAX_PAYLOAD, ready_word},
    trace::{
        PING_STOP, PONG_OFFSET, PONG_TSC_OFFSET, SLOTS, VERDICT_NONE, VERDICT_OK, slot_offset,
    },
};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
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
    let msi = client.get_irq_info(VFIO_PCI_MSI_IRQ_INDEX).unwrap();
    assert_eq!(msi.count, pci::VECTORS);
    let intx = client.get_irq_info(VFIO_PCI_INTX_IRQ_INDEX).unwrap();
    assert_eq!(intx.count, 1);
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
    assert_eq!(
        (record.seq, record.slot, record.number, record.ready),
        (1, 0, 0, 1)
    );
    assert_eq!((record.payload_len, record.flags), (100, EVENT_PATTERN));
    let payload = guest.memory(PAYLOAD_AT + u64::from(record.payload_offset), 100);
    assert!(pattern::matches(1, &payload));
    let slot = guest.source.instrument().event(raised.seq).unwrap();
    assert_eq!((slot.seq, slot.vector), (1, 0));
    assert_ne!(slot.raise, 0);
    assert_eq!((slot.isr, slot.verdict), (0, VERDICT_NONE));
}

#[test]
fn a_full_ring_loses_the_event_under_its_name_and_interrupts_nobody() {
    let mut guest = Guest::boot();
    guest.arm(0, 2, 8192);
    guest.enable();
    for _ in 0..2 {
        let raised = guest.source.raise(V0, Payload::Bytes(b"x")).unwrap();
        assert_eq!(raised.outcome, Outcome::Signalled);
    }
    assert_eq!(guest.interrupts(0), 2);
    assert!(!guest.source.has_room(V0, 0));
    assert_eq!(guest.source.in_flight(V0), 2);
    let lost = guest.source.raise(V0, Payload::Bytes(b"x")).unwrap();
    assert_eq!((lost.seq.get(), lost.outcome), (3, Outcome::RingOverflow));
    assert_eq!(guest.interrupts(0), 0);
    let slot = guest.source.instrument().event(lost.seq).unwrap();
    assert_eq!((slot.raise, slot.vector), (0, 0));
    assert_eq!(
        guest.register(regs::REG_RING_BASE + regs::RING_OVERFLOWS),
        1
    );
    guest.consume(0, 1);
    assert!(guest.source.has_room(V0, 1));
    let next = guest.source.raise(V0, Payload::Bytes(b"x")).unwrap();
    assert_eq!((next.seq.get(), next.outcome), (4, Outcome::Signalled));
    let counters = guest.source.counters();
    assert_eq!((counters.raised, counters.published), (4, 3));
    assert_eq!((counters.ring_overflow, counters.dma_errors), (1, 0));
    assert_eq!(guest.source.overflows(V0), 1);
}

#[test]
fn every_payload_arrives_whole_and_in_order_through_many_laps() {
    let mut guest = Guest::boot();
    assert!(guest.arm(0, 4, 8192));
    guest.enable();
    let mut consumed = 0_u32;
    for (n, len) in (0..64).flat_map(|_| [0, 1, 63, 64, 65, 4096]).enumerate() {
        while !guest.source.has_room(V0, len) {
            consumed += 1;
            guest.consume(0, consumed);
        }
        let raised = guest.source.raise(V0, Payload::Pattern(len as u32));
        let seq = raised.unwrap().seq.get();
        assert_eq!(seq, n as u64 + 1);
        let record = guest.record(n as u64 % 4);
        assert_eq!((record.seq, record.number), (seq, n as u32));
        assert_eq!(record.ready, ready_word(n as u32));
        assert_eq!(record.payload_len as usize, len);
        let at = PAYLOAD_AT + u64::from(record.payload_offset);
        assert!(pattern::matches(seq, &guest.memory(at, len)));
    }
    assert_eq!(guest.source.counters().ring_overflow, 0);
}

#[test]
fn a_hostile_consumer_index_costs_nobody_but_its_owner() {
    let mut guest = Guest::boot();
    guest.arm(0, 2, 8192);
    guest.enable();
    for index in [u32::MAX, 1, 0x8000_0000, 3] {
        guest.consume(0, index);
        assert_eq!(guest.source.in_flight(V0), 0);
    }
    guest.source.raise(V0, Payload::Pattern(4096)).unwrap();
    guest.consume(0, u32::MAX);
    assert_eq!(guest.source.in_flight(V0), 1);
    guest.consume(0, 1);
    assert_eq!(guest.source.in_flight(V0), 0);
    guest.consume(0, 0);
    assert_eq!(guest.source.in_flight(V0), 0, "consumed is consumed");
    guest.arm(0, 2, 8192);
    assert!(guest.source.has_room(V0, 4096), "arming clears the index");
}

#[test]
fn a_payload_too_long_is_refused_and_takes_no_number() {
    let mut guest = Guest::boot();
    guest.arm(0, 2, 8192);
    guest.enable();
    let long = vec![0; MAX_PAYLOAD as usize + 1];
    for payload in [Payload::Bytes(&long), Payload::Pattern(u32::MAX)] {
        assert_eq!(
            guest.source.raise(V0, payload),
            Err(RaiseError::PayloadTooLong(payload.len()))
        );
    }
    let unarmed = Vector::new(5).unwrap();
    assert_eq!(
        guest.source.raise(unarmed, Payload::Pattern(0)),
        Err(RaiseError::NotArmed(unarmed))
    );
    assert_eq!(guest.source.last_seq(), None);
    guest
        .source
        .raise(V0, Payload::Bytes(&long[..4096]))
        .unwrap();
}

#[test]
fn rings_of_impossible_geometry_or_unmapped_memory_are_refused() {
    let mut guest = Guest::boot();
    assert!(!guest.arm(0, 3, 8192));
    assert!(!guest.arm(0, 4, 4096));
    assert!(!guest.arm_at(0, RAM_AT - 64, PAYLOAD_AT, 4, 8192));
    assert!(!guest.arm_at(0, RECORDS_AT, RAM_AT + RAM_SIZE - 4096, 4, 8192));
    assert!(!guest.arm_at(0, u64::MAX - 63, PAYLOAD_AT, 4, 8192));
    assert!(!guest.arm_at(0, RECORDS_AT + 32, PAYLOAD_AT, 4, 8192));
    assert!(guest.arm(0, 4, 8192));
    assert!(!guest.arm(0, 0, 0), "a refused ring is disarmed");
    assert_eq!(guest.source.armed_vectors(), 0);
}

#[test]
fn a_failed_dma_stops_the_device_until_it_is_reset() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    guest.client.dma_unmap(RAM_AT, RAM_SIZE).unwrap();
    let Err(RaiseError::Dma { seq, source }) = guest.source.raise(V0, Payload::Pattern(8)) else {
        panic!("the memory is gone");
    };
    assert_eq!(seq.get(), 1);
    assert!(matches!(source, DmaError::NotMapped { .. }));
    assert_eq!(
        guest.source.raise(V0, Payload::Pattern(8)),
        Err(RaiseError::DmaStopped)
    );
    assert_eq!(guest.register(regs::REG_STATUS), regs::STATUS_DMA_ERROR);
    let counters = guest.source.counters();
    assert_eq!((counters.raised, counters.dma_errors), (1, 1));
    guest.set_register(regs::REG_CTRL, regs::CTRL_RESET);
    assert_eq!(guest.register(regs::REG_STATUS), 0);
    assert_eq!(guest.source.armed_vectors(), 0);
    assert_eq!(guest.source.counters(), counters, "the account runs on");
}

#[test]
fn without_bus_mastering_no_record_is_written() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    guest.set_bus_master(false);
    let raised = guest.source.raise(V0, Payload::Pattern(0));
    assert!(matches!(
        raised,
        Err(RaiseError::Dma {
            source: DmaError::BusMasterOff { .. },
            ..
        })
    ));
}

#[test]
fn a_function_reset_disarms_and_numbers_run_on() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    guest.client.reset().unwrap();
    assert!(!guest.source.is_ready());
    assert_eq!(guest.source.armed_vectors(), 0);
    guest.set_bus_master(true);
    guest.arm(0, 4, 8192);
    guest.enable();
    let raised = guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    assert_eq!(raised.seq.get(), 2);
    assert_eq!(guest.record(0).seq, 2, "an armed ring begins at record 0");
}

#[test]
fn the_driver_can_raise_an_event_itself() {
    let mut guest = Guest::boot();
    guest.arm(1, 4, 8192);
    guest.enable();
    guest.set_register(regs::REG_SELF_RAISE, 1);
    guest.set_register(regs::REG_SELF_RAISE, 0);
    guest.set_register(regs::REG_SELF_RAISE, u32::MAX);
    assert_eq!(guest.interrupts(1), 1);
    assert_eq!(guest.record(0).payload_len, 0);
    let counters = guest.source.counters();
    assert_eq!((counters.raised, counters.self_raised), (1, 1));
    guest.set_register(regs::REG_SELF_RAISE, 100 << 16 | 1);
    guest.set_register(regs::REG_SELF_RAISE, (MAX_PAYLOAD + 1) << 16 | 1);
    assert_eq!(guest.interrupts(1), 1);
    let record = guest.record(1);
    let at = PAYLOAD_AT + u64::from(record.payload_offset);
    assert_eq!((record.seq, record.payload_len), (2, 100));
    assert!(pattern::matches(2, &guest.memory(at, 100)));
    assert_eq!(guest.source.counters().self_raised, 2);
}

#[test]
fn an_event_before_its_vector_is_connected_interrupts_afterwards() {
    let mut guest = Guest::boot();
    guest.arm(4, 4, 8192);
    guest.enable();
    let vector = Vector::new(4).unwrap();
    let raised = guest.source.raise(vector, Payload::Pattern(0)).unwrap();
    assert_eq!(raised.outcome, Outcome::Pending);
    assert_eq!(guest.source.counters().unsignalled, 1);
    guest.connect(4);
    assert_eq!(guest.interrupts(4), 1);
}

#[test]
fn the_hypervisor_may_disconnect_all_vectors_at_once() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    let none = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
    guest
        .client
        .set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, none, 0, 1, &[])
        .unwrap();
    assert_eq!(guest.interrupts(0), 1, "a trigger without data");
    guest
        .client
        .set_irqs(VFIO_PCI_MSIX_IRQ_INDEX, none, 0, 0, &[])
        .unwrap();
    let raised = guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    assert_eq!(raised.outcome, Outcome::Pending);
}

#[test]
fn a_client_that_leaves_disarms_everything_and_ends_the_server() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    guest.client.shutdown().unwrap();
    let end = guest.server.wait(Duration::from_secs(5));
    assert_eq!(end, Some(ServerEnd::ClientLeft));
    assert!(!guest.path.exists());
    assert_eq!(
        guest.source.raise(V0, Payload::Pattern(0)),
        Err(RaiseError::NotEnabled)
    );
}

#[test]
fn whoever_waits_for_the_driver_is_woken_by_it() {
    let mut guest = Guest::boot();
    let source = guest.source.clone();
    assert!(!source.wait_ready(Duration::from_millis(1)));
    let waiting = thread::spawn(move || source.wait_ready(Duration::from_secs(20)));
    thread::sleep(Duration::from_millis(20));
    let started = Instant::now();
    guest.enable();
    assert!(waiting.join().unwrap());
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn ping_and_pong_cross_the_instrument_bar() {
    let guest = Guest::boot();
    let instrument = guest.source.instrument();
    instrument.clear_pings();
    instrument.ping(7);
    assert_eq!(guest.instrument_u64(0), 7);
    guest.set_instrument_u64(PONG_TSC_OFFSET, 1234);
    guest.set_instrument_u64(PONG_OFFSET, 7);
    let pong = instrument.pong();
    assert_eq!((pong.number, pong.tsc.0), (7, 1234));
    instrument.ping_stop();
    assert_eq!(guest.instrument_u64(0), PING_STOP);
}

#[test]
fn a_slot_speaks_of_its_own_event_only() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    let seq = guest.source.raise(V0, Payload::Pattern(0)).unwrap().seq;
    let instrument = guest.source.instrument();
    assert!(instrument.event(seq).is_some());
    guest.set_instrument_u64(slot_offset(0), 64513);
    assert!(instrument.event(seq).is_none());
    assert!(instrument.slot(u32::MAX).is_none());
}

#[test]
fn events_of_many_threads_lie_in_the_ring_in_order() {
    let mut guest = Guest::boot();
    guest.arm(0, 1024, 1 << 18);
    guest.enable();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..100 {
                    guest.source.raise(V0, Payload::Pattern(16)).unwrap();
                }
            });
        }
    });
    for n in 0..400 {
        assert_eq!(guest.record(n).seq, n + 1);
    }
    assert_eq!(guest.interrupts(0), 400);
}

#[test]
fn a_region_of_a_foreign_file_that_is_too_short_is_not_mapped() {
    let mut guest = Guest::boot();
    guest.client.dma_unmap(RAM_AT, RAM_SIZE).unwrap();
    let short = memfd(0x1000);
    let fd = std::os::fd::AsRawFd::as_raw_fd(&short);
    // The protocol's client does not look at the error of the reply.
    guest.client.dma_map(0, RAM_AT, RAM_SIZE, fd).unwrap();
    assert!(!guest.arm(0, 4, 8192));
}

#[test]
fn slots_are_reused_in_a_circle() {
    let mut guest = Guest::boot();
    guest.arm(0, 2, 8192);
    guest.enable();
    let first = guest.source.raise(V0, Payload::Pattern(0)).unwrap().seq;
    // Events that find no room have a number and a slot too.
    for _ in 1..SLOTS {
        guest.source.raise(V0, Payload::Pattern(0)).unwrap();
    }
    guest.set_instrument_u64(slot_offset(0) + 40, VERDICT_OK.into());
    let instrument = guest.source.instrument();
    assert_eq!(instrument.event(first).unwrap().verdict, VERDICT_OK);
    let last = guest.source.raise(V0, Payload::Pattern(0)).unwrap().seq;
    assert_eq!((last.get(), last.slot()), (u64::from(SLOTS) + 1, 0));
    assert!(instrument.event(first).is_none());
    let slot = instrument.event(last).unwrap();
    assert_eq!((slot.raise, slot.verdict), (0, VERDICT_NONE));
}
