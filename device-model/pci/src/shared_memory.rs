// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that a device and its guest both have mapped, as the file behind a
//! mapped BAR. Everything in it may change at any moment by the guest's hand,
//! so every access is one atomic load or store.

use std::{
    fs::File,
    io,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering},
    },
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

/// Memory shared with the guest, little-endian. Clones are the same memory.
///
/// Offsets that are misaligned or behind the end load 0 and store nothing:
/// a device's own mistake, not one the guest can provoke.
///
/// # Example
/// ```
/// use std::sync::atomic::Ordering;
/// use irqbed_pci::SharedMemory;
/// let memory = SharedMemory::new("statistics", 4096)?;
/// memory.store_u32(8, 42, Ordering::Release);
/// assert_eq!(memory.load_u32(8, Ordering::Acquire), 42);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct SharedMemory {
    file: Arc<File>,
    memory: Arc<MmapRegion>,
}

impl SharedMemory {
    /// New memory of `size` bytes, all zero; `name` is for `/proc`.
    ///
    /// # Errors
    /// When the system has none, or `size` is 0.
    pub fn new(name: &str, size: u64) -> io::Result<Self> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = memfd_create(name, flags)?;
        ftruncate(&file, size)?;
        // Whoever is sent the file could shorten it, and so end this process
        // at its next access.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let file = Arc::new(File::from(file));
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let whole = FileOffset::from_arc(Arc::clone(&file), 0);
        let memory = MmapRegion::from_file(whole, size).map_err(io::Error::other)?;
        let memory = Arc::new(memory);
        Ok(Self { file, memory })
    }

    /// The file, for [`crate::Bar::mapped`].
    #[must_use]
    pub fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Loads the 4 bytes at an offset.
    #[must_use]
    pub fn load_u32(&self, offset: usize, order: Ordering) -> u32 {
        let word = self.memory.get_atomic_ref::<AtomicU32>(offset);
        word.map_or(0, |word| u32::from_le(word.load(order)))
    }

    /// Stores the 4 bytes at an offset.
    pub fn store_u32(&self, offset: usize, value: u32, order: Ordering) {
        if let Ok(word) = self.memory.get_atomic_ref::<AtomicU32>(offset) {
            word.store(value.to_le(), order);
        }
    }

    /// Loads the 8 bytes at an offset.
    #[must_use]
    pub fn load_u64(&self, offset: usize, order: Ordering) -> u64 {
        let word = self.memory.get_atomic_ref::<AtomicU64>(offset);
        word.map_or(0, |word| u64::from_le(word.load(order)))
    }

    /// Stores the 8 bytes at an offset.
    pub fn store_u64(&self, offset: usize, value: u64, order: Ordering) {
        if let Ok(word) = self.memory.get_atomic_ref::<AtomicU64>(offset) {
            word.store(value.to_le(), order);
        }
    }

    /// Fills all of it, byte by byte.
    pub fn fill(&self, byte: u8) {
        let all = self.memory.as_volatile_slice();
        for offset in 0..all.len() {
            self.store(offset, 1, byte.into());
        }
    }

    /// Stores the lowest `width` bytes of a value, 1, 2, 4 or 8, in one piece,
    /// after everything stored before.
    pub(crate) fn store(&self, offset: usize, width: u32, value: u64) {
        let order = Ordering::Release;
        match width {
            1 => {
                if let Ok(byte) = self.memory.get_atomic_ref::<AtomicU8>(offset) {
                    byte.store(value as u8, order);
                }
            }
            2 => {
                if let Ok(word) = self.memory.get_atomic_ref::<AtomicU16>(offset) {
                    word.store((value as u16).to_le(), order);
                }
            }
            4 => self.store_u32(offset, value as u32, order),
            _ => self.store_u64(offset, value, order),
        }
    }
}
