// SPDX-License-Identifier: Apache-2.0 OR MIT
//! MSI-X (PCI 3.0, 6.8.2): the size and the place of a device's table and of its pending bits.

use crate::bar::{Area, BarIndex};

/// Size of an entry of the MSI-X table, bytes.
const MSIX_ENTRY: u64 = 16;
/// Smallest BAR that can be mapped by a guest, bytes.
const PAGE: u64 = 4096;

/// Where the MSI-X table and pending bits lie. Accesses to them never reach
/// the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msix {
    /// The BAR of both, of memory; no mapped area may touch their pages.
    pub bar: BarIndex,
    /// Vectors, 1 to 2048.
    pub vectors: u32,
    /// Offset of the table in the BAR, bytes, a multiple of 8.
    pub table_offset: u32,
    /// Offset of the pending bits in the BAR, bytes, a multiple of 8.
    pub pba_offset: u32,
}

impl Msix {
    /// The table at the start of a BAR, and the pending bits behind it.
    #[must_use]
    pub const fn in_bar(bar: BarIndex, vectors: u32) -> Self {
        Self {
            bar,
            vectors,
            table_offset: 0,
            // More vectors than can be are refused later, by their number.
            pba_offset: vectors.saturating_mul(MSIX_ENTRY as u32) & !7,
        }
    }

    /// Bytes of the table.
    #[must_use]
    pub const fn table(&self) -> Area {
        Area {
            offset: self.table_offset as u64,
            size: self.vectors as u64 * MSIX_ENTRY,
        }
    }

    /// Bytes of the pending bits.
    #[must_use]
    pub const fn pending(&self) -> Area {
        Area {
            offset: self.pba_offset as u64,
            size: (self.vectors as u64).div_ceil(64) * 8,
        }
    }

    /// Size of a BAR that holds both and nothing else, bytes.
    #[must_use]
    pub const fn bar_size(&self) -> u64 {
        let (table, pending) = (self.table(), self.pending());
        let table_end = table.offset + table.size;
        let pending_end = pending.offset + pending.size;
        let end = if table_end > pending_end {
            table_end
        } else {
            pending_end
        };
        let end = if end > PAGE { end } else { PAGE };
        end.next_power_of_two()
    }
}
