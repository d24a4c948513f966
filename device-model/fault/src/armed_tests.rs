// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whose turn it is: counted, limited, and the same again from the same seed.

use super::*;
use irqbed_pci::{
    bar::BarIndex,
    dma::GuestAddr,
    hook::{InterruptDecision, WriteDecision},
};

fn armed(texts: &[&str]) -> Table {
    let mut table = Table::default();
    for text in texts {
        let fault = text.parse().unwrap_or_else(|error| panic!("{error}"));
        table.add(fault).expect("room for it");
    }
    table
}

fn counts(table: &Table) -> Vec<(u64, u64)> {
    let reports = table.reports();
    let counts = |report: &FaultReport| (report.opportunities, report.hits);
    reports.iter().map(counts).collect()
}

fn interrupt(table: &mut Table, vector: u32) -> InterruptDecision {
    table.interrupt(vector, 4, &mut Vec::new())
}

#[test]
fn a_seed_hits_the_same_opportunities_again() {
    let hits = |seed| {
        let mut table = armed(&[&format!("irq-lost:chance=0.3,seed={seed}")]);
        let decisions: Vec<_> = (0..1000).map(|_| interrupt(&mut table, 0)).collect();
        decisions
    };
    assert_eq!(hits(7), hits(7));
    assert_ne!(hits(7), hits(8));
    let lost = hits(7)
        .iter()
        .filter(|decision| **decision == InterruptDecision::Lost)
        .count();
    assert!((250..350).contains(&lost), "{lost}");
}

#[test]
fn opportunities_are_let_pass_and_hits_are_limited() {
    let mut table = armed(&["irq-lost:after=2,count=3"]);
    let lost: Vec<_> = (0..8)
        .map(|_| interrupt(&mut table, 0) == InterruptDecision::Lost)
        .collect();
    let expected = [false, false, true, true, true, false, false, false];
    assert_eq!(lost, expected);
    assert_eq!(counts(&table), [(8, 3)]);
}

#[test]
fn other_vectors_are_no_opportunity() {
    let mut table = armed(&["irq-lost:vector=1"]);
    assert_eq!(interrupt(&mut table, 0), InterruptDecision::Sent);
    assert_eq!(interrupt(&mut table, 1), InterruptDecision::Lost);
    assert_eq!(counts(&table), [(1, 1)]);
}

#[test]
fn the_first_fault_that_happens_has_its_way() {
    let mut table = armed(&["irq-lost:count=1", "irq-misrouted:to=3"]);
    assert_eq!(interrupt(&mut table, 0), InterruptDecision::Lost);
    assert_eq!(interrupt(&mut table, 0), InterruptDecision::On(3));
    assert_eq!(counts(&table), [(2, 1), (1, 1)]);
}

#[test]
fn a_misrouted_interrupt_never_comes_on_its_own_vector() {
    let mut table = armed(&["irq-misrouted"]);
    let mut found = [0; 4];
    for _ in 0..1000 {
        match interrupt(&mut table, 2) {
            InterruptDecision::On(vector) => found[vector as usize] += 1,
            decision => panic!("{decision:?}"),
        }
    }
    assert_eq!(found[2], 0);
    assert!(
        found.iter().filter(|count| **count > 200).count() == 3,
        "{found:?}"
    );
    // A line alone has no other.
    assert_eq!(
        table.interrupt(0, 1, &mut Vec::new()),
        InterruptDecision::Sent
    );
}

#[test]
fn a_storm_is_over_before_the_next_begins() {
    let mut table = armed(&["irq-storm:interrupts=5,rate=1000"]);
    let mut wishes = Vec::new();
    for _ in 0..3 {
        assert_eq!(table.interrupt(0, 1, &mut wishes), InterruptDecision::Sent);
    }
    assert_eq!(wishes.len(), 1);
    assert_eq!(counts(&table), [(3, 1)]);
    let id = table.reports()[0].id;
    assert!(table.storms(id, true));
    table.interrupt(0, 1, &mut wishes);
    assert_eq!(counts(&table), [(4, 2)]);
}

#[test]
fn writes_are_chosen_by_their_length() {
    let write = |fault: &str, len: usize| {
        let mut wishes = Vec::new();
        let data = vec![0; len];
        let decision = armed(&[fault]).write(GuestAddr(0x1000), &data, &mut wishes);
        (decision, wishes.len())
    };
    assert_eq!(write("dma-failed:length=32", 4), (WriteDecision::Whole, 0));
    assert_eq!(
        write("dma-failed:length=32", 32),
        (
            WriteDecision::Refused("a fault that was asked for (dma-failed)"),
            0
        )
    );
    assert_eq!(write("dma-torn:bytes=8", 8), (WriteDecision::Whole, 0));
    assert_eq!(write("dma-torn:bytes=8", 9), (WriteDecision::First(8), 0));
    assert_eq!(
        write("dma-torn:bytes=8,rest=1ms", 9),
        (WriteDecision::First(8), 1)
    );
    assert_eq!(write("dma-late:mean=1ms", 4), (WriteDecision::Lost, 1));
    assert_eq!(
        write("dma-misplaced:place=outside", 4),
        (WriteDecision::Lost, 0)
    );
}

#[test]
fn stuck_bits_add_up_and_touch_no_other_byte() {
    let mut table = armed(&[
        "bits-stuck:bar=0,offset=0x10,mask=0x1,value=0x1",
        "bits-stuck:bar=0,offset=0x11,mask=0xf0,value=0x50",
    ]);
    let mut read = |bar, offset, data: &mut [u8]| table.stick(bar, offset, data);
    let mut word = [0, 0xff, 0xff, 0];
    read(BarIndex::BAR0, 0x10, &mut word);
    assert_eq!(word, [1, 0x5f, 0xff, 0]);
    let mut byte = [0xff];
    read(BarIndex::BAR0, 0x11, &mut byte);
    assert_eq!(byte, [0x5f]);
    let mut other = [0; 4];
    read(BarIndex::BAR1, 0x10, &mut other);
    read(BarIndex::BAR0, 0x14, &mut other);
    assert_eq!(other, [0; 4]);
    assert_eq!(counts(&table), [(1, 1), (2, 2)]);
}

#[test]
fn a_range_of_registers_reads_ones() {
    let ones = |fault: &str, bar, offset| armed(&[fault]).read(bar, offset, 4, &mut Vec::new());
    let (first, second) = (BarIndex::BAR0, BarIndex::BAR1);
    assert!(ones("reads-ones", second, 0x1000));
    assert!(!ones("reads-ones:bar=0", second, 0));
    let range = "reads-ones:bar=0,offset=0x10,size=8";
    assert!(!ones(range, first, 0xc));
    assert!(ones(range, first, 0xd));
    assert!(ones(range, first, 0x14));
    assert!(!ones(range, first, 0x18));
}

#[test]
fn no_more_faults_are_armed_than_are_kept() {
    let mut table = Table::default();
    let fault: Fault = "irq-lost".parse().expect("a fault");
    for _ in 0..MAX_FAULTS {
        table.add(fault).expect("room for it");
    }
    assert_eq!(table.add(fault), Err(FaultError::TooMany));
    let reports = table.take();
    assert_eq!(reports.len(), MAX_FAULTS);
    let id = table.add(fault).expect("room again");
    assert!(reports.iter().all(|report| report.id != id));
}
