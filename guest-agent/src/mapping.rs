// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory shared with somebody else: the instrument BAR with driver and host,
//! the figures of a listener with PID 1. All of it is handed out as atomics
//! only, since the other side may write at any time.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::AsFd,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64},
};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::sigbus;

/// A shared mapping from the start of a file.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
    guarded: bool,
}

// SAFETY: the mapping belongs to nobody's thread, and its memory is reached
// through atomics only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file for reading and writing, its pages
    /// in place before the first access.
    pub fn shared(file: impl AsFd, len: usize) -> io::Result<Self> {
        Self::map(file, 0, len, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// Maps `len` bytes at an offset, a multiple of the page size, for reading
    /// and writing.
    pub fn at(file: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        Self::map(file, offset, len, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// Maps `len` bytes at an offset, a multiple of the page size. Whatever
    /// [`Mapping::word64`] hands out may be read, but not written.
    pub fn read_only(file: impl AsFd, offset: u64, len: usize) -> io::Result<Self> {
        Self::map(file, offset, len, ProtFlags::READ)
    }

    fn map(file: impl AsFd, offset: u64, len: usize, access: ProtFlags) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so no memory of ours is
        // replaced.
        let base = unsafe {
            mmap(
                ptr::null_mut(),
                len,
                access,
                MapFlags::SHARED | MapFlags::POPULATE,
                file,
                offset,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            base,
            len,
            guarded: false,
        })
    }

    /// The same memory, which may be taken from us: it is all zeros then.
    pub fn guarded(mut self) -> io::Result<Self> {
        sigbus::guard(self.as_ptr(), self.len)?;
        self.guarded = true;
        Ok(self)
    }

    /// Where it lies, for a system call that hands the memory to a device.
    pub fn as_ptr(&self) -> *mut u8 {
        self.base.as_ptr()
    }

    /// Its length, bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Where `size` bytes at `offset` lie, if they are inside and aligned.
    #[inline(always)]
    fn place(&self, offset: usize, size: usize) -> Option<NonNull<u8>> {
        let fits = offset.checked_add(size)? <= self.len && offset.is_multiple_of(size);
        // SAFETY: the offset is inside of the mapping.
        fits.then(|| unsafe { self.base.add(offset) })
    }

    /// Copies bytes out; false when they are not all inside. What somebody
    /// writes meanwhile arrives torn: the caller knows by an index that nobody
    /// does.
    #[inline(always)]
    pub fn copy_to(&self, offset: usize, to: &mut [u8]) -> bool {
        if offset
            .checked_add(to.len())
            .is_none_or(|end| end > self.len)
        {
            return false;
        }
        // SAFETY: the bytes are inside of the mapping, which is alive and is
        // not the caller's slice, since nobody has a reference into it but to
        // atomics.
        unsafe {
            let from = self.base.add(offset).as_ptr();
            ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len());
        }
        true
    }

    /// The 64-bit word at an offset in bytes; `None` outside or misaligned.
    #[inline(always)]
    pub fn word64(&self, offset: usize) -> Option<&AtomicU64> {
        let place = self.place(offset, size_of::<u64>())?;
        // SAFETY: eight bytes of the mapping, aligned (the mapping is to its
        // pages), alive as long as `self`, and only ever used as an atomic.
        Some(unsafe { AtomicU64::from_ptr(place.cast().as_ptr()) })
    }

    /// The 32-bit word at an offset in bytes; `None` outside or misaligned.
    #[inline(always)]
    pub fn word32(&self, offset: usize) -> Option<&AtomicU32> {
        let place = self.place(offset, size_of::<u32>())?;
        // SAFETY: as in `word64`, with four bytes.
        Some(unsafe { AtomicU32::from_ptr(place.cast().as_ptr()) })
    }

    /// The 16-bit word at an offset in bytes; `None` outside or misaligned.
    pub fn word16(&self, offset: usize) -> Option<&AtomicU16> {
        let place = self.place(offset, size_of::<u16>())?;
        // SAFETY: as in `word64`, with two bytes.
        Some(unsafe { AtomicU16::from_ptr(place.cast().as_ptr()) })
    }

    /// The byte at an offset; `None` outside.
    pub fn byte(&self, offset: usize) -> Option<&AtomicU8> {
        let place = self.place(offset, size_of::<u8>())?;
        // SAFETY: as in `word64`, with one byte.
        Some(unsafe { AtomicU8::from_ptr(place.as_ptr()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        if self.guarded {
            sigbus::release(self.as_ptr());
        }
        // SAFETY: this is the mapping made in `shared`, and every reference
        // into it borrowed `self`. It cannot fail for a mapping that exists.
        let _ = unsafe { munmap(self.base.cast().as_ptr(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn what_one_mapping_writes_the_other_reads() {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, 4096).expect("a page");
        let one = Mapping::shared(&file, 4096).expect("a mapping");
        let other = Mapping::shared(&file, 4096).expect("a mapping");
        one.word64(4088)
            .expect("the last word")
            .store(7, Ordering::Relaxed);
        assert_eq!(
            other
                .word64(4088)
                .expect("the last word")
                .load(Ordering::Relaxed),
            7
        );
        assert_eq!(
            other
                .word32(4088)
                .expect("its lower half")
                .load(Ordering::Relaxed),
            7
        );
    }

    #[test]
    fn nothing_outside_or_misaligned_is_handed_out() {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, 4096).expect("a page");
        let mapping = Mapping::shared(&file, 4096).expect("a mapping");
        for offset in [4, 4092, 4096, usize::MAX] {
            assert!(mapping.word64(offset).is_none(), "{offset}");
        }
        assert!(mapping.word32(4094).is_none());
    }

    #[test]
    fn memory_that_is_taken_from_us_turns_into_zeros() {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, 8192).expect("two pages");
        for _ in 0..20 {
            let mapping = Mapping::shared(&file, 8192).expect("a mapping");
            let mapping = mapping.guarded().expect("room for it");
            let word = mapping.word64(4096).expect("a word");
            word.store(7, Ordering::Relaxed);
            assert_eq!(word.load(Ordering::Relaxed), 7);
            ftruncate(&file, 0).expect("it is taken");
            assert_eq!(word.load(Ordering::Relaxed), 0);
            word.store(8, Ordering::Relaxed);
            assert_eq!(
                mapping.word64(0).expect("a word").load(Ordering::Relaxed),
                0
            );
            ftruncate(&file, 8192).expect("two pages");
        }
    }
}
