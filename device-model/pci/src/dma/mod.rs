// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's memory as a device sees it: the hypervisor maps it piece by
//! piece, each with the file it lies in, and takes pieces away again while
//! the device runs.

mod access;
mod atomic;
mod channel;
mod error;
mod hooked;
mod map;
mod scatter;

use std::{
    fs::File,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

pub use atomic::Word;
pub use error::{DmaError, MapError};
pub use scatter::Segment;

use self::map::{Access, Map, Memory, Region};
pub(crate) use self::{hooked::WeakDma, map::max_maps};
pub use crate::guest_access::{GuestAddr, Ticket};
use crate::{
    bus_hook::{HookRef, site},
    guest_access::{Channel, UnderWay},
    recorder::Recorder,
    vfio_user::DmaMessages,
};

/// The guest's memory. Clones speak of the same memory.
///
/// Accesses hold a shared lock, and whoever ends them an exclusive one: when the
/// hypervisor is told that memory is unmapped, or software that the function no
/// longer masters the bus or is reset, no access is under way any more, of no
/// thread. A long access lets others in every 64 KiB. An access that was under
/// way when accesses ended ends with [`DmaError::Aborted`], also where they are
/// allowed again by then; the next one is carried out, unless it is one of a
/// [channel](Dma::channel) that has ended.
///
/// Memory that came without a file descriptor is reached by messages to the
/// hypervisor. None is sent when the end is answered, but the hypervisor may be
/// about to carry out what was sent before.
#[derive(Debug, Clone, Default)]
pub struct Dma {
    shared: Arc<Shared>,
    channel: Option<Arc<Channel>>,
}

#[derive(Debug, Default)]
struct Shared {
    map: RwLock<Map>,
    hook: HookRef,
    recorder: Recorder,
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

    /// Where what the driver does wrong with this memory is recorded.
    #[must_use]
    pub fn recorder(&self) -> &Recorder {
        &self.shared.recorder
    }

    /// Records an access that is refused, unless somebody asked for that, by a fault or by
    /// ending what was under way.
    #[cold]
    fn note(&self, error: DmaError) -> DmaError {
        let asked_for = match error {
            DmaError::Refused { .. } | DmaError::Removed { .. } | DmaError::Aborted { .. } => true,
            // Before a hypervisor comes and after it left there is no driver to warn of.
            _ => self.read_map().regions.is_empty(),
        };
        if !asked_for {
            self.shared.recorder.warn(&error);
        }
        error
    }

    /// Writes bytes. They may cross from one region to the next.
    ///
    /// # Errors
    /// Names the first address that cannot be written; what lies before it may
    /// have been.
    pub fn write(&self, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        let written = if self.shared.hook.has(site::DMA) {
            self.write_hooked(addr, data)
        } else {
            self.write_pieces(UnderWay::default(), addr, data)
        };
        written.map_err(|error| self.note(error))
    }

    /// Reads bytes. They may cross from one region to the next.
    ///
    /// # Errors
    /// Names the first address that cannot be read.
    pub fn read(&self, addr: GuestAddr, data: &mut [u8]) -> Result<(), DmaError> {
        self.read_pieces(UnderWay::default(), addr, data)
            .map_err(|error| self.note(error))
    }

    /// Whether all of a range can be written, bus mastering aside.
    ///
    /// # Errors
    /// Names the first address that cannot.
    pub fn check_writable(&self, addr: GuestAddr, len: usize) -> Result<(), DmaError> {
        self.check(addr, len, Access::ReadWrite)
    }

    /// Whether all of a range can be read, bus mastering aside.
    ///
    /// # Errors
    /// Names the first address that cannot.
    pub fn check_readable(&self, addr: GuestAddr, len: usize) -> Result<(), DmaError> {
        self.check(addr, len, Access::ReadOnly)
    }

    fn check(&self, addr: GuestAddr, len: usize, access: Access) -> Result<(), DmaError> {
        self.read_map().check(addr, len, access)
    }

    /// By which messages memory without a file is reached from now on.
    pub(crate) fn set_messages(&self, messages: DmaMessages) {
        self.write_map().messages = Some(Arc::new(messages));
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
                Some(Memory::open(addr, size, file, offset, writable)?)
            }
            None => None,
        };
        let access = if writable {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        };
        let region = Region {
            last,
            access,
            memory,
        };
        self.write_map().insert(addr, region)
    }

    /// Removes every mapping in a range, of which there may be none.
    ///
    /// # Errors
    /// When the range would split a mapping; nothing is removed then.
    pub fn unmap(&self, addr: GuestAddr, size: u64) -> Result<(), MapError> {
        let removed = self.write_map().remove(addr, size);
        // The system takes the memory away when nobody waits for it.
        removed.map(drop)
    }

    /// Removes every mapping.
    pub fn unmap_all(&self) {
        let removed = std::mem::take(&mut self.write_map().regions);
        drop(removed);
    }

    /// Removes every mapping and ends every access: the hypervisor is gone.
    pub fn disconnect(&self) {
        let mut map = self.write_map();
        map.reset();
        map.messages = None;
        let removed = std::mem::take(&mut map.regions);
        drop(map);
        drop(removed);
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod word_tests;
