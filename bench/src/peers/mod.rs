// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device beside what else there is: QEMU's `ivshmem-doorbell`, which
//! another process interrupts by an eventfd as well, its `edu`, which lies in
//! QEMU itself, a timer of the guest, and an interrupt on KVM with nothing around
//! it. All in one guest, in blocks that take turns, so that whatever the machine
//! does besides hits all of them.

mod report;
mod turns;

pub use irqbed_results::ratio::{Interval, Quantile, Ratio, Rounds};
pub use report::Report;
pub use turns::{Measured, Plan, measure};

/// What is measured, each once a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Ours to its handler, which signals an eventfd.
    OursIsr,
    /// The same, to the process that reads that eventfd.
    OursEventfd,
    /// Ours to a process, by blocking `read` of the driver's file.
    OursRead,
    /// Ours to a process, by netlink.
    OursNetlink,
    /// `ivshmem-doorbell` to its handler, which signals an eventfd.
    IvshmemIsr,
    /// The same, to the process that reads that eventfd.
    IvshmemEventfd,
    /// `ivshmem-doorbell` to a process, by blocking `read` of the driver's file.
    IvshmemRead,
    /// `edu` to its handler, from the write to its register.
    EduRaiseIsr,
    /// `edu` to its handler, by its own thread.
    EduFactorialIsr,
    /// The same, to the process that reads the eventfd.
    EduFactorialEventfd,
    /// A timer of the guest to a process that sleeps.
    Timer,
    /// An irqfd to a handler on KVM, and back.
    KvmFloor,
    /// An access to a word by a process in the guest.
    TrappedRead,
    /// As above.
    TrappedWrite,
    /// As above.
    MappedRead,
    /// As above.
    EduRead,
    /// As above.
    EduWrite,
    /// As above.
    IvshmemMemoryRead,
    /// As above.
    RamRead,
}

impl Subject {
    /// Every subject, in the order of the table.
    pub const ALL: [Self; 19] = [
        Self::OursIsr,
        Self::IvshmemIsr,
        Self::EduRaiseIsr,
        Self::EduFactorialIsr,
        Self::KvmFloor,
        Self::OursEventfd,
        Self::OursRead,
        Self::OursNetlink,
        Self::IvshmemEventfd,
        Self::IvshmemRead,
        Self::EduFactorialEventfd,
        Self::Timer,
        Self::TrappedRead,
        Self::EduRead,
        Self::TrappedWrite,
        Self::EduWrite,
        Self::MappedRead,
        Self::IvshmemMemoryRead,
        Self::RamRead,
    ];

    /// What it is, in a table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::OursIsr => "irqbed, device to handler",
            Self::OursEventfd => "irqbed, device to process, eventfd",
            Self::OursRead => "irqbed, device to process, read",
            Self::OursNetlink => "irqbed, device to process, netlink",
            Self::IvshmemIsr => "ivshmem-doorbell, eventfd to handler",
            Self::IvshmemEventfd => "ivshmem-doorbell, eventfd to process, eventfd",
            Self::IvshmemRead => "ivshmem-doorbell, eventfd to process, read",
            Self::EduRaiseIsr => "edu, register to handler, at once",
            Self::EduFactorialIsr => "edu, register to handler, by its thread",
            Self::EduFactorialEventfd => "edu, register to process, by its thread, eventfd",
            Self::Timer => "timer to process, cyclictest",
            Self::KvmFloor => "KVM, irqfd to handler and back",
            Self::TrappedRead => "irqbed, register read",
            Self::TrappedWrite => "irqbed, register written",
            Self::MappedRead => "irqbed, mapped memory read",
            Self::EduRead => "edu, register read",
            Self::EduWrite => "edu, register written",
            Self::IvshmemMemoryRead => "ivshmem-doorbell, mapped memory read",
            Self::RamRead => "memory of the guest read",
        }
    }
}
