// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the host says of itself, and of a QEMU.

pub mod program;

use std::{fs, path::Path};

/// Version of a QEMU, e.g. `11.1.3 (Debian 1:11.1.3+ds-1)`.
///
/// # Errors
/// [`program::ProgramError`] when it cannot be run.
pub fn qemu_version(qemu: &Path) -> Result<String, program::ProgramError> {
    let text = program::output(qemu, &["--version"])?;
    let line = text.lines().next().unwrap_or_default();
    Ok(line
        .strip_prefix("QEMU emulator version ")
        .unwrap_or(line)
        .trim()
        .to_owned())
}

/// Processors this process may use, at least 1.
#[must_use]
pub fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

/// A file of the kernel's; empty where there is none.
#[must_use]
pub fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The value behind `key` and a colon in `/proc/cpuinfo`.
#[must_use]
pub fn cpu_field<'a>(cpuinfo: &'a str, key: &str) -> Option<&'a str> {
    cpuinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find_map(|(name, value)| (name.trim() == key).then_some(value.trim()))
}

/// A figure of `/proc/meminfo`, KiB.
#[must_use]
pub fn memory_kib(meminfo: &str, key: &str) -> Option<u64> {
    let value = cpu_field(meminfo, key)?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kib() {
        let meminfo = "MemTotal:        8041236 kB\nMemFree:   1 kB\n";
        assert_eq!(memory_kib(meminfo, "MemTotal"), Some(8_041_236));
        assert_eq!(memory_kib(meminfo, "MemAvailable"), None);
    }
}
