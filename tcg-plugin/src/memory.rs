// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that is shared with the harness, mapped for as long as QEMU runs.

use std::{
    fs::OpenOptions,
    io,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU8, AtomicU64},
};

use rustix::mm::{MapFlags, ProtFlags, mmap};

/// The memory, reached through atomics only: all who share it use these or system calls.
pub struct Memory {
    base: NonNull<u8>,
    size: u64,
}

// SAFETY: the memory belongs to nobody's thread, and is never unmapped.
unsafe impl Send for Memory {}
// SAFETY: as above, and it is reached through atomics only.
unsafe impl Sync for Memory {}

impl Memory {
    /// Maps a file that must be of this size, bytes.
    pub fn map(path: &str, size: u64) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != size {
            return Err(io::Error::other(format!("{path} is not of {size} bytes")));
        }
        // SAFETY: the kernel chooses the address.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                size as usize,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                0,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"));
        base.map(|base| Self { base, size })
    }

    /// The byte at an offset below the size.
    pub fn byte(&self, offset: u64) -> &AtomicU8 {
        debug_assert!(offset < self.size);
        // SAFETY: inside the mapping, which stays.
        unsafe { self.base.add(offset as usize).cast().as_ref() }
    }

    /// The word at an offset that is a multiple of 8, all of it inside.
    pub fn word(&self, offset: u64) -> &AtomicU64 {
        debug_assert!(offset + 8 <= self.size && offset.is_multiple_of(8));
        // SAFETY: inside the mapping, which stays and begins a page.
        unsafe { self.base.add(offset as usize).cast().as_ref() }
    }
}
