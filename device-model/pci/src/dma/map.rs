// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is mapped where: the regions by address, and whether the function may
//! reach them.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::fs::{OFlags, fcntl_getfl};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory, VolatileSlice};

use super::{DmaError, GuestAddr, MapError};
use crate::vfio_user::{DmaMessages, MAX_DMA_MAPS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

#[derive(Debug)]
pub(super) struct Region {
    pub last: u64,
    pub access: Access,
    /// `None` where only messages reach it.
    pub memory: Option<Memory>,
}

/// What is mapped, and what may be done with it.
#[derive(Debug, Default)]
pub(super) struct Map {
    /// By their first address.
    pub regions: BTreeMap<u64, Region>,
    /// The files behind the regions.
    files: Vec<(FileId, Weak<File>)>,
    /// By which memory without a file is reached.
    pub messages: Option<Arc<DmaMessages>>,
    /// Whether accesses are allowed.
    pub bus_master: bool,
    /// How often the accesses under way were ended.
    pub ends: u64,
    /// How often the function was reset, which ends channels, too.
    pub resets: u64,
}

/// A file by what it is and may be used for, not by its descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
    mode: OFlags,
}

impl FileId {
    fn of(file: &File) -> std::io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            mode: fcntl_getfl(file)? & OFlags::RWMODE,
        })
    }
}

impl Map {
    /// The same file, open once. The hypervisor sends it anew with each piece of
    /// memory, and a guest with an IOMMU has its memory mapped page by page:
    /// descriptors would run out.
    pub fn share(&mut self, file: File) -> std::io::Result<Arc<File>> {
        let id = FileId::of(&file)?;
        self.files.retain(|(_, file)| file.strong_count() > 0);
        let known = self.files.iter().find(|(known, _)| *known == id);
        if let Some(known) = known.and_then(|(_, file)| file.upgrade()) {
            return Ok(known);
        }
        let file = Arc::new(file);
        self.files.push((id, Arc::downgrade(&file)));
        Ok(file)
    }

    /// Every access and channel ends, and accesses are forbidden.
    pub fn reset(&mut self) {
        self.bus_master = false;
        self.ends += 1;
        self.resets += 1;
    }

    /// Adds a region, where nothing is.
    pub fn insert(&mut self, addr: GuestAddr, region: Region) -> Result<(), MapError> {
        if self.regions.len() as u64 >= MAX_DMA_MAPS {
            return Err(MapError::TooMany { addr });
        }
        if let Some((other, _)) = self.overlapping(addr.0, region.last) {
            return Err(MapError::Overlap {
                addr,
                size: (region.last - addr.0).saturating_add(1),
                other: GuestAddr(other),
            });
        }
        self.regions.insert(addr.0, region);
        Ok(())
    }

    /// Takes the regions of a range, unless it would split one.
    pub fn remove(&mut self, addr: GuestAddr, size: u64) -> Result<Vec<Region>, MapError> {
        let Some(less) = size.checked_sub(1) else {
            return Err(MapError::BadRange { addr, size });
        };
        // A range up to the very end, or said to go beyond it, means the rest.
        let last = addr.0.saturating_add(less);
        let ends = [addr.0, last].map(|at| self.at(at));
        for (start, region) in ends.into_iter().flatten() {
            if start < addr.0 || region.last > last {
                let other = GuestAddr(start);
                return Err(MapError::Split { addr, size, other });
            }
        }
        let mut removed = Vec::new();
        while let Some((&start, _)) = self.regions.range(addr.0..=last).next() {
            removed.extend(self.regions.remove(&start));
        }
        Ok(removed)
    }

    /// A region that shares an address with the range, if there is one.
    pub fn overlapping(&self, first: u64, last: u64) -> Option<(u64, &Region)> {
        let (start, region) = self.regions.range(..=last).next_back()?;
        (region.last >= first).then_some((*start, region))
    }

    /// Whether a range can be accessed, by messages too if there are some.
    ///
    /// # Errors
    /// The first address that is in the way.
    pub fn check(&self, addr: GuestAddr, len: usize, access: Access) -> Result<(), DmaError> {
        let Some(end) = addr.0.checked_add(len as u64) else {
            return Err(DmaError::Overflow { addr, len });
        };
        let mut next = addr.0;
        while next < end {
            let addr = GuestAddr(next);
            let (_, region) = self.at(next).ok_or(DmaError::NotMapped { addr })?;
            if region.memory.is_none() && self.messages.is_none() {
                return Err(DmaError::NoFd { addr });
            }
            if region.access == Access::ReadOnly && access == Access::ReadWrite {
                return Err(DmaError::ReadOnly { addr });
            }
            match region.last.checked_add(1) {
                Some(after) => next = after,
                None => break,
            }
        }
        Ok(())
    }

    /// The region that an address lies in, and where it begins.
    pub fn at(&self, addr: u64) -> Option<(u64, &Region)> {
        self.overlapping(addr, addr)
    }
}

/// Pieces of files that this process has mapped, of all its devices.
static MAPPED: AtomicU64 = AtomicU64::new(0);

/// Mappings that are left to the rest of the process: the system's limit is for
/// all of it.
const RESERVE: u64 = 8192;

/// Most pieces of files that this process maps: below `vm.max_map_count`, or its
/// next allocation would fail.
fn most_mapped() -> u64 {
    static MOST: OnceLock<u64> = OnceLock::new();
    *MOST.get_or_init(|| {
        let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let limit = limit.ok().and_then(|text| text.trim().parse().ok());
        // The default of Linux.
        let limit = limit.unwrap_or(65_530_u64);
        limit.saturating_sub(RESERVE).max(limit / 2)
    })
}

/// Most pieces of memory that can be mapped at a time, of whichever kind.
pub(crate) fn max_maps() -> u64 {
    MAX_DMA_MAPS.min(most_mapped())
}

/// A place among the pieces that are mapped.
#[derive(Debug)]
struct Place;

impl Place {
    fn take() -> Option<Self> {
        if MAPPED.fetch_add(1, Ordering::Relaxed) < most_mapped() {
            return Some(Self);
        }
        MAPPED.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        MAPPED.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A piece of a file, mapped.
#[derive(Debug)]
pub(super) struct Memory {
    region: MmapRegion,
    _place: Place,
}

impl Memory {
    /// Maps `size` bytes at `offset` of a file, to be seen at `addr`.
    pub fn open(
        addr: GuestAddr,
        size: u64,
        file: Arc<File>,
        offset: u64,
        writable: bool,
    ) -> Result<Self, MapError> {
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
        let place = Place::take().ok_or(MapError::TooMany { addr })?;
        let protection = if writable {
            libc_prot::READ | libc_prot::WRITE
        } else {
            libc_prot::READ
        };
        MmapRegion::build(
            Some(FileOffset::from_arc(file, offset)),
            len,
            protection,
            libc_prot::MAP_SHARED_NORESERVE,
        )
        .map(|region| Self {
            region,
            _place: place,
        })
        .map_err(|error| failed(error.to_string()))
    }

    /// A part of it.
    pub fn slice(&self, offset: u64, len: usize) -> Option<VolatileSlice<'_>> {
        let offset = usize::try_from(offset).ok()?;
        self.region.get_slice(offset, len).ok()
    }
}

/// Flags of mmap(2), as vm-memory takes them.
mod libc_prot {
    use rustix::mm::{MapFlags, ProtFlags};

    pub const READ: i32 = ProtFlags::READ.bits() as i32;
    pub const WRITE: i32 = ProtFlags::WRITE.bits() as i32;
    pub const MAP_SHARED_NORESERVE: i32 =
        MapFlags::SHARED.bits() as i32 | MapFlags::NORESERVE.bits() as i32;
}
