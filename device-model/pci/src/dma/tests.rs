// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::os::{
    fd::{AsRawFd, OwnedFd},
    unix::fs::FileExt,
};

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;

const PAGE: u64 = 0x1000;

fn memfd(size: u64) -> File {
    let file: OwnedFd = memfd_create("ram", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, size).unwrap();
    file.into()
}

fn dma() -> Dma {
    let dma = Dma::new();
    dma.set_bus_master(true);
    dma
}

fn addr(address: u64) -> GuestAddr {
    GuestAddr(address)
}

#[test]
fn bytes_go_to_the_file_at_its_offset() {
    let dma = dma();
    let file = memfd(3 * PAGE);
    let view = file.try_clone().unwrap();
    dma.map(addr(0x8000), PAGE, Some((file, PAGE)), true)
        .unwrap();
    dma.write(addr(0x8010), b"here").unwrap();
    let mut bytes = [0; 4];
    view.read_exact_at(&mut bytes, PAGE + 0x10).unwrap();
    assert_eq!(&bytes, b"here");
    dma.store(addr(0x8ffc), 0x0403_0201_u32).unwrap();
    view.read_exact_at(&mut bytes, 2 * PAGE - 4).unwrap();
    assert_eq!(bytes, [1, 2, 3, 4]);
    dma.read(addr(0x8010), &mut bytes).unwrap();
    assert_eq!(&bytes, b"here");
}

#[test]
fn an_access_may_cross_from_one_region_to_the_next() {
    let dma = dma();
    for page in [1, 0] {
        let file = Some((memfd(PAGE), 0));
        dma.map(addr(page * PAGE), PAGE, file, true).unwrap();
    }
    dma.write(addr(PAGE - 2), b"both").unwrap();
    let mut bytes = [0; 4];
    dma.read(addr(PAGE - 2), &mut bytes).unwrap();
    assert_eq!(&bytes, b"both");
    assert!(dma.check_writable(addr(0), 2 * PAGE as usize).is_ok());
}

#[test]
fn memory_mapped_page_by_page_is_whole_and_keeps_its_file_open_once() {
    const PAGES: u64 = 300;
    let open = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap();
        links
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|name| name.to_string_lossy().contains("page-by-page"))
            .count()
    };
    let dma = dma();
    let file: OwnedFd = memfd_create("page-by-page", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, PAGES * PAGE).unwrap();
    let file = File::from(file);
    // Not in the order in which they lie in the file.
    for page in 0..PAGES {
        let piece = (file.try_clone().unwrap(), (page * 7 % PAGES) * PAGE);
        dma.map(addr(page * PAGE), PAGE, Some(piece), true).unwrap();
    }
    drop(file);
    assert_eq!(open(), 1);
    let bytes: Vec<u8> = (0..PAGES * PAGE).map(|at| (at / 5) as u8).collect();
    dma.check_writable(addr(0), bytes.len()).unwrap();
    dma.write(addr(0), &bytes).unwrap();
    let mut found = vec![0; bytes.len()];
    dma.read(addr(0), &mut found).unwrap();
    assert!(found == bytes);
    for page in 0..PAGES {
        dma.unmap(addr(page * PAGE), PAGE).unwrap();
    }
    assert_eq!(open(), 0);
}

#[test]
fn a_file_that_may_only_be_read_is_not_taken_for_one_that_may_be_written() {
    let dma = dma();
    let file = memfd(2 * PAGE);
    let read_only = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    dma.map(addr(0), PAGE, Some((read_only, 0)), false).unwrap();
    dma.map(addr(PAGE), PAGE, Some((file, PAGE)), true).unwrap();
    assert_eq!(dma.write(addr(PAGE), b"here"), Ok(()));
    assert_eq!(
        dma.write(addr(0), b"here"),
        Err(DmaError::ReadOnly { addr: addr(0) })
    );
}

#[test]
fn an_error_names_the_first_address_in_the_way() {
    let dma = dma();
    dma.map(addr(0), PAGE, Some((memfd(PAGE), 0)), true)
        .unwrap();
    dma.map(addr(PAGE), PAGE, None, true).unwrap();
    dma.map(addr(0x10 * PAGE), PAGE, Some((memfd(PAGE), 0)), false)
        .unwrap();
    assert_eq!(
        dma.write(addr(PAGE - 1), &[1; 2]),
        Err(DmaError::NoFd { addr: addr(PAGE) })
    );
    let rom = addr(0x10 * PAGE);
    assert_eq!(dma.write(rom, &[1]), Err(DmaError::ReadOnly { addr: rom }));
    assert_eq!(dma.read(rom, &mut [1]), Ok(()));
    assert_eq!(
        dma.read(addr(0x11 * PAGE - 1), &mut [0; 2]),
        Err(DmaError::NotMapped {
            addr: addr(0x11 * PAGE)
        })
    );
    assert_eq!(
        dma.store(addr(1), 1_u32),
        Err(DmaError::Misaligned { addr: addr(1) })
    );
    let end = addr(u64::MAX);
    assert_eq!(
        dma.write(end, &[1; 2]),
        Err(DmaError::Overflow { addr: end, len: 2 })
    );
    assert!(matches!(
        dma.check_writable(end, 2),
        Err(DmaError::Overflow { .. })
    ));
    assert!(matches!(
        dma.check_writable(rom, 1),
        Err(DmaError::ReadOnly { .. })
    ));
}

#[test]
fn without_bus_mastering_nothing_is_accessed() {
    let dma = dma();
    dma.map(addr(0), PAGE, Some((memfd(PAGE), 0)), true)
        .unwrap();
    dma.set_bus_master(false);
    assert_eq!(
        dma.write(addr(0), &[1]),
        Err(DmaError::BusMasterOff { addr: addr(0) })
    );
    dma.set_bus_master(true);
    assert_eq!(dma.write(addr(0), &[1]), Ok(()));
    dma.disconnect();
    dma.set_bus_master(true);
    assert_eq!(
        dma.write(addr(0), &[1]),
        Err(DmaError::NotMapped { addr: addr(0) })
    );
}

#[test]
fn impossible_mappings_are_refused_and_change_nothing() {
    let dma = dma();
    dma.map(addr(PAGE), 2 * PAGE, Some((memfd(2 * PAGE), 0)), true)
        .unwrap();
    let map = |at, size, file| dma.map(addr(at), size, file, true);
    assert!(matches!(map(0, 0, None), Err(MapError::BadRange { .. })));
    assert!(matches!(
        map(u64::MAX, 2, None),
        Err(MapError::BadRange { .. })
    ));
    assert!(matches!(
        map(0, 2 * PAGE, None),
        Err(MapError::Overlap { .. })
    ));
    assert!(matches!(
        map(2 * PAGE, PAGE, None),
        Err(MapError::Overlap { .. })
    ));
    let short = Some((memfd(PAGE), 0));
    assert!(matches!(
        map(0x10 * PAGE, 2 * PAGE, short),
        Err(MapError::File { .. })
    ));
    let past = Some((memfd(PAGE), !(PAGE - 1)));
    assert!(matches!(
        map(0x10 * PAGE, 2 * PAGE, past),
        Err(MapError::File { .. })
    ));
    assert!(matches!(
        dma.unmap(addr(PAGE), PAGE),
        Err(MapError::Split { .. })
    ));
    assert!(matches!(
        dma.unmap(addr(2 * PAGE), 9 * PAGE),
        Err(MapError::Split { .. })
    ));
    assert!(matches!(
        dma.unmap(addr(0), 0),
        Err(MapError::BadRange { .. })
    ));
    assert_eq!(dma.write(addr(PAGE), &[1; 0x2000]), Ok(()));
    dma.unmap(addr(0), u64::MAX).unwrap();
    assert!(dma.write(addr(PAGE), &[1]).is_err());
}

/// What each page of a small guest is, in the model.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Page {
    Absent,
    Ram { first: usize, last: usize },
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_map_is_what_a_list_of_pages_says(
        steps in prop::collection::vec((any::<bool>(), 0_usize..8, 1_usize..4), 1..24),
    ) {
        let dma = dma();
        let mut model = [Page::Absent; 12];
        for (map, first, pages) in steps {
            let range = first..first + pages;
            let (at, size) = (addr(first as u64 * PAGE), pages as u64 * PAGE);
            let result = if map {
                dma.map(at, size, Some((memfd(size), 0)), true)
            } else {
                dma.unmap(at, size)
            };
            let inside = |page: &Page| match page {
                Page::Absent => true,
                Page::Ram { first, last } => range.contains(first) && range.contains(last),
            };
            let part = &mut model[range.clone()];
            let expected = if map {
                part.iter().all(|page| *page == Page::Absent)
            } else {
                part.iter().all(inside)
            };
            prop_assert_eq!(result.is_ok(), expected);
            if expected {
                let last = first + pages - 1;
                part.fill(if map { Page::Ram { first, last } } else { Page::Absent });
            }
            for (page, kind) in model.iter().enumerate() {
                let at = addr(page as u64 * PAGE + 0x800);
                prop_assert_eq!(dma.write(at, &[page as u8; 8]).is_ok(), *kind != Page::Absent);
            }
        }
    }
}
