// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;
use crate::{
    Bar, BarIndex, Identity, IntxPin, Msi, PowerState,
    capability::{ExtendedCapability, Msix, PowerManagement, VendorCapability},
};

const IDENTITY: Identity = Identity {
    vendor: 0x1bed,
    device: 0x1001,
    revision: 7,
    class: [0xff, 0x01, 0x02],
    subsystem_vendor: 0xaaaa,
    subsystem: 0xbbbb,
};

/// Where the capabilities of [`spec`] lie.
const MSIX: u64 = 0x40;
const MSI: u64 = 0x4c;
const RESET: u64 = 0x5c + 4;

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
    let space = ConfigSpace::new(&spec()).unwrap();
    assert_eq!(dword(&space, 0x00), 0x1001_1bed);
    assert_eq!(dword(&space, 0x08), 0xff01_0207);
    assert_eq!(dword(&space, 0x2c), 0xbbbb_aaaa);
    assert_eq!(dword(&space, 0x3c) >> 8, 1, "INTA#");
}

#[test]
fn the_capability_list_holds_msix_msi_and_the_function_reset_and_ends() {
    let space = ConfigSpace::new(&spec()).unwrap();
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
    let space = ConfigSpace::new(&DeviceSpec::new(IDENTITY).msi(Msi { vectors: 1 })).unwrap();
    assert_ne!(dword(&space, 0x04) >> 16 & 0x10, 0);
    let at = u64::from(dword(&space, 0x34) & 0xff);
    assert_eq!(dword(&space, at) & 0xffff_00ff, 0x0080_0005);
}

#[test]
fn a_function_without_interrupts_can_be_reset() {
    let space = ConfigSpace::new(&DeviceSpec::new(IDENTITY)).unwrap();
    let at = u64::from(dword(&space, 0x34) & 0xff);
    assert_eq!(dword(&space, at), 0x0306_0013);
}

#[test]
fn the_reset_bit_asks_for_a_reset_and_is_gone_with_it() {
    let mut space = ConfigSpace::new(&spec()).unwrap();
    space.write(RESET, &[0xfe, 0xff]);
    assert!(!space.wants_reset());
    space.write(RESET, &[1]);
    assert!(space.wants_reset());
    space.reset();
    assert!(!space.wants_reset() && dword(&space, RESET) == 0);
}

#[test]
fn writing_all_ones_reads_the_size_back() {
    let mut space = ConfigSpace::new(&spec()).unwrap();
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
    let mut space = ConfigSpace::new(&spec()).unwrap();
    assert!(!space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Intx);
    space.write(4, &[6]);
    space.write(MSIX + 3, &[0x80]);
    assert!(space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Msix);
    space.reset();
    assert!(!space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Intx);
}

#[test]
fn software_chooses_how_it_is_interrupted() {
    let mut space = ConfigSpace::new(&spec()).unwrap();
    space.write(5, &[4]);
    assert_eq!(space.interrupt_mode(), InterruptMode::Off);
    // Enabled, with 2 to the power of what the upper bits say.
    for (enabled, vectors) in [(0, 1), (2, 4), (3, 8), (7, 8)] {
        space.write(MSI + 2, &[enabled << 4 | 1]);
        assert_eq!(space.interrupt_mode(), InterruptMode::Msi { vectors });
    }
    space.write(MSIX + 3, &[0x80]);
    assert_eq!(space.interrupt_mode(), InterruptMode::Msix);
    let mut without = ConfigSpace::new(&DeviceSpec::new(IDENTITY)).unwrap();
    without.write(MSIX + 3, &[0x80]);
    without.write(MSI + 2, &[1]);
    assert_eq!(without.interrupt_mode(), InterruptMode::Intx);
}

/// Offset of a capability, by its id.
fn find(space: &ConfigSpace, id: u32) -> Option<u64> {
    let mut at = u64::from(dword(space, 0x34) & 0xff);
    while at != 0 {
        let head = dword(space, at);
        if head & 0xff == id {
            return Some(at);
        }
        at = u64::from(head >> 8 & 0xff);
    }
    None
}

fn full() -> DeviceSpec {
    spec()
        .power(PowerManagement::default())
        .express()
        .vendor(VendorCapability::new([1, 2, 3, 4]).writable([0, 0xf0]))
        .extended(ExtendedCapability::serial_number(0x1122_3344_5566_7788))
        .extended(ExtendedCapability::vendor(0xabcd, 2, &[9; 6]))
}

#[test]
fn every_capability_is_found_in_the_list() {
    let mut space = ConfigSpace::new(&full()).unwrap();
    for id in [0x11, 0x05, 0x01, 0x10, 0x09] {
        assert!(find(&space, id).is_some(), "{id:#x}");
    }
    assert_eq!(
        find(&space, 0x13),
        None,
        "a PCI Express function is reset by that"
    );
    let vendor = find(&space, 0x09).unwrap();
    assert_eq!(dword(&space, vendor) >> 16, 0x0107, "7 bytes");
    space.write(vendor + 3, &[0xff; 4]);
    assert_eq!(dword(&space, vendor + 3), 0x0403_f201);
}

#[test]
fn a_pci_express_function_has_4_kib_and_a_second_list() {
    let space = ConfigSpace::new(&full()).unwrap();
    assert_eq!(space.size(), EXTENDED_CONFIG_SIZE);
    assert_eq!(dword(&space, 0x100), 0x10c << 20 | 1 << 16 | 0x0003);
    assert_eq!(dword(&space, 0x104), 0x5566_7788);
    assert_eq!(dword(&space, 0x10c), 1 << 16 | 0x000b);
    assert_eq!(dword(&space, 0x110), 14 << 20 | 2 << 16 | 0xabcd);
    assert_eq!(dword(&space, 0x1000), u32::MAX);
    let plain = ConfigSpace::new(&spec()).unwrap();
    assert_eq!(
        (plain.size(), dword(&plain, 0x100)),
        (CONFIG_SIZE, u32::MAX)
    );
}

#[test]
fn an_express_function_is_reset_by_its_device_control() {
    let mut space = ConfigSpace::new(&full()).unwrap();
    let control = find(&space, 0x10).unwrap() + 8;
    space.write(control, &[0x10, 0x28]);
    assert!(!space.wants_reset());
    space.write(control + 1, &[0xa8]);
    assert!(space.wants_reset());
    space.reset();
    assert!(!space.wants_reset());
}

#[test]
fn a_sleeping_function_neither_masters_the_bus_nor_interrupts() {
    let mut space = ConfigSpace::new(&full()).unwrap();
    let control = find(&space, 0x01).unwrap() + 4;
    space.write(4, &[6]);
    space.write(MSIX + 3, &[0x80]);
    assert_eq!(space.power_state(), PowerState::D0);
    space.write(control, &[3]);
    assert_eq!(space.power_state(), PowerState::D3hot);
    assert!(!space.bus_master());
    assert_eq!(space.interrupt_mode(), InterruptMode::Off);
    space.write(control, &[1]);
    assert_eq!(space.power_state(), PowerState::D3hot, "there is no D1");
    space.write(control, &[0]);
    assert!(space.bus_master() && !space.wants_reset());
    assert_eq!(space.interrupt_mode(), InterruptMode::Msix);
}

#[test]
fn a_function_that_forgets_in_d3hot_wants_a_reset_when_it_wakes() {
    let spec = DeviceSpec::new(IDENTITY).power(PowerManagement { resets: true });
    let mut space = ConfigSpace::new(&spec).unwrap();
    let control = find(&space, 0x01).unwrap() + 4;
    space.write(control, &[3]);
    assert!(!space.wants_reset());
    space.write(control, &[0]);
    assert!(space.wants_reset());
}

#[test]
fn a_bar_of_ports_says_so_and_reads_its_size_back() {
    let spec = DeviceSpec::new(IDENTITY).bar(index(1), Bar::io_ports(32));
    let mut space = ConfigSpace::new(&spec).unwrap();
    assert_eq!(dword(&space, 0x14), 1);
    space.write(0x14, &[0xff; 4]);
    assert_eq!(dword(&space, 0x14), 0xffff_ffe1);
    space.write(4, &[0xff]);
    assert_eq!(dword(&space, 4) & 0xff, 0b111);
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
        let fresh = ConfigSpace::new(&spec()).unwrap();
        let mut space = fresh.clone();
        for (offset, data) in &writes {
            space.write(*offset, data);
        }
        let all = fresh.bytes.iter().zip(&space.bytes).zip(&space.layout.writable);
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
        let mut space = ConfigSpace::new(&spec).unwrap();
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
