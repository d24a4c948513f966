// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The threads of a running QEMU, told apart by the names it gives them.

use std::{fs, io};

use rustix::process::Pid;

/// What a thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It is the guest's processor of that number, or all of them.
    Processor(u32),
    /// The main loop, or a helper.
    Other,
}

/// The threads there are now: they come and go.
///
/// # Errors
/// When QEMU is gone, or names no thread as a processor.
pub fn threads(qemu: u32) -> io::Result<Vec<(Pid, Role)>> {
    let mut threads = Vec::new();
    for task in fs::read_dir(format!("/proc/{qemu}/task"))? {
        let task = task?;
        let id = task.file_name().to_str().and_then(|name| name.parse().ok());
        // One that is gone by now has no name.
        let name = fs::read_to_string(task.path().join("comm")).ok();
        if let (Some(id), Some(name)) = (id.and_then(Pid::from_raw), name) {
            threads.push((id, role(name.trim_end())));
        }
    }
    let is_processor = |(_, role): &(Pid, Role)| matches!(role, Role::Processor(_));
    if threads.iter().any(is_processor) {
        Ok(threads)
    } else {
        Err(io::Error::new(
            io::ErrorKind::NotFound,
            "QEMU has no thread named as a processor",
        ))
    }
}

/// `CPU 0/TCG`, or `ALL CPUs/TCG` where one thread is all of them.
fn role(name: &str) -> Role {
    let processor = name
        .strip_suffix("/TCG")
        .or_else(|| name.strip_suffix("/KVM"));
    match processor.map(|processor| processor.strip_prefix("CPU ")) {
        Some(Some(number)) => number.parse().map_or(Role::Other, Role::Processor),
        Some(None) => Role::Processor(0),
        None => Role::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_known_by_its_name() {
        assert_eq!(role("CPU 3/TCG"), Role::Processor(3));
        assert_eq!(role("CPU 0/KVM"), Role::Processor(0));
        assert_eq!(role("ALL CPUs/TCG"), Role::Processor(0));
        assert_eq!(role("IO vfio-user"), Role::Other);
        assert_eq!(role("CPU x/TCG"), Role::Other);
    }

    #[test]
    fn a_process_without_processors_is_no_guest() {
        let error = threads(std::process::id()).expect_err("this is no QEMU");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
