// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Base address registers: windows of a device into the guest's memory space.
//! A trapped BAR brings every access to the device; a mapped one is memory of
//! a file that the guest reaches without leaving the processor; one with mapped
//! areas is both.

use std::{fs::File, sync::Arc};

pub use crate::vfio_user::Area;

/// Number of a BAR, 0 to 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BarIndex(u8);

impl BarIndex {
    /// BARs of a type-0 header.
    pub const COUNT: usize = 6;
    /// BAR 0.
    pub const BAR0: Self = Self(0);
    /// BAR 1.
    pub const BAR1: Self = Self(1);
    /// BAR 2.
    pub const BAR2: Self = Self(2);
    /// BAR 3.
    pub const BAR3: Self = Self(3);
    /// BAR 4.
    pub const BAR4: Self = Self(4);
    /// BAR 5.
    pub const BAR5: Self = Self(5);

    /// `None` above 5.
    #[must_use]
    pub const fn new(index: u32) -> Option<Self> {
        if index < Self::COUNT as u32 {
            Some(Self(index as u8))
        } else {
            None
        }
    }

    /// The number, 0 to 5.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }
}

/// The memory behind a mapped BAR.
#[derive(Debug, Clone)]
pub struct Mapping {
    /// Byte `n` of the BAR is byte `n` of this file.
    pub file: Arc<File>,
    /// The parts that the guest may map, page-aligned, in order, apart from
    /// each other; accesses elsewhere trap.
    pub areas: Vec<Area>,
}

/// Into which of a processor's address spaces a BAR opens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BarKind {
    /// Memory.
    #[default]
    Memory,
    /// I/O ports, at most 256 of them.
    Io,
}

/// One BAR: trapped, mapped, or mapped in parts.
///
/// # Example
/// ```
/// use irqbed_pci::{Bar, SharedMemory, bar::Area};
/// // Every access comes to the device.
/// let registers = Bar::trapped(0x1000);
/// // No access does: the guest reaches the memory at the speed of memory.
/// let memory = SharedMemory::new("counters", 0x4000)?;
/// let counters = Bar::mapped(memory.file(), 0x4000).wide().prefetchable();
/// // The last page is memory, and accesses to the others come to the device.
/// let page = Area { offset: 0x3000, size: 0x1000 };
/// let mixed = Bar::mapped(memory.file(), 0x4000).areas(vec![page]);
/// // 32 ports.
/// let ports = Bar::io_ports(32);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Bar {
    /// Memory or I/O ports.
    pub kind: BarKind,
    /// Size in bytes, a power of two.
    pub size: u64,
    /// 64 bits wide; takes the next BAR's place too.
    pub wide: bool,
    /// Reads have no side effects.
    pub prefetchable: bool,
    /// `None` where every access traps.
    pub mapping: Option<Mapping>,
}

impl Bar {
    /// A 32-bit BAR of `size` bytes whose every access comes to the device.
    #[must_use]
    pub const fn trapped(size: u64) -> Self {
        Self {
            kind: BarKind::Memory,
            size,
            wide: false,
            prefetchable: false,
            mapping: None,
        }
    }

    /// A BAR of I/O ports, a power of two from 4 to 256; every access comes to
    /// the device.
    #[must_use]
    pub const fn io_ports(size: u64) -> Self {
        Self {
            kind: BarKind::Io,
            size,
            wide: false,
            prefetchable: false,
            mapping: None,
        }
    }

    /// A 32-bit BAR of `size` bytes that is `file`, all of it mapped.
    #[must_use]
    pub fn mapped(file: Arc<File>, size: u64) -> Self {
        Self {
            mapping: Some(Mapping {
                file,
                areas: vec![Area { offset: 0, size }],
            }),
            ..Self::trapped(size)
        }
    }

    /// Maps only these parts; accesses to the rest trap. Nothing changes for
    /// a trapped BAR.
    #[must_use]
    pub fn areas(mut self, areas: Vec<Area>) -> Self {
        if let Some(mapping) = &mut self.mapping {
            mapping.areas = areas;
        }
        self
    }

    /// Makes the BAR 64 bits wide.
    #[must_use]
    pub fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// Declares that reads have no side effects and writes may be merged.
    #[must_use]
    pub fn prefetchable(mut self) -> Self {
        self.prefetchable = true;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::BarIndex;

    #[test]
    fn there_is_no_bar_6() {
        assert_eq!(BarIndex::new(5).map(BarIndex::get), Some(5));
        assert_eq!(BarIndex::new(6), None);
    }
}
