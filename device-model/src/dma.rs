// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's memory as a device sees it: the hypervisor maps it piece by
//! piece, each with the file it lies in, and takes pieces away again while
//! the device runs.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use vm_memory::{
    Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestRegionCollection, GuestRegionMmap,
    MmapRegion,
};

/// An address of the guest's memory as devices see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddr(pub u64);

impl GuestAddr {
    /// The address `bytes` further, unless that overflows.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for GuestAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A DMA access that could not be carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DmaError {
    /// The command register forbids it.
    #[error("DMA at {addr}: the driver has not enabled bus mastering (pci_set_master)")]
    BusMasterOff {
        /// First address of the access.
        addr: GuestAddr,
    },
    /// No memory there.
    #[error("DMA at {addr}: the hypervisor has mapped no memory there")]
    NotMapped {
        /// First address without memory.
        addr: GuestAddr,
    },
    /// Memory that came without a file descriptor.
    #[error(
        "DMA at {addr}: that memory was mapped without a file descriptor; give the guest a shared memory backend (memory-backend-memfd,share=on)"
    )]
    NoFd {
        /// First address that cannot be reached.
        addr: GuestAddr,
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
    /// A word that does not lie at a multiple of its size.
    #[error("DMA at {addr}: a word must be aligned to its size")]
    Misaligned {
        /// Address of the word.
        addr: GuestAddr,
    },
}

/// A mapping that the hypervisor asked for and that cannot be made.
#[derive(Debug, thiserror::Error)]
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

type Memory = GuestRegionCollection<GuestRegionMmap>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    ReadWrite,
    ReadOnly,
    None,
}

#[derive(Debug)]
struct Region {
    last: u64,
    access: Access,
    memory: Option<Arc<GuestRegionMmap>>,
}

/// What is mapped. The two views hold the regions that can be read and those
/// that can be written as well, sorted for the fast path.
#[derive(Debug, Default)]
struct Map {
    regions: BTreeMap<u64, Region>,
    readable: Memory,
    writable: Memory,
}

impl Map {
    fn rebuild(&mut self) {
        let view = |wanted: fn(Access) -> bool| {
            let regions: Vec<_> = self
                .regions
                .values()
                .filter(|region| wanted(region.access))
                .filter_map(|region| region.memory.clone())
                .collect();
            // The only errors are an empty list, an unsorted one and an
            // overlap; the tree excludes the last two.
            Memory::from_arc_regions(regions).unwrap_or_default()
        };
        self.readable = view(|access| access != Access::None);
        self.writable = view(|access| access == Access::ReadWrite);
    }

    /// A region that shares an address with the range, if there is one.
    fn overlapping(&self, first: u64, last: u64) -> Option<(u64, &Region)> {
        let (start, region) = self.regions.range(..=last).next_back()?;
        (region.last >= first).then_some((*start, region))
    }

    /// Why the range cannot be accessed: the first address that is in the way.
    fn explain(&self, addr: GuestAddr, len: usize, write: bool) -> DmaError {
        let Some(end) = addr.0.checked_add(len as u64) else {
            return DmaError::Overflow { addr, len };
        };
        let mut next = addr.0;
        while next < end {
            let found = self.regions.range(..=next).next_back();
            let at = GuestAddr(next);
            match found.filter(|(_, region)| region.last >= next) {
                None => return DmaError::NotMapped { addr: at },
                Some((_, region)) => match region.access {
                    Access::None => return DmaError::NoFd { addr: at },
                    Access::ReadOnly if write => return DmaError::ReadOnly { addr: at },
                    Access::ReadOnly | Access::ReadWrite => match region.last.checked_add(1) {
                        Some(after) => next = after,
                        None => break,
                    },
                },
            }
        }
        DmaError::Misaligned { addr }
    }
}

/// The guest's memory. Clones speak of the same memory.
///
/// Accesses hold a shared lock, mapping and unmapping an exclusive one: when
/// the hypervisor is told that memory is unmapped, no access to it is under
/// way any more.
#[derive(Debug, Clone, Default)]
pub struct Dma {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    map: RwLock<Map>,
    bus_master: AtomicBool,
}

impl Dma {
    /// A view of no memory at all, with bus mastering off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn read_map(&self) -> RwLockReadGuard<'_, Map> {
        let map = self.shared.map.read();
        map.unwrap_or_else(PoisonError::into_inner)
    }

    fn write_map(&self) -> RwLockWriteGuard<'_, Map> {
        let map = self.shared.map.write();
        map.unwrap_or_else(PoisonError::into_inner)
    }

    fn may_start(&self, addr: GuestAddr) -> Result<(), DmaError> {
        if self.shared.bus_master.load(Ordering::Acquire) {
            Ok(())
        } else {
            Err(DmaError::BusMasterOff { addr })
        }
    }

    /// Allows or forbids every access, as the command register says.
    pub fn set_bus_master(&self, allowed: bool) {
        self.shared.bus_master.store(allowed, Ordering::Release);
    }

    /// Writes bytes. They may cross from one region to the next.
    ///
    /// # Errors
    /// Names the first address that cannot be written; what lies before it may
    /// have been.
    pub fn write(&self, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        self.may_start(addr)?;
        let map = self.read_map();
        map.writable
            .write_slice(data, GuestAddress(addr.0))
            .map_err(|_| map.explain(addr, data.len(), true))
    }

    /// Reads bytes. They may cross from one region to the next.
    ///
    /// # Errors
    /// Names the first address that cannot be read.
    pub fn read(&self, addr: GuestAddr, data: &mut [u8]) -> Result<(), DmaError> {
        self.may_start(addr)?;
        let map = self.read_map();
        map.readable
            .read_slice(data, GuestAddress(addr.0))
            .map_err(|_| map.explain(addr, data.len(), false))
    }

    /// Stores a little-endian word in one piece, after everything written
    /// before it.
    ///
    /// # Errors
    /// When the word is not aligned or cannot be written.
    pub fn store_release(&self, addr: GuestAddr, word: u32) -> Result<(), DmaError> {
        self.may_start(addr)?;
        let map = self.read_map();
        map.writable
            .store(word.to_le(), GuestAddress(addr.0), Ordering::Release)
            .map_err(|_| map.explain(addr, size_of::<u32>(), true))
    }

    /// Whether all of a range can be written, bus mastering aside.
    ///
    /// # Errors
    /// Names the first address that cannot.
    pub fn check_writable(&self, addr: GuestAddr, len: usize) -> Result<(), DmaError> {
        let map = self.read_map();
        let inside = addr.0.checked_add(len as u64).is_some();
        if inside && GuestMemoryBackend::check_range(&map.writable, GuestAddress(addr.0), len) {
            Ok(())
        } else {
            Err(map.explain(addr, len, true))
        }
    }

    /// Makes `size` bytes at `offset` of a file appear at `addr`. Without a
    /// file the range is remembered, but cannot be accessed.
    ///
    /// # Errors
    /// When the range is impossible or taken, or the file does not hold it.
    pub fn map(
        &self,
        addr: GuestAddr,
        size: u64,
        file: Option<(File, u64)>,
        writable: bool,
    ) -> Result<(), MapError> {
        let bad_range = MapError::BadRange { addr, size };
        let last = match size.checked_sub(1).map(|less| addr.0.checked_add(less)) {
            Some(Some(last)) => last,
            _ => return Err(bad_range),
        };
        let memory = match file {
            Some((file, offset)) => Some(Arc::new(open(addr, size, file, offset, writable)?)),
            None => None,
        };
        let access = match (&memory, writable) {
            (None, _) => Access::None,
            (Some(_), true) => Access::ReadWrite,
            (Some(_), false) => Access::ReadOnly,
        };
        let mut map = self.write_map();
        if let Some((other, _)) = map.overlapping(addr.0, last) {
            let other = GuestAddr(other);
            return Err(MapError::Overlap { addr, size, other });
        }
        map.regions.insert(
            addr.0,
            Region {
                last,
                access,
                memory,
            },
        );
        map.rebuild();
        Ok(())
    }

    /// Removes every mapping in a range, of which there may be none.
    ///
    /// # Errors
    /// When the range would split a mapping; nothing is removed then.
    pub fn unmap(&self, addr: GuestAddr, size: u64) -> Result<(), MapError> {
        let Some(less) = size.checked_sub(1) else {
            return Err(MapError::BadRange { addr, size });
        };
        // A range up to the very end, or said to go beyond it, means the rest.
        let last = addr.0.saturating_add(less);
        let mut map = self.write_map();
        let splits = [map.overlapping(addr.0, addr.0), map.overlapping(last, last)];
        for (start, region) in splits.into_iter().flatten() {
            if start < addr.0 || region.last > last {
                let other = GuestAddr(start);
                return Err(MapError::Split { addr, size, other });
            }
        }
        map.regions
            .retain(|start, _| !(addr.0..=last).contains(start));
        map.rebuild();
        Ok(())
    }

    /// Removes every mapping and forbids every access: the hypervisor is gone.
    pub fn disconnect(&self) {
        self.set_bus_master(false);
        *self.write_map() = Map::default();
    }
}

fn open(
    addr: GuestAddr,
    size: u64,
    file: File,
    offset: u64,
    writable: bool,
) -> Result<GuestRegionMmap, MapError> {
    let failed = |reason: String| MapError::File {
        addr,
        offset,
        size,
        reason,
    };
    let len = usize::try_from(size).map_err(|error| failed(error.to_string()))?;
    // An access behind the end of the file would end this process (SIGBUS).
    let metadata = file.metadata().map_err(|error| failed(error.to_string()))?;
    let found = metadata.len();
    if metadata.is_file() && offset.checked_add(size).is_none_or(|end| end > found) {
        return Err(failed(format!("the file has {found:#x} bytes")));
    }
    let protection = if writable {
        libc_prot::READ | libc_prot::WRITE
    } else {
        libc_prot::READ
    };
    let mapping = MmapRegion::build(
        Some(FileOffset::new(file, offset)),
        len,
        protection,
        libc_prot::MAP_SHARED_NORESERVE,
    )
    .map_err(|error| failed(error.to_string()))?;
    GuestRegionMmap::new(mapping, GuestAddress(addr.0)).ok_or(MapError::BadRange { addr, size })
}

/// Flags of mmap(2), as vm-memory takes them.
mod libc_prot {
    use rustix::mm::{MapFlags, ProtFlags};

    pub const READ: i32 = ProtFlags::READ.bits() as i32;
    pub const WRITE: i32 = ProtFlags::WRITE.bits() as i32;
    pub const MAP_SHARED_NORESERVE: i32 =
        MapFlags::SHARED.bits() as i32 | MapFlags::NORESERVE.bits() as i32;
}

#[cfg(test)]
#[path = "dma_tests.rs"]
mod tests;
