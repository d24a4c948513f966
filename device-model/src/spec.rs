// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The description a device gives of itself: who it is, which windows it has,
//! how it interrupts. Checked once, so that what is built on it can trust it.

use crate::bar::{Bar, BarIndex};

/// Least size of a BAR of memory (PCI 3.0, 6.2.5.1), bytes.
const MIN_BAR: u64 = 16;
/// Granularity of a mapping, bytes.
const PAGE: u64 = 4096;
/// Most vectors of MSI-X (PCI 3.0, 6.8.2).
const MAX_VECTORS: u32 = 2048;
/// Most vectors of MSI (PCI 3.0, 6.8.1.3).
const MAX_MSI_VECTORS: u32 = 32;
/// Size of an entry of the MSI-X table, bytes.
const MSIX_ENTRY: u64 = 16;

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

/// Where the MSI-X table and pending bits lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msix {
    /// The BAR of both; trapped, and nothing else in it.
    pub bar: BarIndex,
    /// Vectors, 1 to 2048.
    pub vectors: u32,
    /// Offset of the table in the BAR, bytes, a multiple of 8.
    pub table_offset: u32,
    /// Offset of the pending bits in the BAR, bytes, a multiple of 8.
    pub pba_offset: u32,
}

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

/// A description that cannot be a PCI function.
#[derive(Debug, thiserror::Error)]
pub enum SpecError {
    /// A BAR has an impossible size.
    #[error(
        "BAR {bar} is {size:#x} bytes: use a power of two from 16 bytes, up to 2 GiB if 32 bits wide"
    )]
    BarSize {
        /// Number of the BAR.
        bar: usize,
        /// Its size, bytes.
        size: u64,
    },
    /// A wide BAR has no room for its upper half.
    #[error("BAR {bar} is 64 bits wide and needs BAR {} too: leave that one empty", bar + 1)]
    NoUpperHalf {
        /// Number of the BAR.
        bar: usize,
    },
    /// The mapped areas of a BAR are not page-aligned, ordered and inside.
    #[error("BAR {bar}: the area at {offset:#x} must be whole pages, in order, inside the BAR")]
    BadArea {
        /// Number of the BAR.
        bar: usize,
        /// Offset of the area, bytes.
        offset: u64,
    },
    /// The file behind a mapped BAR is too short.
    #[error("BAR {bar}: its file has {found:#x} bytes, the BAR {size:#x}: make it longer")]
    ShortFile {
        /// Number of the BAR.
        bar: usize,
        /// Length of the file, bytes.
        found: u64,
        /// Size of the BAR, bytes.
        size: u64,
    },
    /// The file behind a mapped BAR cannot be examined.
    #[error("BAR {bar}: cannot examine its file")]
    BadFile {
        /// Number of the BAR.
        bar: usize,
        /// What the system said.
        source: std::io::Error,
    },
    /// The MSI-X table or pending bits do not fit their BAR.
    #[error(
        "MSI-X: table and pending bits of {vectors} vectors must lie apart, 8-byte aligned, in a trapped BAR; BAR {bar} does not hold them"
    )]
    BadMsix {
        /// Number of the BAR named.
        bar: u32,
        /// Number of vectors.
        vectors: u32,
    },
    /// MSI has no such number of vectors.
    #[error("MSI with {vectors} vectors: use a power of two from 1 to {MAX_MSI_VECTORS}")]
    BadMsi {
        /// Number of vectors.
        vectors: u32,
    },
}

/// How a device presents itself on the bus.
///
/// # Example
/// ```
/// use device_model::{Bar, BarIndex, DeviceSpec, Identity};
/// let identity = Identity {
///     vendor: 0x1bed,
///     device: 1,
///     revision: 0,
///     class: [0xff, 0, 0],
///     subsystem_vendor: 0,
///     subsystem: 0,
/// };
/// let spec = DeviceSpec::new(identity).bar(BarIndex::new(0).unwrap(), Bar::trapped(0x1000));
/// assert!(spec.check().is_ok());
/// ```
#[derive(Debug, Clone)]
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

    /// Adds MSI-X.
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

    /// The BAR of that number, where there is one.
    #[must_use]
    pub fn get_bar(&self, index: u32) -> Option<&Bar> {
        self.bars.get(index as usize)?.as_ref()
    }

    /// Whether such a PCI function can exist.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        for (index, bar) in self.bars.iter().enumerate() {
            if let Some(bar) = bar {
                self.check_bar(index, bar)?;
            }
        }
        match &self.msix {
            Some(msix) if !self.msix_fits(msix) => {
                return Err(SpecError::BadMsix {
                    bar: msix.bar.get(),
                    vectors: msix.vectors,
                });
            }
            _ => {}
        }
        match self.msi {
            Some(Msi { vectors }) if !vectors.is_power_of_two() || vectors > MAX_MSI_VECTORS => {
                Err(SpecError::BadMsi { vectors })
            }
            _ => Ok(()),
        }
    }

    fn check_bar(&self, index: usize, bar: &Bar) -> Result<(), SpecError> {
        let size = bar.size;
        let largest = if bar.wide { 1 << 63 } else { 1 << 31 };
        if !size.is_power_of_two() || !(MIN_BAR..=largest).contains(&size) {
            return Err(SpecError::BarSize { bar: index, size });
        }
        if bar.wide && !matches!(self.bars.get(index + 1), Some(None)) {
            return Err(SpecError::NoUpperHalf { bar: index });
        }
        let Some(mapping) = &bar.mapping else {
            return Ok(());
        };
        let mut free_from = 0;
        for area in &mapping.areas {
            let pages = area.offset % PAGE == 0 && area.size % PAGE == 0 && area.size > 0;
            match area.end() {
                Some(end) if pages && area.offset >= free_from && end <= size => free_from = end,
                _ => {
                    return Err(SpecError::BadArea {
                        bar: index,
                        offset: area.offset,
                    });
                }
            }
        }
        let found = mapping
            .file
            .metadata()
            .map_err(|source| SpecError::BadFile { bar: index, source })?
            .len();
        if found < size {
            return Err(SpecError::ShortFile {
                bar: index,
                found,
                size,
            });
        }
        Ok(())
    }

    fn msix_fits(&self, msix: &Msix) -> bool {
        let Some(bar) = self.get_bar(msix.bar.get()) else {
            return false;
        };
        let (table, pba) = (u64::from(msix.table_offset), u64::from(msix.pba_offset));
        let table_end = table + u64::from(msix.vectors) * MSIX_ENTRY;
        let pba_end = pba + u64::from(msix.vectors).div_ceil(64) * 8;
        bar.mapping.is_none()
            && (1..=MAX_VECTORS).contains(&msix.vectors)
            && table % 8 == 0
            && pba % 8 == 0
            && table_end <= bar.size
            && pba_end <= bar.size
            && (table_end <= pba || pba_end <= table)
    }
}
