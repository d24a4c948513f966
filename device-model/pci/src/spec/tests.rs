// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::sync::Arc;

use super::*;
use crate::{SharedMemory, bar::Area};

const BARE: DeviceSpec = DeviceSpec::new(Identity::new(0x1bed, 1));

fn memory(size: u64) -> Arc<std::fs::File> {
    SharedMemory::new("bar", size).unwrap().file()
}

fn refusal(spec: &DeviceSpec) -> String {
    spec.check().unwrap_err().to_string()
}

fn area(offset: u64, size: u64) -> Area {
    Area { offset, size }
}

#[test]
fn a_size_that_no_bar_has_is_refused() {
    for (bar, size) in [(0, 0x1001), (0, 8), (0, 0), (3, 1 << 32)] {
        let index = BarIndex::new(bar).unwrap();
        let said = refusal(&BARE.clone().bar(index, Bar::trapped(size)));
        assert!(
            said.starts_with(&format!("BAR {bar} is {size:#x} bytes")),
            "{said}"
        );
    }
    let wide = BARE
        .clone()
        .bar(BarIndex::BAR0, Bar::trapped(1 << 32).wide());
    assert!(wide.check().is_ok());
}

#[test]
fn ports_are_few_narrow_and_trapped() {
    let with = |bar| refusal(&BARE.clone().bar(BarIndex::BAR2, bar));
    assert!(with(Bar::io_ports(512)).contains("BAR 2 has 512 I/O ports"));
    assert!(with(Bar::io_ports(2)).contains("from 4 to 256"));
    assert!(with(Bar::io_ports(8).wide()).contains("cannot be 64 bits wide"));
    assert!(with(Bar::io_ports(8).prefetchable()).contains("cannot be prefetchable"));
    let mut mapped = Bar::io_ports(8);
    mapped.mapping = Bar::mapped(memory(0x1000), 0x1000).mapping;
    assert!(with(mapped).contains("cannot be mapped"));
}

#[test]
fn a_wide_bar_needs_the_next_one() {
    let last = BARE
        .clone()
        .bar(BarIndex::BAR5, Bar::trapped(0x1000).wide());
    assert!(matches!(
        last.check(),
        Err(SpecError::NoUpperHalf { bar: 5 })
    ));
    let taken = BARE
        .clone()
        .bar(BarIndex::BAR2, Bar::trapped(0x1000).wide())
        .bar(BarIndex::BAR3, Bar::trapped(0x1000));
    assert!(matches!(
        taken.check(),
        Err(SpecError::NoUpperHalf { bar: 2 })
    ));
}

#[test]
fn mapped_areas_are_pages_in_order_inside_the_bar() {
    let short = BARE
        .clone()
        .bar(BarIndex::BAR0, Bar::mapped(memory(0x1000), 0x2000));
    assert!(matches!(short.check(), Err(SpecError::ShortFile { .. })));
    for (areas, bad) in [
        (vec![area(0, 0x2000), area(0x1000, 0x1000)], 0x1000),
        (vec![area(0x800, 0x1000)], 0x800),
        (vec![area(0x1000, 0)], 0x1000),
        (vec![area(0x4000, 0x1000)], 0x4000),
        (vec![area(u64::MAX - 0xfff, 0x1000)], u64::MAX - 0xfff),
    ] {
        let bar = Bar::mapped(memory(0x4000), 0x4000).areas(areas);
        let refused = BARE.clone().bar(BarIndex::BAR0, bar).check();
        let Err(SpecError::BadArea { bar: 0, offset }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(offset, bad);
    }
}

#[test]
fn msix_lies_in_trapped_pages_of_its_bar() {
    let fits = |bar: Bar, msix: Msix| BARE.clone().bar(BarIndex::BAR4, bar).msix(msix).check();
    let msix = Msix::in_bar(BarIndex::BAR4, 32);
    assert!(fits(Bar::trapped(0x1000), msix).is_ok());
    assert!(fits(Bar::io_ports(64), msix).is_err());
    assert!(
        BARE.clone().msix(msix).check().is_err(),
        "there is no BAR 4"
    );
    let with = |change: fn(&mut Msix)| {
        let mut changed = msix;
        change(&mut changed);
        fits(Bar::trapped(0x1000), changed)
    };
    assert!(matches!(
        with(|msix| msix.vectors = 300),
        Err(SpecError::BadMsix {
            bar: 4,
            vectors: 300
        })
    ));
    assert!(
        with(|msix| msix.pba_offset = 0x100).is_err(),
        "inside the table"
    );
    assert!(with(|msix| msix.table_offset = 4).is_err());
    assert!(with(|msix| msix.table_offset = !7).is_err());
    for vectors in [0, 2049, u32::MAX] {
        let error = BARE.clone().msix_in(BarIndex::BAR4, vectors).check();
        assert!(
            matches!(error, Err(SpecError::MsixVectors { .. })),
            "{vectors}"
        );
    }
    assert!(BARE.clone().msix_in(BarIndex::BAR4, 2048).check().is_ok());
    let beside = Bar::mapped(memory(0x4000), 0x4000).areas(vec![area(0x2000, 0x2000)]);
    assert!(fits(beside, msix).is_ok());
    let over = Bar::mapped(memory(0x4000), 0x4000).areas(vec![area(0, 0x1000)]);
    assert!(fits(over, msix).is_err());
}

#[test]
fn msi_has_a_power_of_two_of_vectors() {
    for vectors in [0, 3, 64] {
        assert!(matches!(
            BARE.clone().msi(Msi { vectors }).check(),
            Err(SpecError::BadMsi { .. })
        ));
    }
}

#[test]
fn capabilities_that_do_not_fit_are_named() {
    let large = |len| BARE.clone().vendor(VendorCapability::new(vec![0; len]));
    assert!(large(181).check().is_ok());
    assert_eq!(
        refusal(&large(182)),
        "vendor-specific capability 0 of 185 bytes does not fit at 0x48: the space for capabilities ends at 0x100"
    );
    let crowded = large(100).vendor(VendorCapability::new(vec![0; 100]));
    assert!(refusal(&crowded).starts_with("vendor-specific capability 1 of 103 bytes"));
    let longer = BARE
        .clone()
        .vendor(VendorCapability::new([0]).writable([0xff; 2]));
    assert!(refusal(&longer).contains("2 bytes are declared writable, but it has 1"));
}

#[test]
fn extended_capabilities_need_their_space() {
    let serial = || ExtendedCapability::serial_number(1);
    assert_eq!(
        refusal(&BARE.clone().extended(serial())),
        "extended capability 0x0003 needs the extended configuration space: declare PCI Express too"
    );
    let express = BARE.clone().express();
    assert!(express.clone().extended(serial()).check().is_ok());
    let large = ExtendedCapability::new(0xb, 1, vec![0; 0xf00]);
    let said = refusal(&express.clone().extended(serial()).extended(large));
    assert!(said.contains("does not fit at 0x10c"), "{said}");
    for (id, version) in [(0, 1), (3, 0), (3, 16)] {
        let bad = ExtendedCapability::new(id, version, []);
        assert!(matches!(
            express.clone().extended(bad).check(),
            Err(SpecError::BadExtended { .. })
        ));
    }
}
