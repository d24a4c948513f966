// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a description cannot be a PCI function.

use super::MAX_MSI_VECTORS;

/// A description that cannot be a PCI function; each names the field.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A BAR of I/O ports has an impossible size.
    #[error("BAR {bar} has {size} I/O ports: use a power of two from 4 to 256")]
    IoBarSize {
        /// Number of the BAR.
        bar: usize,
        /// Its size, bytes.
        size: u64,
    },
    /// A BAR of I/O ports has what only memory can have.
    #[error("BAR {bar} has I/O ports: it cannot be {what}")]
    IoBar {
        /// Number of the BAR.
        bar: usize,
        /// What it was to be.
        what: &'static str,
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
    /// MSI-X has no such number of vectors.
    #[error("MSI-X with {vectors} vectors: use 1 to 2048")]
    MsixVectors {
        /// Number of vectors.
        vectors: u32,
    },
    /// The MSI-X table or pending bits do not fit their BAR.
    #[error(
        "MSI-X: table and pending bits of {vectors} vectors must lie apart, 8-byte aligned, in trapped pages of a BAR of memory; BAR {bar} does not hold them"
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
    /// More capabilities than a configuration space holds.
    #[error(
        "{capability} of {size} bytes does not fit at {offset:#x}: the space for capabilities ends at {end:#x}"
    )]
    NoRoom {
        /// The capability.
        capability: String,
        /// Where it would begin.
        offset: usize,
        /// Its length, bytes.
        size: usize,
        /// Where the space ends.
        end: usize,
    },
    /// An extended capability without the space for it.
    #[error("{capability} needs the extended configuration space: declare PCI Express too")]
    NoExpress {
        /// The capability.
        capability: String,
    },
    /// An extended capability that software would not find.
    #[error("{capability}, version {version}: use an id that is not 0 and a version from 1 to 15")]
    BadExtended {
        /// The capability.
        capability: String,
        /// Its version.
        version: u8,
    },
    /// More writable bytes than bytes.
    #[error("{capability}: {mask} bytes are declared writable, but it has {data}")]
    WritableTooLong {
        /// The capability.
        capability: String,
        /// Bytes in the mask.
        mask: usize,
        /// Bytes of data.
        data: usize,
    },
}
