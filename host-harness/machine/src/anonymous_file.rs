// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Memory without a name in any folder, for QEMU to inherit.

use std::{fs::File, io};

use rustix::fs::{MemfdFlags, memfd_create};

/// A file of so many zeroes, under a name that `/proc` shows.
///
/// # Errors
/// When there is no memory or descriptor left.
pub fn create(name: &str, size: u64) -> io::Result<File> {
    let file = File::from(memfd_create(name, MemfdFlags::CLOEXEC)?);
    file.set_len(size)?;
    Ok(file)
}
