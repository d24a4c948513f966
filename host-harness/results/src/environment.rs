// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where a result was measured: everything that a person needs to judge it,
//! and a comparison to refuse it.

use serde::{Deserialize, Serialize};

use crate::units::thousands;

/// The machine, the guest's parts, and how the program was called. What could
/// not be found out is an empty text or 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Version of irqbed.
    pub irqbed: String,
    /// Moment of the gathering, RFC 3339 in UTC.
    pub date: String,
    /// The command line, word by word.
    pub command_line: Vec<String>,
    /// Version of QEMU as it names it.
    pub qemu: String,
    /// Release of the guest's kernel.
    pub guest_kernel: String,
    /// SHA-256 of its image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub guest_kernel_sha256: String,
    /// SHA-256 of the guest's initial file system, which holds driver and agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub initramfs_sha256: String,
    /// The compiler of the driver.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub driver_compiler: String,
    /// The compiler of the agent.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub agent_compiler: String,
    /// Accelerator that QEMU ran with, `tcg` or `kvm`.
    pub accelerator: String,
    /// Why that one.
    pub accelerator_reason: String,
    /// Model of the host's processor.
    pub cpu: String,
    /// Processors that may be used.
    pub cores: u32,
    /// Memory of the host, MiB.
    pub memory_mib: u64,
    /// Release of the host's kernel.
    pub host_kernel: String,
}

impl Environment {
    /// Where it was measured, each part under a label.
    #[must_use]
    pub fn parts(&self) -> [(&'static str, String); 4] {
        let or_unknown = |text: &'static str, value: &str| {
            if value.is_empty() {
                format!("{text} unknown")
            } else {
                format!("{text} {value}")
            }
        };
        let cores = match self.cores {
            1 => "1 core".to_owned(),
            cores => format!("{cores} cores"),
        };
        let guest = or_unknown("Linux", &self.guest_kernel);
        let qemu = or_unknown("QEMU", &self.qemu);
        let why = &self.accelerator_reason;
        let cpu = or_unknown("CPU", &self.cpu);
        let host = or_unknown("Linux", &self.host_kernel);
        let memory = thousands(self.memory_mib);
        [
            ("guest", format!("{guest} in {qemu}")),
            ("accelerator", format!("{} ({why})", self.accelerator)),
            ("host", format!("{cpu}, {cores}, {memory} MiB, {host}")),
            ("irqbed", format!("{}, {}", self.irqbed, self.date)),
        ]
    }
}
