// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's memory as a device sees it: the hypervisor maps it piece by
//! piece, each with the file it lies in, and takes pieces away again while
//! the device runs.

mod atomic;
mod error;
mod faulty;
mod map;
mod messages;
mod scatter;

use std::{
    fmt,
    fs::File,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

pub use atomic::Word;
pub use error::{DmaError, MapError};
pub use scatter::Segment;

pub(crate) use self::faulty::WeakDma;
use self::map::{Access, Map, Region, open};
use crate::{
    fault::{Faults, site},
    vfio_user::{DmaMessages, MAX_DMA_MAPS},
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

/// The guest's memory. Clones speak of the same memory.
///
/// Accesses hold a shared lock, mapping and unmapping an exclusive one: when
/// the hypervisor is told that memory is unmapped, no access to it is under
/// way any more. Memory that came without a file descriptor is reached by
/// messages to the hypervisor, with no lock held: it checks them itself.
#[derive(Debug, Clone, Default)]
pub struct Dma {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    map: RwLock<Map>,
    bus_master: AtomicBool,
    messages: RwLock<Option<Arc<DmaMessages>>>,
    faults: Faults,
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
        if self.shared.faults.has(site::REMOVED) {
            Err(DmaError::Removed { addr })
        } else if self.shared.bus_master.load(Ordering::Acquire) {
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
        if self.shared.faults.has(site::DMA) {
            return self.write_faulty(addr, data);
        }
        self.write_faultless(addr, data)
    }

    /// [`Dma::write`], whatever faults there are.
    pub(crate) fn write_faultless(&self, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        self.may_start(addr)?;
        let written = self
            .read_map()
            .writable
            .write_slice(data, GuestAddress(addr.0));
        written.or_else(|_| self.write_pieces(addr, data))
    }

    /// Reads bytes. They may cross from one region to the next.
    ///
    /// # Errors
    /// Names the first address that cannot be read.
    pub fn read(&self, addr: GuestAddr, data: &mut [u8]) -> Result<(), DmaError> {
        self.may_start(addr)?;
        let read = self
            .read_map()
            .readable
            .read_slice(data, GuestAddress(addr.0));
        read.or_else(|_| self.read_pieces(addr, data))
    }

    /// Whether all of a range can be written, bus mastering aside.
    ///
    /// # Errors
    /// Names the first address that cannot.
    pub fn check_writable(&self, addr: GuestAddr, len: usize) -> Result<(), DmaError> {
        self.check(addr, len, true)
    }

    /// Whether all of a range can be read, bus mastering aside.
    ///
    /// # Errors
    /// Names the first address that cannot.
    pub fn check_readable(&self, addr: GuestAddr, len: usize) -> Result<(), DmaError> {
        self.check(addr, len, false)
    }

    fn check(&self, addr: GuestAddr, len: usize, write: bool) -> Result<(), DmaError> {
        let map = self.read_map();
        let memory = if write { &map.writable } else { &map.readable };
        let inside = addr.0.checked_add(len as u64).is_some();
        if inside && GuestMemoryBackend::check_range(memory, GuestAddress(addr.0), len) {
            return Ok(());
        }
        map.examine(addr, len, write, self.messages().is_some())
    }

    /// Makes `size` bytes at `offset` of a file appear at `addr`. Without a
    /// file only messages reach them.
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
            Some((file, offset)) => {
                let shared = self.write_map().share(file);
                let file = shared.map_err(|error| MapError::File {
                    addr,
                    offset,
                    size,
                    reason: error.to_string(),
                })?;
                Some(Arc::new(open(addr, size, file, offset, writable)?))
            }
            None => None,
        };
        let access = if writable {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let mut map = self.write_map();
        if map.regions.len() as u64 >= MAX_DMA_MAPS {
            return Err(MapError::TooMany { addr });
        }
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

    /// Removes every mapping.
    pub fn unmap_all(&self) {
        *self.write_map() = Map::default();
    }

    /// Removes every mapping and forbids every access: the hypervisor is gone.
    pub fn disconnect(&self) {
        self.set_bus_master(false);
        self.set_messages(None);
        self.unmap_all();
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod word_tests;
