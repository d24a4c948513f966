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

/// A process of a program, and what it does in the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its id.
    pub pid: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Its state, as `/proc/PID/stat` has it: `S` and `D` sleep, and `D` takes no signal.
    pub state: String,
    /// Where it sleeps, as `/proc/PID/wchan` has it; empty where it does not.
    pub sleeps_in: String,
    /// The functions of the kernel that it is in, innermost first, as
    /// `/proc/PID/stack` has them; empty where it runs.
    pub stack: Vec<String>,
}

/// An interrupt of the kernel that handlers were asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptLine {
    /// Its number.
    pub irq: u32,
    /// The names of its handlers, as `/sys/kernel/irq/N/actions` has them.
    pub actions: String,
    /// Its controller, such as `IO-APIC` or `PCI-MSI-0000:00:01.0`.
    pub chip: String,
    /// How often it came.
    pub count: u64,
    /// How often no handler said that it was its own, at the least: the kernel counts
    /// those that follow each other within 0.1 s (`/proc/irq/N/spurious`).
    pub unhandled: u64,
}

/// A function on a PCI bus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciFunction {
    /// Its place, `0000:00:01.0`.
    pub place: String,
    /// What drivers are matched by, `pci:v00001BEDd...`.
    pub modalias: String,
    /// Whether a driver has it, or had it at one of the looks since it came.
    pub was_bound: bool,
}

/// What drivers did with interrupts and devices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// Interrupts that handlers were seen for, also when they are gone by now.
    pub interrupts: Vec<InterruptLine>,
    /// The PCI functions there are.
    pub functions: Vec<PciFunction>,
}
