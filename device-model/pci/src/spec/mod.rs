// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description a device gives of itself: who it is, which windows it has,
//! how it interrupts. Checked once, so that what is built on it can trust it.

mod check;
mod error;

pub use error::SpecError;

use crate::{
    bar::{Bar, BarIndex},
    capability::{ExtendedCapability, IntxPin, Msi, Msix, PowerManagement, VendorCapability},
};

/// Most vectors of MSI (PCI 3.0, 6.8.1.3).
const MAX_MSI_VECTORS: u32 = 32;

/// Who the device says it is: the read-only part of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// Revision id.
    pub revision: u8,
    /// Class code: base class, sub-class, programming interface.
    pub class: [u8; 3],
    /// Subsystem vendor id.
    pub subsystem_vendor: u16,
    /// Subsystem id.
    pub subsystem: u16,
}

impl Identity {
    /// A device of no class and revision 0, whose subsystem is itself.
    #[must_use]
    pub const fn new(vendor: u16, device: u16) -> Self {
        Self {
            vendor,
            device,
            revision: 0,
            // Unassigned class: no driver takes it for its own by that.
            class: [0xff, 0, 0],
            subsystem_vendor: vendor,
            subsystem: device,
        }
    }
}

/// How a device presents itself on the bus.
///
/// # Example
/// ```
/// use irqbed_pci::{Bar, BarIndex, DeviceSpec, Identity, capability::ExtendedCapability};
/// let spec = DeviceSpec::new(Identity::new(0x1bed, 0x0001))
///     .bar(BarIndex::BAR0, Bar::trapped(0x1000))
///     .msix_in(BarIndex::BAR4, 8)
///     .express()
///     .extended(ExtendedCapability::serial_number(1));
/// spec.check()?;
/// # Ok::<(), irqbed_pci::spec::SpecError>(())
/// ```
///
/// What cannot be is refused by name:
/// ```
/// use irqbed_pci::{Bar, BarIndex, DeviceSpec, Identity};
/// let spec = DeviceSpec::new(Identity::new(0x1bed, 0x0001))
///     .bar(BarIndex::BAR0, Bar::io_ports(512));
/// let error = spec.check().unwrap_err().to_string();
/// assert_eq!(error, "BAR 0 has 512 I/O ports: use a power of two from 4 to 256");
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DeviceSpec {
    /// The read-only part of the header.
    pub identity: Identity,
    /// The BARs by number; `None` also for the upper half of a wide one.
    pub bars: [Option<Bar>; BarIndex::COUNT],
    /// MSI-X, where the device has it.
    pub msix: Option<Msix>,
    /// MSI, where the device has it.
    pub msi: Option<Msi>,
    /// INTx, where the device has it.
    pub intx: Option<IntxPin>,
    /// Power management, where the device has it.
    pub power: Option<PowerManagement>,
    /// Whether it is a PCI Express endpoint.
    pub express: bool,
    /// Vendor-specific capabilities, in order.
    pub vendor: Vec<VendorCapability>,
    /// Capabilities of the extended configuration space, in order.
    pub extended: Vec<ExtendedCapability>,
}

impl DeviceSpec {
    /// A device with no BAR and no interrupt.
    #[must_use]
    pub const fn new(identity: Identity) -> Self {
        Self {
            identity,
            bars: [const { None }; BarIndex::COUNT],
            msix: None,
            msi: None,
            intx: None,
            power: None,
            express: false,
            vendor: Vec::new(),
            extended: Vec::new(),
        }
    }

    /// Adds a BAR, in place of one of the same number.
    #[must_use]
    pub fn bar(mut self, index: BarIndex, bar: Bar) -> Self {
        if let Some(place) = self.bars.get_mut(index.get() as usize) {
            *place = Some(bar);
        }
        self
    }

    /// Adds MSI-X in a BAR of its own.
    #[must_use]
    pub fn msix_in(self, bar: BarIndex, vectors: u32) -> Self {
        let msix = Msix::in_bar(bar, vectors);
        self.bar(bar, Bar::trapped(msix.bar_size())).msix(msix)
    }

    /// Adds MSI-X in a BAR that there is.
    #[must_use]
    pub const fn msix(mut self, msix: Msix) -> Self {
        self.msix = Some(msix);
        self
    }

    /// Adds MSI.
    #[must_use]
    pub const fn msi(mut self, msi: Msi) -> Self {
        self.msi = Some(msi);
        self
    }

    /// Adds INTx.
    #[must_use]
    pub const fn intx(mut self, pin: IntxPin) -> Self {
        self.intx = Some(pin);
        self
    }

    /// Adds power management.
    #[must_use]
    pub const fn power(mut self, power: PowerManagement) -> Self {
        self.power = Some(power);
        self
    }

    /// Makes it a PCI Express endpoint (PCI Express 5.0, 7.5.3), at a link of
    /// one lane, with a configuration space of 4 KiB.
    #[must_use]
    pub const fn express(mut self) -> Self {
        self.express = true;
        self
    }

    /// Adds a vendor-specific capability.
    #[must_use]
    pub fn vendor(mut self, capability: VendorCapability) -> Self {
        self.vendor.push(capability);
        self
    }

    /// Adds a capability of the extended configuration space.
    #[must_use]
    pub fn extended(mut self, capability: ExtendedCapability) -> Self {
        self.extended.push(capability);
        self
    }

    /// The BAR of that number, where there is one.
    #[must_use]
    pub fn get_bar(&self, index: u32) -> Option<&Bar> {
        self.bars.get(index as usize)?.as_ref()
    }

    /// Checks all but the places of the capabilities.
    pub(crate) fn check_parts(&self) -> Result<(), SpecError> {
        check::check(self)
    }
}

#[cfg(test)]
mod tests;
