// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a function can do beyond its header: the capabilities that a device
//! declares, as values, and what software chooses by them. Where they lie in the
//! configuration space is computed by [`crate::config_space`].

mod msix;

pub use msix::Msix;

/// How many vectors a device has by MSI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msi {
    /// Vectors, a power of two from 1 to 32.
    pub vectors: u32,
}

/// The pin of a device that interrupts by INTx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntxPin {
    /// INTA#.
    A = 1,
    /// INTB#.
    B = 2,
    /// INTC#.
    C = 3,
    /// INTD#.
    D = 4,
}

/// A kind of interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IrqKind {
    /// A vector of MSI-X.
    Msix,
    /// A vector of MSI.
    Msi,
    /// The line.
    Intx,
}

/// How software wants to be interrupted, as the configuration space says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InterruptMode {
    /// By MSI-X.
    Msix,
    /// By MSI.
    Msi {
        /// Vectors enabled, a power of two from 1 to 32.
        vectors: u32,
    },
    /// By the line, as after power on.
    #[default]
    Intx,
    /// Not at all: messages are off, and the line is too.
    Off,
}

/// Power management (PCI Bus Power Management 1.2): the states D0 and D3hot.
/// In D3hot the function answers configuration accesses alone, and neither
/// interrupts nor reaches memory; [`crate::PciDevice::power`] tells the device.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PowerManagement {
    /// The function is reset when it returns to D0; else its state is kept.
    pub resets: bool,
}

/// How much of a function is powered (PCI Bus Power Management 1.2, 5.4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PowerState {
    /// All of it.
    #[default]
    D0,
    /// Nothing but its configuration space: no access to a BAR arrives, no
    /// interrupt and no DMA goes out.
    D3hot,
}

/// A capability whose data is the device's own, by its place in the description,
/// counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnCapability {
    /// One of [`crate::DeviceSpec::vendor`].
    Vendor(usize),
    /// One of [`crate::DeviceSpec::extended`].
    Extended(usize),
}

/// A vendor-specific capability (PCI 3.0, 6.8 and appendix H).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VendorCapability {
    /// What stands behind id, link and length; at most 189 bytes.
    pub data: Vec<u8>,
    /// Bits of `data` that software may change; missing bytes mean none.
    pub writable: Vec<u8>,
}

impl VendorCapability {
    /// One that software can only read.
    pub fn new(data: impl Into<Vec<u8>>) -> Self {
        Self {
            data: data.into(),
            writable: Vec::new(),
        }
    }

    /// Lets software change these bits.
    #[must_use]
    pub fn writable(mut self, mask: impl Into<Vec<u8>>) -> Self {
        self.writable = mask.into();
        self
    }
}

/// A capability of the extended configuration space (PCI Express 5.0, 7.6.3);
/// needs [`crate::DeviceSpec::express`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtendedCapability {
    /// Its id; not 0, which ends the list.
    pub id: u16,
    /// Its version, 1 to 15.
    pub version: u8,
    /// What stands behind the header.
    pub data: Vec<u8>,
    /// Bits of `data` that software may change; missing bytes mean none.
    pub writable: Vec<u8>,
}

impl ExtendedCapability {
    /// One that software can only read.
    pub fn new(id: u16, version: u8, data: impl Into<Vec<u8>>) -> Self {
        Self {
            id,
            version,
            data: data.into(),
            writable: Vec::new(),
        }
    }

    /// A serial number (PCI Express 5.0, 7.9.3).
    #[must_use]
    pub fn serial_number(number: u64) -> Self {
        Self::new(0x0003, 1, number.to_le_bytes())
    }

    /// A vendor-specific one (PCI Express 5.0, 7.9.5).
    #[must_use]
    pub fn vendor(id: u16, revision: u8, data: &[u8]) -> Self {
        // The length counts both headers; a longer one does not fit the space
        // and is refused there.
        let length = (data.len() as u32).saturating_add(8) & 0xfff;
        let header = u32::from(id) | u32::from(revision & 0xf) << 16 | length << 20;
        let mut all = header.to_le_bytes().to_vec();
        all.extend_from_slice(data);
        Self::new(0x000b, 1, all)
    }

    /// Lets software change these bits of the data.
    #[must_use]
    pub fn writable(mut self, mask: impl Into<Vec<u8>>) -> Self {
        self.writable = mask.into();
        self
    }
}
