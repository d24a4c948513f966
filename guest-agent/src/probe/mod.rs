// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tries the entrances of the driver as a process may that means no good, and
//! says on standard output what the driver answers, one line for each. A test
//! of the harness runs it and knows what is right.

mod calls;
mod flush;
mod mappings;
mod memory;

use anyhow::{Result, bail};

/// First argument of such a process.
pub const ROLE: &str = "probe";

/// Tries the entrances of one kind.
pub fn main(kind: Option<&str>) -> Result<()> {
    match kind {
        Some("calls") => calls::main(),
        Some("flush") => flush::main(),
        Some("mappings") => mappings::main(),
        _ => bail!("probe calls, flush or mappings"),
    }
}

/// An error as the C library names it.
fn name(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EACCES) => "EACCES".into(),
        Some(libc::EAGAIN) => "EAGAIN".into(),
        Some(libc::EBADF) => "EBADF".into(),
        Some(libc::EBUSY) => "EBUSY".into(),
        Some(libc::EFAULT) => "EFAULT".into(),
        Some(libc::EINVAL) => "EINVAL".into(),
        Some(libc::ENODEV) => "ENODEV".into(),
        Some(libc::ENOTTY) => "ENOTTY".into(),
        Some(libc::EOPNOTSUPP) => "EOPNOTSUPP".into(),
        _ => error.to_string(),
    }
}

/// What became of a call, in one word.
fn outcome<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|error| name(&error), |_| "ok".into())
}
