// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::{Area, Bar, BarIndex, Identity, IntxPin, Msi, SpecError};

const IDENTITY: Identity = Identity {
    vendor: 0x1bed,
    device: 0x1001,
    revision: 7,
    class: [0xff, 0x01, 0x02],
    subsystem_vendor: 0xaaaa,
    subsystem: 0xbbbb,
};

fn index(bar: u32) -> BarIndex {
    BarIndex::new(bar).unwrap()
}

fn memfd(size: u64) -> Arc<File> {
    let file: OwnedFd = memfd_create("bar", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, size).unwrap();
    Arc::new(file.into())
}

fn spec() -> DeviceSpec {
    let msix = Msix {
        bar: index(4),
        vectors: 32,
        table_offset: 0,
        pba_offset: 0x800,
    };
    DeviceSpec::new(IDENTITY)
        .bar(index(0), Bar::trapped(0x1000))
        .bar(
            index(2),
            Bar::mapped(memfd(0x1_0000), 0x1_0000).wide().prefetchable(),
        )
        .bar(index(4), Bar::trapped(0x1000))
        .msix(msix)
        .msi(Msi { vectors: 8 })
        .intx(IntxPin::A)
}

fn dword(space: &ConfigSpace, offset: u64) -> u32 {
    let mut bytes = [0; 4];
    space.read(offset, &mut bytes);
    u32::from_le_bytes(bytes)
}

#[test]
fn the_header_says_who_the_device_is() {
    let space = ConfigSpace::new(&spec());
    assert_eq!(dword(&space, 0x00), 0x1001_1bed);
    assert_eq!(dword(&space, 0x08), 0xff01_0207);
    assert_eq!(dword(&space, 0x2c), 0xbbbb_aaaa);
    assert_eq!(dword(&space, 0x3c) >> 8, 1, "INTA#");
}

#[test]
fn the_capability_list_holds_msix_msi_and_the_function_reset_and_ends() {
    let space = ConfigSpace::new(&spec());
    let status = dword(&space, 0x04) >> 16;
    assert_ne!(status & 0x10, 0);
    let at = u64::from(dword(&space, 0x34) & 0xff);
    let next = u64::from(dword(&space, at) >> 8 & 0xff);
    assert_eq!(dword(&space, at) & 0xffff_00ff, 31 << 16 | 0x11);
    assert_eq!(dword(&space, at + 4), 4);
    assert_eq!(dword(&space, at + 8), 0x804);
    // 64-bit addresses, eight vectors, none enabled.
    assert_eq!(dword(&space, next) & 0xffff_00ff, 0x0086_0005);
    let next = u64::from(dword(&space, next) >> 8 & 0xff);
    assert_eq!(dword(&space, next), 0x0306_0013);
    assert_eq!(dword(&space, next + 4), 0);
}

#[test]
fn one_capability_alone_is_found_at_the_head_of_the_list() {
    let space = ConfigSpace::new(&DeviceSpec::new(IDENTITY).msi(Msi { vectors: 1 }));
    assert_ne!(dword(&space, 0x04) >> 16 & 0x10, 0);
    let at = u64::from(dword(&space, 0x34) & 0xff);
    assert_eq!(dword(&space, at) & 0xffff_00ff, 0x0080_0005);
}

#[test]
fn a_function_without_interrupts_can_be_reset() {
    let space = ConfigSpace::new(&DeviceSpec::new(IDENTITY));
    let at = u64::from(dword(&space, 0x34) & 0xff);
    assert_eq!(dword(&space, at), 0x0306_0013);
}

#[test]
fn the_reset_bit_asks_for_a_reset_and_is_gone_with_it() {
    let mut space = ConfigSpace::new(&spec());
    space.write(0x74, &[0xfe, 0xff]);
    assert!(!space.wants_reset());
    space.write(0x74, &[1]);
    assert!(space.wants_reset());
    space.reset();
    assert!(!space.wants_reset() && dword(&space, 0x74) == 0);
}

#[test]
fn writing_all_ones_reads_the_size_back() {
    let mut space = ConfigSpace::new(&spec());
    for bar in 0..6 {
        space.write(0x10 + 4 * bar, &[0xff; 4]);
    }
    let sizes = [0, 1, 2, 3, 4, 5].map(|bar| dword(&space, 0x10 + 4 * bar));
    let wide_prefetchable = 0b1100;
    assert_eq!(
        sizes,
        [
            0xffff_f000,
            0,
            0xffff_0000 | wide_prefetchable,
            0xffff_ffff,
            0xffff_f000,
            0
        ]
    );
}

#[test]
fn command_bits_are_seen_and_a_reset_takes_them_away() {
    let mut space = ConfigSpace::new(&spec());
    assert!(!space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Intx);
    space.write(4, &[6]);
    space.write(0x43, &[0x80]);
    assert!(space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Msix);
    space.reset();
    assert!(!space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Intx);
}

#[test]
fn software_chooses_how_it_is_interrupted() {
    let mut space = ConfigSpace::new(&spec());
    space.write(5, &[4]);
    assert_eq!(space.interrupt_mode(), InterruptMode::Off);
    // Enabled, with 2 to the power of what the upper bits say.
    for (enabled, vectors) in [(0, 1), (2, 4), (3, 8), (7, 8)] {
        space.write(0x52, &[enabled << 4 | 1]);
        assert_eq!(space.interrupt_mode(), InterruptMode::Msi { vectors });
    }
    space.write(0x43, &[0x80]);
    assert_eq!(space.interrupt_mode(), InterruptMode::Msix);
    let mut without = ConfigSpace::new(&DeviceSpec::new(IDENTITY));
    without.write(0x43, &[0x80]);
    without.write(0x52, &[1]);
    assert_eq!(without.interrupt_mode(), InterruptMode::Intx);
}

#[test]
fn impossible_descriptions_are_refused() {
    let odd = DeviceSpec::new(IDENTITY).bar(index(0), Bar::trapped(0x1001));
    assert!(matches!(
        odd.check(),
        Err(SpecError::BarSize { bar: 0, .. })
    ));
    let last = DeviceSpec::new(IDENTITY).bar(index(5), Bar::trapped(0x1000).wide());
    assert!(matches!(
        last.check(),
        Err(SpecError::NoUpperHalf { bar: 5 })
    ));
    let taken = spec().bar(index(3), Bar::trapped(0x1000));
    assert!(matches!(
        taken.check(),
        Err(SpecError::NoUpperHalf { bar: 2 })
    ));
    let short = DeviceSpec::new(IDENTITY).bar(index(0), Bar::mapped(memfd(0x1000), 0x2000));
    assert!(matches!(short.check(), Err(SpecError::ShortFile { .. })));
    let overlap = vec![
        Area {
            offset: 0,
            size: 0x2000,
        },
        Area {
            offset: 0x1000,
            size: 0x1000,
        },
    ];
    let bar = Bar::mapped(memfd(0x4000), 0x4000).areas(overlap);
    let overlap = DeviceSpec::new(IDENTITY).bar(index(0), bar);
    assert!(matches!(
        overlap.check(),
        Err(SpecError::BadArea { offset: 0x1000, .. })
    ));
    let mut crowded = spec();
    crowded.msix = crowded.msix.map(|msix| Msix {
        vectors: 129,
        ..msix
    });
    assert!(matches!(
        crowded.check(),
        Err(SpecError::BadMsix {
            bar: 4,
            vectors: 129
        })
    ));
    for vectors in [0, 3, 64] {
        let odd = DeviceSpec::new(IDENTITY).msi(Msi { vectors });
        assert!(matches!(odd.check(), Err(SpecError::BadMsi { .. })));
    }
    assert!(spec().check().is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_access_changes_a_read_only_bit_or_panics(
        writes in prop::collection::vec(
            (
                prop_oneof![0_u64..300, any::<u64>()],
                prop::collection::vec(any::<u8>(), 0..20),
            ),
            0..20,
        ),
        read_at in prop_oneof![0_u64..300, any::<u64>()],
        read_len in 0_usize..600,
    ) {
        let fresh = ConfigSpace::new(&spec());
        let mut space = fresh.clone();
        for (offset, data) in &writes {
            space.write(*offset, data);
        }
        let all = fresh.bytes.iter().zip(&space.bytes).zip(&space.writable);
        for ((before, after), writable) in all {
            prop_assert_eq!(before & !writable, after & !writable);
        }
        let mut data = vec![0; read_len];
        space.read(read_at, &mut data);
        for (at, byte) in (u128::from(read_at)..).zip(data) {
            let expected = usize::try_from(at).ok().and_then(|at| space.bytes.get(at));
            prop_assert_eq!(byte, *expected.unwrap_or(&0xff));
        }
    }

    #[test]
    fn every_bar_reads_its_size_back(
        bar in 0_u32..6,
        bits in 4_u32..40,
        address in any::<u64>(),
        prefetchable in any::<bool>(),
    ) {
        let size = 1_u64 << bits;
        let mut window = Bar::trapped(size);
        window.prefetchable = prefetchable;
        window.wide = bits > 31;
        let spec = DeviceSpec::new(IDENTITY).bar(index(bar), window.clone());
        prop_assume!(spec.check().is_ok());
        let mut space = ConfigSpace::new(&spec);
        let at = 0x10 + 4 * u64::from(bar);
        space.write(at, &address.to_le_bytes());
        let mut got = [0; 8];
        space.read(at, &mut got);
        let flags = u64::from(window.wide) << 2 | u64::from(prefetchable) << 3;
        let mut expected = address & !(size - 1) | flags;
        let mut got = u64::from_le_bytes(got);
        if !window.wide {
            (got, expected) = (got & 0xffff_ffff, expected & 0xffff_ffff);
        }
        prop_assert_eq!(got, expected);
    }
}
