// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the driver answered, in one word.

/// An error as the C library names it.
pub fn name(error: &std::io::Error) -> String {
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
pub fn outcome<T>(result: std::io::Result<T>) -> String {
    result.map_or_else(|error| name(&error), |_| "ok".into())
}
