// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong between a device and the guest's memory.

use super::GuestAddr;
use crate::vfio_user::MessageError;

/// A DMA access that could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DmaError {
    /// The command register forbids it.
    #[error("DMA at {addr}: the driver has not enabled bus mastering (pci_set_master)")]
    BusMasterOff {
        /// First address of the access.
        addr: GuestAddr,
    },
    /// It was under way when accesses were ended: see [`Dma`](super::Dma).
    #[error(
        "DMA at {addr}: aborted: the function was reset, bus mastering was switched off or the device ended this work"
    )]
    Aborted {
        /// First address that was not accessed, or first one of the access.
        addr: GuestAddr,
    },
    /// No memory there.
    #[error("DMA at {addr}: the hypervisor has mapped no memory there")]
    NotMapped {
        /// First address without memory.
        addr: GuestAddr,
    },
    /// Memory that came without a file descriptor, and nobody to ask for it.
    #[error(
        "DMA at {addr}: that memory was mapped without a file descriptor; give the guest a shared memory backend (memory-backend-memfd,share=on)"
    )]
    NoFd {
        /// First address that cannot be reached.
        addr: GuestAddr,
    },
    /// Memory that came without a file descriptor, and that the hypervisor
    /// was asked for in vain.
    #[error(
        "DMA at {addr}, by a message to the hypervisor: {source}; with a shared memory backend (memory-backend-memfd,share=on) it needs none"
    )]
    Message {
        /// First address of the part that was asked for.
        addr: GuestAddr,
        /// What went wrong.
        source: MessageError,
    },
    /// Memory that may only be read.
    #[error("DMA at {addr}: that memory is read-only")]
    ReadOnly {
        /// First address that cannot be written.
        addr: GuestAddr,
    },
    /// The access goes beyond the end of the address space.
    #[error("DMA at {addr}: {len} bytes go beyond the end of the address space")]
    Overflow {
        /// First address of the access.
        addr: GuestAddr,
        /// Its length, bytes.
        len: usize,
    },
    /// The [hook](crate::hook::BusHook) of the function refuses the access.
    #[error("DMA at {addr}: refused, by {by}")]
    Refused {
        /// First address of the access.
        addr: GuestAddr,
        /// Who refuses it, as the hook says.
        by: &'static str,
    },
    /// The function was [removed](crate::hook::HookedFunction::remove).
    #[error("DMA at {addr}: the function was removed")]
    Removed {
        /// First address of the access.
        addr: GuestAddr,
    },
    /// A word that does not lie at a multiple of its size.
    #[error("DMA at {addr}: a word must be aligned to its size")]
    Misaligned {
        /// Address of the word.
        addr: GuestAddr,
    },
}

/// A mapping that the hypervisor asked for and that cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// Empty, or beyond the end of the address space.
    #[error("memory at {addr} of {size:#x} bytes is no range of the address space")]
    BadRange {
        /// First address.
        addr: GuestAddr,
        /// Size, bytes.
        size: u64,
    },
    /// Memory is there already.
    #[error("memory at {addr} of {size:#x} bytes overlaps what is mapped at {other}")]
    Overlap {
        /// First address.
        addr: GuestAddr,
        /// Size, bytes.
        size: u64,
        /// First address of the mapping in the way.
        other: GuestAddr,
    },
    /// More pieces than are kept.
    #[error(
        "memory at {addr}: there are as many pieces already as are kept (65,535), or as this process may map (vm.max_map_count)"
    )]
    TooMany {
        /// First address.
        addr: GuestAddr,
    },
    /// Only a part of a mapping was to be removed.
    #[error("unmapping {size:#x} bytes at {addr} would split the mapping at {other}")]
    Split {
        /// First address to unmap.
        addr: GuestAddr,
        /// Size to unmap, bytes.
        size: u64,
        /// First address of the mapping.
        other: GuestAddr,
    },
    /// The file descriptor does not hold that range.
    #[error(
        "cannot map {size:#x} bytes at offset {offset:#x} of the file for the memory at {addr}: {reason}"
    )]
    File {
        /// First address.
        addr: GuestAddr,
        /// Offset in the file, bytes.
        offset: u64,
        /// Size, bytes.
        size: u64,
        /// What vm-memory said.
        reason: String,
    },
}
