// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is mapped where: the regions by address, and views of them for the
//! fast path.

use std::{
    collections::BTreeMap,
    fs::File,
    os::unix::fs::MetadataExt,
    sync::{Arc, Weak},
};

use rustix::fs::{OFlags, fcntl_getfl};

use vm_memory::{FileOffset, GuestAddress, GuestRegionCollection, GuestRegionMmap, MmapRegion};

use super::{DmaError, GuestAddr, MapError};

type Memory = GuestRegionCollection<GuestRegionMmap>;

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
    pub memory: Option<Arc<GuestRegionMmap>>,
}

/// What is mapped. The two views hold the regions that can be read and those
/// that can be written as well, sorted for the fast path.
#[derive(Debug, Default)]
pub(super) struct Map {
    pub regions: BTreeMap<u64, Region>,
    pub readable: Memory,
    pub writable: Memory,
    /// The files behind the regions.
    files: Vec<(FileId, Weak<File>)>,
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

    /// Makes the views anew after the regions changed.
    pub fn rebuild(&mut self) {
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
        self.readable = view(|_| true);
        self.writable = view(|access| access == Access::ReadWrite);
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
    pub fn examine(
        &self,
        addr: GuestAddr,
        len: usize,
        write: bool,
        messages: bool,
    ) -> Result<(), DmaError> {
        let Some(end) = addr.0.checked_add(len as u64) else {
            return Err(DmaError::Overflow { addr, len });
        };
        let mut next = addr.0;
        while next < end {
            let addr = GuestAddr(next);
            let region = self.at(next).ok_or(DmaError::NotMapped { addr })?;
            if region.memory.is_none() && !messages {
                return Err(DmaError::NoFd { addr });
            }
            if region.access == Access::ReadOnly && write {
                return Err(DmaError::ReadOnly { addr });
            }
            match region.last.checked_add(1) {
                Some(after) => next = after,
                None => break,
            }
        }
        Ok(())
    }

    /// The region that an address lies in.
    pub fn at(&self, addr: u64) -> Option<&Region> {
        let (_, region) = self.regions.range(..=addr).next_back()?;
        (region.last >= addr).then_some(region)
    }
}

/// Maps a piece of a file.
pub(super) fn open(
    addr: GuestAddr,
    size: u64,
    file: Arc<File>,
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
        Some(FileOffset::from_arc(file, offset)),
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
