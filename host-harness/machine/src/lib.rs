// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest: the parts it is made of, the QEMU that runs it, the lines by which it is asked, and
//! the session that all else is done in. Nothing here knows what is measured or tested.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod accel;
pub mod agent;
mod anonymous_file;
pub mod artefacts;
pub mod builtin;
pub mod console;
pub mod coverage_map;
pub mod device_process;
pub mod execution_log;
pub mod group;
pub mod guest_build;
pub mod host;
pub mod initramfs;
pub mod interrupt;
pub mod kernel_report;
pub mod kmod;
pub mod lines;
pub mod progress;
pub mod qemu;
pub mod qmp;
pub mod served;
pub mod session;
pub mod span;
