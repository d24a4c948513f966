// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults of a device that is served: what its client sees of each.

#[path = "../common/mod.rs"]
mod common;
mod dma;
mod function;
mod interrupts;

use std::{thread, time::Duration};

use common::{Guest, PAYLOAD_AT, board::Board};
use device_model::{
    FaultInjection, Faults,
    edu::EduDevice,
    event::{EventDevice, Outcome, Payload, Vector},
    fault::FaultError,
};

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
fn any_device_has_faults_by_its_server() {
    let mut board = Board::with(EduDevice::new());
    let faults = board.server.faults();
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
