// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line of the guest's kernel.

use super::{ClockKind, ConsoleTo, Machine};

/// Parts of a stock kernel that take long to set up and that the guest never
/// uses: a random number generator that tests itself, certificates for
/// signed modules, congestion control in BPF.
const UNUSED_INITCALLS: [&str; 4] = [
    "jent_mod_init",
    "load_system_certificate_list",
    "bpf_tcp_ca_kfunc_init",
    "bpf_dummy_struct_ops_init",
];

/// Kernel parameters that make the same path take the same number of
/// instructions: without the first, leaving the idle loop sometimes starts
/// the tick again; without the second, a buffer may lie on the first page of a
/// slab or on another, and two checks take an instruction more.
pub const STEADY: [&str; 2] = ["nohz=off", "slab_max_order=0"];

impl Machine {
    pub(super) fn kernel_command_line(&self, console: ConsoleTo) -> String {
        let mode = match console {
            ConsoleTo::Kept => "control",
            ConsoleTo::Terminal => "shell",
        };
        let mut words = vec![
            "console=ttyS0".to_owned(),
            "quiet".to_owned(),
            // A guest that panics ends QEMU, which is how we learn of it.
            "panic=-1".to_owned(),
            // The clock is the TSC, and nobody need watch it.
            "tsc=reliable".to_owned(),
            "nowatchdog".to_owned(),
            // The kernel would try whether its timer interrupts, and on a host
            // that is too busy find that it does not, and panic or do without
            // the interrupt controller.
            "no_timer_check".to_owned(),
            // The kernel would test its cryptography, for the first second
            // after the boot too, between our events.
            "cryptomgr.notests".to_owned(),
            format!("initcall_blacklist={}", UNUSED_INITCALLS.join(",")),
            format!("irqbed.mode={mode}"),
        ];
        if self.iommu {
            words.push("intel_iommu=on".to_owned());
        }
        if self.clock == ClockKind::Instructions {
            words.extend(STEADY.map(str::to_owned));
        }
        words.extend(self.kernel_parameters.iter().cloned());
        words.join(" ")
    }
}
