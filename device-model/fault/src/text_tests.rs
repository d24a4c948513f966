// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text form: what is read is what is written, and nonsense is named.

use std::time::Duration;

use super::*;
use crate::kind::{FaultKind, NAMES};

fn error(text: &str) -> String {
    text.parse::<Fault>().expect_err(text).to_string()
}

#[test]
fn each_kind_is_written_as_it_is_read() {
    for text in [
        "irq-lost",
        "irq-lost:chance=0.1,seed=7",
        "irq-lost:vector=3,chance=0.25,after=100,count=2,seed=18446744073709551615",
        "irq-duplicated:gap=100us",
        "irq-delayed:mean=200us,distribution=exponential,vector=0",
        "irq-delayed:mean=200us",
        "irq-delayed:distribution=uniform,min=10us,max=1ms",
        "irq-delayed:mean=200us,distribution=lognormal,sigma=0.5,min=50us,max=2ms",
        "irq-spurious",
        "irq-spurious:rate=100,vector=1,count=5",
        "irq-storm:interrupts=1000,rate=20000,vector=2,count=1",
        "irq-misrouted:to=3,vector=0",
        "irq-misrouted",
        "reads-ones",
        "reads-ones:bar=0,offset=0x10,size=0x4,count=1",
        "bits-stuck:bar=0,offset=0x10,mask=0x1,value=0x1",
        "dma-torn:bytes=8,after=100,count=1",
        "dma-torn:bytes=8,rest=1ms,length=32",
        "dma-late:mean=1ms,length=4",
        "dma-misplaced:offset=-32",
        "dma-misplaced:offset=4096,place=anywhere",
        "dma-misplaced:place=outside",
        "dma-corrupted:bits=3,length=16",
        "dma-failed:after=10",
        "completions-swapped:vector=0,chance=0.5",
        "removed",
        "removed:delay=5ms",
        "removed:when=interrupt,after=100",
        "returned:delay=50ms",
        "reset:when=dma,after=3,count=2",
    ] {
        let fault: Fault = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(fault.to_string(), text);
    }
}

#[test]
fn every_name_is_a_kind_and_every_key_of_it_is_read() {
    for name in NAMES {
        let text = match *name {
            "bits-stuck" => "bits-stuck:offset=0,mask=1,value=1".to_owned(),
            "dma-torn" => "dma-torn:bytes=1".to_owned(),
            "dma-misplaced" => "dma-misplaced:offset=8".to_owned(),
            name => name.to_owned(),
        };
        let fault: Fault = text
            .parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(fault.kind().name(), *name);
        for key in own_keys(name).into_iter().chain(EACH.iter().copied()) {
            let bad = format!("{name}:{key}=?");
            let error = error(&bad);
            assert!(error.starts_with(&format!("{name}: ")), "{bad}: {error}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_named_with_what_would_do() {
    for (text, expected) in [
        ("irq-last", "there is no fault `irq-last`: use irq-lost, "),
        ("", "there is no fault ``: use irq-lost"),
        (
            "irq-lost:",
            "irq-lost: `` is no KEY=VALUE: it takes vector, chance",
        ),
        ("irq-lost:chance", "irq-lost: `chance` is no KEY=VALUE"),
        (
            "irq-lost:chanse=1",
            "irq-lost: there is no key `chanse`: it takes vector, chance, after",
        ),
        (
            "irq-lost:seed=1,seed=2",
            "irq-lost: seed is given twice: give it once",
        ),
        (
            "irq-lost:chance=0",
            "irq-lost: chance=0: give a number above 0, at most 1",
        ),
        (
            "irq-lost:chance=nan",
            "irq-lost: chance=NaN: give a number above 0",
        ),
        (
            "irq-lost:count=0",
            "irq-lost: count=0: give 1 or more, or leave it out",
        ),
        (
            "irq-lost:vector=-1",
            "irq-lost: vector=-1: give a whole number, 0 or more",
        ),
        (
            "irq-delayed:mean=5",
            "irq-delayed: mean=5: give a time with its unit, at most 60s, as 200us",
        ),
        ("irq-delayed:mean=61s", "irq-delayed: mean=61s: give a time"),
        (
            "irq-delayed:distribution=uniform",
            "irq-delayed: max is missing: give the longest delay",
        ),
        (
            "irq-delayed:distribution=uniform,min=2ms,max=1ms",
            "irq-delayed: max=1ms: give more than min=2ms",
        ),
        (
            "irq-delayed:distribution=gauss",
            "irq-delayed: distribution=gauss: give constant, uniform",
        ),
        (
            "irq-delayed:mean=1ms,max=2ms",
            "irq-delayed: max=2ms: distribution=constant does not have it",
        ),
        (
            "irq-delayed:mean=1ms,distribution=exponential,max=1us",
            "irq-delayed: mean=1ms: give something from min=0ns to max=1us",
        ),
        (
            "irq-delayed:distribution=lognormal,sigma=9",
            "irq-delayed: sigma=9: give a number above 0, at most 4",
        ),
        (
            "irq-spurious:count=2",
            "irq-spurious: count=2: it happens once, at once",
        ),
        (
            "irq-spurious:rate=0",
            "irq-spurious: rate=0: give interrupts a second, from 0.01 to 1000000",
        ),
        (
            "irq-storm:interrupts=0",
            "irq-storm: interrupts=0: give 1 to 1000000",
        ),
        (
            "irq-misrouted:vector=1,to=1",
            "irq-misrouted: to=1: it is the vector itself",
        ),
        ("reads-ones:bar=6", "reads-ones: bar=6: give 0 to 5"),
        (
            "reads-ones:size=0",
            "reads-ones: size=0: give 1 or more bytes",
        ),
        (
            "bits-stuck:offset=0x10,value=1",
            "bits-stuck: mask is missing: give the bits that are stuck",
        ),
        (
            "bits-stuck:offset=0,mask=0,value=0",
            "bits-stuck: mask=0x0: give the bits",
        ),
        (
            "bits-stuck:offset=0,mask=1,value=2",
            "bits-stuck: value=0x2: give no bit that is not in the mask 0x1",
        ),
        (
            "dma-torn",
            "dma-torn: bytes is missing: give how many bytes arrive at once",
        ),
        (
            "dma-torn:bytes=8,length=8",
            "dma-torn: length=8: of such writes no rest is left: give more than 8",
        ),
        (
            "dma-torn:bytes=8,rest=soon",
            "dma-torn: rest=soon: give never, or a time with its unit",
        ),
        (
            "dma-misplaced",
            "dma-misplaced: offset is missing: give how many bytes",
        ),
        (
            "dma-misplaced:offset=8192",
            "dma-misplaced: offset=8192: give bytes that are no multiple",
        ),
        (
            "dma-misplaced:offset=1,place=outside",
            "dma-misplaced: offset=1: outside of all memory is one place",
        ),
        (
            "dma-misplaced:offset=1,place=moon",
            "dma-misplaced: place=moon: give page, anywhere or outside",
        ),
        (
            "dma-corrupted:bits=65",
            "dma-corrupted: bits=65: give 1 to 64",
        ),
        (
            "dma-failed:vector=1",
            "dma-failed: there is no key `vector`",
        ),
        (
            "removed:after=3",
            "removed: after=3: it happens once, at its time",
        ),
        (
            "removed:when=lunch",
            "removed: when=lunch: give now, interrupt, dma, read or write",
        ),
        (
            "removed:when=dma,delay=1ms",
            "removed: delay=1ms: it happens at when=dma",
        ),
    ] {
        let error = error(text);
        assert!(error.starts_with(expected), "{text}: {error}");
    }
}

#[test]
fn the_builder_refuses_what_the_text_cannot_say() {
    let error = Fault::new(FaultKind::IrqDuplicated {
        gap: Duration::from_secs(61),
    });
    let error = error.build().expect_err("too long").to_string();
    assert_eq!(error, "irq-duplicated: gap=61s: give at most 60s");
    let error = Fault::new(FaultKind::DmaFailed { length: None }).vector(1);
    let error = error.build().expect_err("of no vector").to_string();
    assert_eq!(
        error,
        "dma-failed: vector=1: it is of no vector: leave it out"
    );
}

#[test]
fn json_has_the_text_form() {
    let fault: Fault = "irq-lost:chance=0.5".parse().expect("a fault");
    let json = serde_json::to_string(&fault).expect("JSON");
    assert_eq!(json, "\"irq-lost:chance=0.5\"");
    assert_eq!(
        serde_json::from_str::<Fault>(&json).expect("a fault"),
        fault
    );
    serde_json::from_str::<Fault>("\"irq-lost:chance=5\"").expect_err("nonsense");
}
