// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that a device or the host may change at any time, and the clock: what
//! cannot be had without `unsafe`.

#![allow(unsafe_code)]

use std::{
    arch::x86_64::{_mm_lfence, _rdtsc},
    io,
    os::fd::AsFd,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64},
};

use rustix::mm::{MapFlags, ProtFlags, mmap};

/// The length of every mapping here, bytes.
pub const PAGE: usize = 4096;

/// A page that stays mapped to the end of the process.
#[derive(Debug, Clone, Copy)]
pub struct Page(NonNull<u8>);

impl Page {
    /// Maps a page of a file.
    pub fn of(file: impl AsFd, offset: u64) -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so no memory of ours is
        // replaced.
        let page = unsafe {
            mmap(
                ptr::null_mut(),
                PAGE,
                access,
                MapFlags::SHARED,
                file,
                offset,
            )?
        };
        Self::at(page.cast())
    }

    fn at(page: *mut u8) -> io::Result<Self> {
        let page = NonNull::new(page).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self(page))
    }

    /// The 32-bit word at an offset in bytes; the one at 0 where it is not all
    /// inside or misaligned.
    pub fn word32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: four bytes of the page, aligned, which is never unmapped and
        // used by atomics alone.
        unsafe { AtomicU32::from_ptr(self.place(offset, size_of::<u32>()).cast().as_ptr()) }
    }

    /// The same with 64 bits.
    pub fn word64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as in `word32`, with eight bytes.
        unsafe { AtomicU64::from_ptr(self.place(offset, size_of::<u64>()).cast().as_ptr()) }
    }

    fn place(&self, offset: usize, size: usize) -> NonNull<u8> {
        let fits = offset <= PAGE - size && offset.is_multiple_of(size);
        debug_assert!(fits, "no word of {size} bytes is at {offset}");
        // SAFETY: the offset is inside of the page.
        unsafe { self.0.add(if fits { offset } else { 0 }) }
    }
}

/// Reads the time stamp counter after everything before it in program order was
/// done.
#[inline(always)]
pub fn now() -> u64 {
    // SAFETY: both instructions exist on every x86-64 processor, and the kernel
    // leaves `rdtsc` open to processes.
    unsafe {
        _mm_lfence();
        _rdtsc()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn words_lie_where_they_should() {
        let file = rustix::fs::memfd_create("page", rustix::fs::MemfdFlags::CLOEXEC);
        let file = file.expect("a file");
        rustix::fs::ftruncate(&file, PAGE as u64).expect("a page");
        let page = Page::of(&file, 0).expect("a mapping");
        page.word64(PAGE - 8).store(1 << 32, Ordering::Relaxed);
        assert_eq!(page.word32(PAGE - 4).load(Ordering::Relaxed), 1);
        assert_eq!(page.word32(0).load(Ordering::Relaxed), 0);
    }
}
