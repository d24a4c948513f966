// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::{
    fs::File,
    io::{Read, Write},
};

use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};

use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
};

use super::*;
use crate::{Bar, BarIndex, Identity, IntxPin, Msi, capability::Msix};

const TRIGGER_FD: u32 = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
const TRIGGER_NONE: u32 = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER;
const UNMASK: u32 = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
const MASK: u32 = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_MASK;
const MSIX: u32 = VFIO_PCI_MSIX_IRQ_INDEX;
const MSI: u32 = VFIO_PCI_MSI_IRQ_INDEX;
const INTX: u32 = VFIO_PCI_INTX_IRQ_INDEX;

fn irqs() -> Irqs {
    let bar = BarIndex::new(4).unwrap();
    let identity = Identity {
        vendor: 1,
        device: 2,
        revision: 3,
        class: [0xff, 0, 0],
        subsystem_vendor: 0,
        subsystem: 0,
    };
    let spec = DeviceSpec::new(identity)
        .bar(bar, Bar::trapped(0x1000))
        .msix(Msix {
            bar,
            vectors: 4,
            table_offset: 0,
            pba_offset: 0x800,
        })
        .msi(Msi { vectors: 2 })
        .intx(IntxPin::A);
    spec.check().unwrap();
    Irqs::new(&spec)
}

/// The same, where software has chosen messages.
fn irqs_by(mode: InterruptMode) -> Irqs {
    let irqs = irqs();
    irqs.set_mode(mode, false).unwrap();
    irqs
}

fn irqs_by_msix() -> Irqs {
    irqs_by(InterruptMode::Msix)
}

fn listener() -> (File, File) {
    let ours: File = eventfd(0, EventfdFlags::NONBLOCK).unwrap().into();
    (ours.try_clone().unwrap(), ours)
}

fn count(mut eventfd: &File) -> u64 {
    let mut count = [0; 8];
    eventfd
        .read_exact(&mut count)
        .map_or(0, |()| u64::from_ne_bytes(count))
}

#[test]
fn a_signal_goes_to_its_own_vector() {
    let irqs = irqs_by_msix();
    let (theirs, ours): (Vec<_>, Vec<_>) = (0..2).map(|_| listener()).unzip();
    irqs.set(MSIX, TRIGGER_FD, 1, 2, theirs).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 2).unwrap(), Signalled::Sent);
    assert_eq!((count(&ours[0]), count(&ours[1])), (0, 1));
    assert!(matches!(
        irqs.signal(IrqKind::Msix, 4),
        Err(IrqError::NoVector {
            vector: 4,
            count: 4
        })
    ));
}

#[test]
fn a_signal_to_nobody_is_sent_when_somebody_comes() {
    let irqs = irqs_by_msix();
    assert_eq!(irqs.signal(IrqKind::Msix, 0).unwrap(), Signalled::Pending);
    let (theirs, ours) = listener();
    irqs.set(MSIX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    assert_eq!(count(&ours), 1);
    irqs.set(MSIX, TRIGGER_FD, 0, 1, vec![]).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 0).unwrap(), Signalled::Pending);
    irqs.clear_pending();
    let (theirs, ours) = listener();
    irqs.set(MSIX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    assert_eq!(count(&ours), 0);
}

#[test]
fn a_trigger_without_data_signals_and_with_no_vectors_disconnects() {
    let irqs = irqs_by_msix();
    let (theirs, ours) = listener();
    irqs.set(MSIX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    irqs.set(MSIX, TRIGGER_NONE, 0, 4, vec![]).unwrap();
    assert_eq!(count(&ours), 1);
    irqs.set(MSIX, TRIGGER_NONE, 0, 0, vec![]).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 0).unwrap(), Signalled::Pending);
    assert_eq!(count(&ours), 0);
}

#[test]
fn msi_and_msix_have_vectors_of_their_own() {
    let irqs = irqs_by(InterruptMode::Msi { vectors: 2 });
    let (theirs, ours): (Vec<_>, Vec<_>) = (0..2).map(|_| listener()).unzip();
    irqs.set(MSI, TRIGGER_FD, 0, 2, theirs).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 1).unwrap(), Signalled::Off);
    assert_eq!(irqs.signal(IrqKind::Msi, 1).unwrap(), Signalled::Sent);
    assert_eq!((count(&ours[0]), count(&ours[1])), (0, 1));
    assert!(matches!(
        irqs.signal(IrqKind::Msi, 2),
        Err(IrqError::NoVector {
            vector: 2,
            count: 2
        })
    ));
    let counts: Vec<_> = (0..5).map(|index| irqs.info(index).count).collect();
    assert_eq!(counts, [1, 2, 4, 1, 0]);
}

#[test]
fn an_asserted_line_fires_whenever_it_is_unmasked() {
    let irqs = irqs();
    let (theirs, ours) = listener();
    irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    assert_eq!(irqs.signal(IrqKind::Intx, 0).unwrap(), Signalled::Sent);
    assert_eq!(irqs.signal(IrqKind::Intx, 0).unwrap(), Signalled::Sent);
    assert_eq!(count(&ours), 1, "it masks itself");
    for _ in 0..2 {
        irqs.set(INTX, UNMASK, 0, 1, vec![]).unwrap();
        assert!(irqs.is_unsettled());
        assert_eq!(irqs.signal(IrqKind::Intx, 0).unwrap(), Signalled::Sent);
        assert_eq!(count(&ours), 0, "it may be acknowledged yet");
        irqs.settle().unwrap();
        assert_eq!(count(&ours), 1, "nobody has acknowledged it");
        assert!(!irqs.is_unsettled());
    }
    irqs.deassert_intx();
    irqs.set(INTX, UNMASK, 0, 1, vec![]).unwrap();
    assert_eq!(count(&ours), 0);
    assert_eq!(irqs.signal(IrqKind::Intx, 0).unwrap(), Signalled::Sent);
    assert_eq!(count(&ours), 1);
}

#[test]
fn a_line_that_goes_down_unheard_leaves_nothing_to_hear() {
    let irqs = irqs();
    let (theirs, ours) = listener();
    irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    for down in [Irqs::deassert_intx, Irqs::clear_pending] {
        irqs.signal(IrqKind::Intx, 0).unwrap();
        down(&irqs);
        assert_eq!(count(&ours), 0);
    }
    irqs.signal(IrqKind::Intx, 0).unwrap();
    assert_eq!(count(&ours), 1, "nobody had to unmask it");
    irqs.deassert_intx();
    irqs.signal(IrqKind::Intx, 0).unwrap();
    assert_eq!(count(&ours), 0, "it was heard of, and is masked");
}

#[test]
fn what_the_hypervisor_masks_or_tries_out_is_not_taken_back() {
    let irqs = irqs();
    let (theirs, ours) = listener();
    irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    irqs.set(INTX, TRIGGER_NONE, 0, 1, vec![]).unwrap();
    irqs.deassert_intx();
    assert_eq!(count(&ours), 1);
    irqs.set(INTX, UNMASK, 0, 1, vec![]).unwrap();
    irqs.signal(IrqKind::Intx, 0).unwrap();
    irqs.set(INTX, MASK, 0, 1, vec![]).unwrap();
    irqs.deassert_intx();
    assert_eq!(count(&ours), 1);
    irqs.signal(IrqKind::Intx, 0).unwrap();
    assert_eq!(count(&ours), 0, "it is masked");
}

#[test]
fn a_line_that_is_acknowledged_after_its_unmasking_does_not_fire_again() {
    let irqs = irqs();
    let (theirs, ours) = listener();
    irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    irqs.signal(IrqKind::Intx, 0).unwrap();
    assert_eq!(count(&ours), 1);
    irqs.set(INTX, UNMASK, 0, 1, vec![]).unwrap();
    irqs.deassert_intx();
    irqs.settle().unwrap();
    assert_eq!(count(&ours), 0);
    irqs.signal(IrqKind::Intx, 0).unwrap();
    assert_eq!(count(&ours), 1, "what comes then is new");
}

#[test]
fn an_asserted_line_is_told_to_whoever_connects_until_a_reset() {
    let irqs = irqs();
    assert_eq!(irqs.signal(IrqKind::Intx, 0).unwrap(), Signalled::Pending);
    for _ in 0..2 {
        let (theirs, ours) = listener();
        irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
        assert_eq!(count(&ours), 1);
        irqs.set(INTX, TRIGGER_NONE, 0, 0, vec![]).unwrap();
    }
    irqs.clear_pending();
    let (theirs, ours) = listener();
    irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    assert_eq!(count(&ours), 0);
    irqs.set(INTX, TRIGGER_NONE, 0, 1, vec![]).unwrap();
    irqs.set(INTX, UNMASK, 0, 1, vec![]).unwrap();
    assert_eq!(count(&ours), 1, "a trigger fires once and asserts nothing");
}

#[test]
fn a_line_that_is_off_fires_when_it_is_on_again() {
    let irqs = irqs();
    let (theirs, ours) = listener();
    irqs.set(INTX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    irqs.set_mode(InterruptMode::Off, false).unwrap();
    assert_eq!(irqs.signal(IrqKind::Intx, 0).unwrap(), Signalled::Pending);
    irqs.set_mode(InterruptMode::Msix, false).unwrap();
    assert_eq!(count(&ours), 0);
    irqs.set_mode(InterruptMode::Intx, false).unwrap();
    assert_eq!(count(&ours), 1);
}

#[test]
fn a_masked_vector_waits() {
    let irqs = irqs_by_msix();
    let (theirs, ours) = listener();
    irqs.set(MSIX, TRIGGER_FD, 3, 1, vec![theirs]).unwrap();
    irqs.set(MSIX, MASK, 3, 1, vec![]).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 3).unwrap(), Signalled::Pending);
    irqs.set(MSIX, UNMASK, 3, 1, vec![]).unwrap();
    assert_eq!(count(&ours), 1);
}

#[test]
fn vectors_that_are_masked_as_a_whole_are_pending_until_they_are_not() {
    let irqs = irqs_by_msix();
    let (theirs, ours): (Vec<_>, Vec<_>) = (0..4).map(|_| listener()).unzip();
    irqs.set(MSIX, TRIGGER_FD, 0, 4, theirs).unwrap();
    irqs.set_mode(InterruptMode::Msix, true).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 1).unwrap(), Signalled::Pending);
    assert_eq!(irqs.signal(IrqKind::Msix, 3).unwrap(), Signalled::Pending);
    assert_eq!((irqs.pending_msix(0), count(&ours[1])), (0b1010, 0));
    irqs.set(MSIX, MASK, 3, 1, vec![]).unwrap();
    irqs.set_mode(InterruptMode::Msix, false).unwrap();
    assert_eq!(irqs.pending_msix(0), 0b1000, "one is masked by itself, too");
    assert_eq!((count(&ours[1]), count(&ours[3])), (1, 0));
    irqs.set(MSIX, UNMASK, 3, 1, vec![]).unwrap();
    assert_eq!((irqs.pending_msix(0), count(&ours[3])), (0, 1));
}

#[test]
fn a_message_that_software_has_switched_off_is_not_sent_later() {
    let irqs = irqs_by_msix();
    let (theirs, ours) = listener();
    irqs.set(MSIX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    irqs.set_mode(InterruptMode::Off, false).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 0).unwrap(), Signalled::Off);
    irqs.set_mode(InterruptMode::Msix, false).unwrap();
    assert_eq!((irqs.pending_msix(0), count(&ours)), (0, 0));
    assert_eq!(irqs.signal(IrqKind::Msix, 0).unwrap(), Signalled::Sent);
}

#[test]
fn a_saturated_eventfd_is_a_signal_all_the_same() {
    let irqs = irqs_by_msix();
    let (theirs, ours) = listener();
    (&ours).write_all(&(u64::MAX - 1).to_ne_bytes()).unwrap();
    irqs.set(MSIX, TRIGGER_FD, 0, 1, vec![theirs]).unwrap();
    assert_eq!(irqs.signal(IrqKind::Msix, 0).unwrap(), Signalled::Sent);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn no_request_about_interrupts_panics(
        index in 0_u32..7,
        flags in 0_u32..64,
        start in prop_oneof![0_u32..6, any::<u32>()],
        count in prop_oneof![0_u32..6, any::<u32>()],
        fds in 0_usize..3,
    ) {
        let irqs = irqs();
        let fds = (0..fds).map(|_| listener().0).collect();
        let _ = irqs.set(index, flags, start, count, fds);
    }
}
