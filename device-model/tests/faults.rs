// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults of a device that is served: what its client sees of each.

mod common;

use std::{thread, time::Duration};

use common::{
    Guest, PAYLOAD_AT,
    board::{Board, wait},
};
use device_model::{
    Faults,
    edu::EduDevice,
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

/// The bytes of a payload, and of the record before it.
fn written(guest: &Guest) -> (Vec<u8>, u64) {
    (guest.memory(PAYLOAD_AT, 16), guest.record(0).seq)
}

/// The payload of the first event.
fn pattern() -> Vec<u8> {
    let mut bytes = vec![0; 16];
    irqbed_abi::pattern::fill(1, &mut bytes);
    bytes
}

#[test]
fn a_write_is_torn_and_its_rest_comes_later_or_never() {
    let expected = pattern();
    for (text, whole) in [
        ("dma-torn:bytes=6,length=16", false),
        ("dma-torn:bytes=6,length=16,rest=5ms", true),
    ] {
        let guest = guest();
        arm(&guest, text);
        raise(&guest);
        let (payload, seq) = written(&guest);
        assert_eq!((&payload[..6], seq), (&expected[..6], 1));
        if whole {
            wait("the rest", || written(&guest).0 == expected);
        } else {
            assert_eq!(payload[6..], [0; 10]);
        }
    }
}

#[test]
fn data_is_late_and_the_interrupt_is_not() {
    let guest = guest();
    let faults = arm(&guest, "dma-late:mean=20ms,length=4");
    raise(&guest);
    let phase = || guest.record(0).phase;
    assert_eq!((guest.interrupts(0), phase()), (1, 0));
    wait("the phase", || phase() == 1);
    assert_eq!(counts(&faults), (1, 1));
}

#[test]
fn a_write_goes_to_the_wrong_place_or_to_none() {
    let guest = guest();
    let faults = arm(&guest, "dma-misplaced:offset=-32,length=16");
    raise(&guest);
    assert_eq!(written(&guest).0, [0; 16]);
    assert_eq!(guest.memory(PAYLOAD_AT + 4096 - 32, 16), pattern());
    faults.clear();
    let faults = arm(&guest, "dma-misplaced:place=outside,length=32");
    assert_eq!(raise(&guest), Outcome::Signalled);
    assert_eq!(guest.record(1).seq, 0);
    assert_eq!(counts(&faults), (1, 1));
    faults.clear();
    // Far outside: lost, too, and nobody is told.
    arm(
        &guest,
        "dma-misplaced:place=anywhere,offset=0x100000000,length=32",
    );
    assert_eq!(raise(&guest), Outcome::Signalled);
    assert_eq!(guest.record(2).seq, 0);
}

#[test]
fn data_arrives_with_bits_flipped() {
    let guest = guest();
    arm(&guest, "dma-corrupted:bits=3,length=16");
    raise(&guest);
    let found = written(&guest).0;
    let flipped: u32 = found
        .iter()
        .zip(pattern())
        .map(|(a, b)| (a ^ b).count_ones())
        .sum();
    assert_eq!(flipped, 3);
}

#[test]
fn a_refused_write_stops_the_device_until_it_is_reset() {
    let mut guest = guest();
    let faults = arm(&guest, "dma-failed:length=32,after=1");
    raise(&guest);
    let error = guest.source.raise(Vector::default(), Payload::Pattern(16));
    let Err(RaiseError::Dma { seq, source }) = error else {
        panic!("{error:?}");
    };
    assert_eq!(seq.get(), 2);
    assert!(source.to_string().contains("(dma-failed)"), "{source}");
    assert_ne!(guest.register(regs::REG_STATUS) & regs::STATUS_DMA_ERROR, 0);
    let counters = guest.source.counters();
    assert_eq!(
        (counters.raised, counters.published, counters.dma_errors),
        (2, 1, 1)
    );
    assert_eq!(counts(&faults), (2, 1));
}

#[test]
fn two_completions_of_a_burst_change_places() {
    let guest = guest();
    let faults = arm(&guest, "completions-swapped:count=1,after=1");
    let burst = |count| {
        let payload = Payload::Pattern(16);
        let burst = guest
            .source
            .raise_burst(Vector::default(), payload, count)
            .unwrap();
        (burst.first.get(), burst.last.get(), burst.overflows)
    };
    assert_eq!(raise(&guest), Outcome::Signalled);
    assert_eq!(
        counts(&faults),
        (0, 0),
        "alone there is nothing to change with"
    );
    assert_eq!(burst(5), (2, 6, 0));
    let order: Vec<u64> = (0..6).map(|index| guest.record(index).seq).collect();
    assert_eq!(order, [1, 2, 4, 3, 5, 6]);
    // Each has its own payload with it.
    let record = guest.record(2);
    let mut expected = vec![0; 16];
    irqbed_abi::pattern::fill(4, &mut expected);
    assert_eq!(
        guest.memory(PAYLOAD_AT + u64::from(record.payload_offset), 16),
        expected
    );
    let counters = guest.source.counters();
    assert_eq!((counters.raised, counters.published), (6, 6));
    assert_eq!(guest.interrupts(0), 2);
}

#[test]
fn the_account_holds_where_completions_change_places_in_vain() {
    let mut guest = Guest::boot();
    assert!(guest.arm(0, 4, 8192));
    guest.enable();
    let faults = arm(&guest, "completions-swapped");
    let burst = guest
        .source
        .raise_burst(Vector::default(), Payload::Bytes(&[]), 6)
        .unwrap();
    assert_eq!((burst.events(), burst.overflows), (6, 2));
    guest.consume(0, 4);
    faults.arm("dma-failed:length=32".parse().unwrap()).unwrap();
    guest
        .source
        .raise_burst(Vector::default(), Payload::Bytes(&[]), 2)
        .unwrap_err();
    let counters = guest.source.counters();
    assert_eq!(counters.raised, 8);
    assert_eq!(
        counters.published + counters.ring_overflow + counters.dma_errors,
        8
    );
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

#[test]
fn any_device_has_faults_by_its_server() {
    let mut board = Board::with(EduDevice::new());
    let faults = board.server.faults().clone();
    let id = board.read(0, 0);
    for text in [
        "bits-stuck:bar=0,offset=0,mask=0xf,value=0",
        "removed:when=write",
    ] {
        faults.arm(text.parse().unwrap()).unwrap();
    }
    assert_eq!(board.read(0, 0), id & !0xf);
    board.write(0, 4, 0x55);
    assert_eq!(board.read(0, 0), u32::MAX);
    assert_eq!(board.config(0), u32::MAX);
    let hits: Vec<u64> = faults.clear().iter().map(|report| report.hits).collect();
    assert_eq!(hits, [1, 1]);
    assert_eq!(board.read(0, 0), id);
}
