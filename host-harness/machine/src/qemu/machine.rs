// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The machine that QEMU is to be.

use std::time::Duration;

use crate::accel::Accelerator;

/// What the guest's time stamp counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClockKind {
    /// Host cycles.
    Wall,
    /// Executed guest instructions (`-icount shift=0`).
    Instructions,
}

/// The machine to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Accelerator.
    pub accelerator: Accelerator,
    /// What the guest's clock counts; instructions need TCG.
    pub clock: ClockKind,
    /// Virtual processors, at least 1.
    pub vcpus: u32,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Whether an IOMMU stands between the devices and the memory, by which
    /// the guest can give a device to a process.
    pub iommu: bool,
    /// Ports for devices that are plugged in while the guest runs, 0 to 14. Where
    /// there are some QEMU takes commands, and where there are none it is the same
    /// machine as ever.
    pub ports: u32,
    /// Room for the BARs of what is plugged into a port, of each kind, MiB.
    pub port_window_mib: u32,
    /// Whether the guest can be suspended to RAM and woken. Then QEMU takes commands,
    /// and the kernel boots from its bzImage ([`Artefacts::that_resumes`]).
    ///
    /// [`Artefacts::that_resumes`]: crate::artefacts::Artefacts::that_resumes
    pub suspends_to_ram: bool,
    /// Put behind our own kernel parameters.
    pub kernel_parameters: Vec<String>,
    /// How long the thread of a device of ours spins for QEMU's next message
    /// before it sleeps; zero for not at all.
    pub poll: Duration,
}

impl Machine {
    /// Room for the event device, whose largest BAR has 4 MiB, and for others as large.
    pub const PORT_WINDOW_MIB: u32 = 32;

    /// A machine of one processor and 256 MiB, without an IOMMU.
    #[must_use]
    pub const fn new(accelerator: Accelerator, clock: ClockKind) -> Self {
        Self {
            accelerator,
            clock,
            vcpus: 1,
            memory_mib: 256,
            iommu: false,
            ports: 0,
            port_window_mib: Self::PORT_WINDOW_MIB,
            suspends_to_ram: false,
            kernel_parameters: Vec::new(),
            poll: Duration::ZERO,
        }
    }

    /// Whether QEMU takes commands.
    pub(super) const fn takes_commands(&self) -> bool {
        self.ports > 0 || self.suspends_to_ram
    }

    /// How our devices are served to it.
    #[must_use]
    pub fn options(&self) -> device_model::Options {
        device_model::Options::default().polling(self.poll)
    }
}
