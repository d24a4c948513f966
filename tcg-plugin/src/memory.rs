// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory that is shared with the harness, mapped for as long as QEMU runs.

use std::{
    fs::OpenOptions,
    io,
    ptr::{self, NonNull},
};

use rustix::mm::{MapFlags, ProtFlags, mmap};

/// Maps a file that must be of this size, bytes.
pub fn map(path: &str, size: u64) -> io::Result<NonNull<u8>> {
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
    NonNull::new(base.cast()).ok_or_else(|| io::Error::other("mapped at address 0"))
}
