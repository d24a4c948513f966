// SPDX-License-Identifier: Apache-2.0 OR MIT

use super::*;
use crate::{BarIndex, DeviceSpec, Identity, IntxPin, Msi};

fn irqs() -> Irqs {
    let spec = DeviceSpec::new(Identity::new(1, 1))
        .msix_in(BarIndex::BAR4, 4)
        .msi(Msi { vectors: 4 })
        .intx(IntxPin::A);
    Irqs::new(&spec)
}

#[test]
fn a_message_that_is_switched_off_is_told_nobody() {
    let irqs = irqs();
    assert_eq!(irqs.mode(), InterruptMode::Intx);
    assert_eq!(irqs.msix(1).raise().unwrap(), Signalled::Off);
    assert_eq!(irqs.msi(1).raise().unwrap(), Signalled::Off);
    assert_eq!(irqs.pending_msix(0), 0);
    assert_eq!(irqs.any(1).raise().unwrap(), Signalled::Pending, "the line");
    irqs.set_mode(InterruptMode::Msix, false).unwrap();
    assert_eq!(irqs.any(1).raise().unwrap(), Signalled::Pending);
    assert_eq!(irqs.msix(3).raise().unwrap(), Signalled::Pending);
    assert_eq!(irqs.pending_msix(0), 0b1010);
}

#[test]
fn a_vector_that_there_is_not_is_an_error_in_every_mode() {
    let irqs = irqs();
    for mode in [InterruptMode::Intx, InterruptMode::Msix] {
        irqs.set_mode(mode, false).unwrap();
        assert!(matches!(
            irqs.msix(4).raise(),
            Err(IrqError::NoVector {
                vector: 4,
                count: 4
            })
        ));
        assert!(irqs.msi(4).raise().is_err());
    }
    let none = crate::Bus::detached().irqs;
    assert!(none.intx().raise().is_err());
}

#[test]
fn whatever_software_has_chosen_is_off_where_that_is_nothing() {
    let spec = DeviceSpec::new(Identity::new(1, 1)).msix_in(BarIndex::BAR4, 4);
    let irqs = Irqs::new(&spec);
    for mode in [InterruptMode::Intx, InterruptMode::Off] {
        irqs.set_mode(mode, false).unwrap();
        assert_eq!(irqs.any(1).raise().unwrap(), Signalled::Off);
    }
    irqs.set_mode(InterruptMode::Msix, false).unwrap();
    assert_eq!(irqs.any(1).raise().unwrap(), Signalled::Pending);
}

#[test]
fn fewer_vectors_of_msi_are_shared() {
    let irqs = irqs();
    irqs.set_mode(InterruptMode::Msi { vectors: 2 }, false)
        .unwrap();
    assert_eq!(irqs.msi(3).raise().unwrap(), Signalled::Pending);
    assert_eq!(irqs.any(2).raise().unwrap(), Signalled::Pending);
}
