// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the guest's kernel says of itself: its functions, tasks, traces and log.

use alloc::{string::String, vec::Vec};

use serde::{Deserialize, Serialize};

/// A function of the kernel, as `/proc/kallsyms` knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Where it begins.
    pub address: u64,
    /// Its name.
    pub name: String,
    /// The module it belongs to, if it does.
    pub module: Option<String>,
}

/// A task of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its own id.
    pub pid: i32,
    /// Id of its process.
    pub tgid: i32,
    /// Id of its process's parent; 0 for none.
    pub ppid: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Arguments of its process, the program's name first; none of a thread of
    /// the kernel.
    pub arguments: Vec<String>,
}

/// What the kernel's trace of one processor holds, and what it lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedCpu {
    /// The processor.
    pub cpu: u32,
    /// Entries that are there.
    pub entries: u64,
    /// Entries that younger ones were written over.
    pub overwritten: u64,
    /// Entries that were never written.
    pub dropped: u64,
}

/// A trace of the kernel that was frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// One entry a processor.
    pub cpus: Vec<TracedCpu>,
    /// The tasks there are.
    pub tasks: Vec<Task>,
    /// Tracepoints that this kernel lacks.
    pub missing: Vec<String>,
}

/// A line of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMessage {
    /// Whether the kernel wrote it, and not a process.
    pub kernel: bool,
    /// Microseconds since the boot.
    pub time_us: u64,
    /// The line.
    pub text: String,
}
