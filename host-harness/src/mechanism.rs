// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be compared: the mechanisms by which the driver tells a process,
//! the contexts in the kernel from which it does so, which pairs of both can
//! work, and the types of interrupt that the device can raise.

use std::{fmt, num::NonZero};

use serde::{Deserialize, Serialize};

pub use irqbed_abi::control::Mechanism;

use crate::qemu::{ClockKind, Machine};

/// Where in the kernel events are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// The hard interrupt handler itself.
    Hardirq,
    /// The interrupt's own thread.
    Threaded,
    /// A softirq: BH work, or a tasklet on kernels before 6.9.
    Bh,
    /// A worker of high priority.
    Workqueue,
}

impl Context {
    /// Every context, in the order of tables.
    pub const ALL: &[Self] = &[Self::Hardirq, Self::Threaded, Self::Bh, Self::Workqueue];

    /// The name on command lines, in tables, in documents, and for the driver.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hardirq => "hardirq",
            Self::Threaded => "threaded",
            Self::Bh => "bh",
            Self::Workqueue => "workqueue",
        }
    }
}

/// How the device interrupts the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum InterruptType {
    /// By a message; a vector for each ring.
    #[default]
    Msix,
    /// By a message; without interrupt remapping one vector for all rings.
    Msi,
    /// By a line that is asserted until the driver acknowledges it.
    Intx,
}

impl InterruptType {
    /// Every type, in the order of tables.
    pub const ALL: &[Self] = &[Self::Msix, Self::Msi, Self::Intx];

    /// The name for the driver.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Msix => "msix",
            Self::Msi => "msi",
            Self::Intx => "intx",
        }
    }

    /// The name for a reader.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Msix => "MSI-X",
            Self::Msi => "MSI",
            Self::Intx => "INTx",
        }
    }
}

/// The driver's notifier that serves a mechanism.
#[must_use]
pub const fn notifier(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Netlink | Mechanism::NetlinkIoUring => "netlink",
        Mechanism::NetlinkBroadcast => "netlink-broadcast",
        Mechanism::Read | Mechanism::Poll | Mechanism::Ioctl | Mechanism::IoUring => "chardev",
        Mechanism::Eventfd => "eventfd",
        Mechanism::Uio => "uio",
        Mechanism::MmapPoll => "mmap",
    }
}

/// Whether a message of a mechanism may carry several events; where the process
/// takes all there are anyway, there is nothing to ask for.
#[must_use]
pub const fn batches(mechanism: Mechanism) -> bool {
    matches!(mechanism, Mechanism::Netlink | Mechanism::NetlinkIoUring)
}

/// Most listeners that a mechanism can have; the others have no limit of their
/// own.
#[must_use]
pub const fn most_listeners(mechanism: Mechanism) -> Option<u32> {
    match mechanism {
        Mechanism::Uio => Some(1),
        _ => None,
    }
}

/// A mechanism in a context: what one run measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// How the driver tells.
    pub mechanism: Mechanism,
    /// From where.
    pub context: Context,
}

impl Pair {
    /// Every pair of these, in the order of tables.
    pub fn of(mechanisms: &[Mechanism], contexts: &[Context]) -> Vec<Self> {
        let with = |&mechanism| {
            contexts
                .iter()
                .map(move |&context| Self { mechanism, context })
        };
        mechanisms.iter().flat_map(with).collect()
    }

    /// The module parameters that make the driver do it.
    #[must_use]
    pub fn module_parameters(self) -> [(&'static str, String); 2] {
        [
            ("notifier", notifier(self.mechanism).to_owned()),
            ("context", self.context.as_str().to_owned()),
        ]
    }

    /// Why this pair cannot be measured in a machine with so many listeners, if
    /// it cannot.
    #[must_use]
    pub fn refusal(self, machine: &Machine, listeners: u32) -> Option<String> {
        if let Some(most) = most_listeners(self.mechanism).filter(|&most| listeners > most) {
            return Some(format!(
                "it can have --listeners {most}, and not {listeners}: the device is open to one \
                 process at a time"
            ));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        // The harness needs one that the guest's processors do not take.
        let free = cores > machine.vcpus as usize;
        match self.mechanism {
            Mechanism::MmapPoll if machine.clock == ClockKind::Wall && !free => Some(format!(
                "the listener never sleeps, and {} vCPUs on {cores} cores leave none free; give \
                 less --vcpus, or --clock instructions",
                machine.vcpus
            )),
            _ => None,
        }
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {}",
            self.mechanism.as_str(),
            self.context.as_str()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accel::Accelerator;

    fn machine(clock: ClockKind, vcpus: u32) -> Machine {
        Machine {
            accelerator: Accelerator::Tcg,
            clock,
            vcpus,
            memory_mib: 256,
            kernel_parameters: Vec::new(),
        }
    }

    #[test]
    fn pairs_come_in_the_order_of_tables() {
        let pairs = Pair::of(Mechanism::ALL, Context::ALL);
        assert_eq!(pairs.len(), Mechanism::ALL.len() * Context::ALL.len());
        assert!(pairs.is_sorted());
        assert_eq!(pairs[1].to_string(), "netlink in threaded");
    }

    #[test]
    fn a_device_for_one_process_is_refused_to_two() {
        for &mechanism in Mechanism::ALL {
            let context = Context::Hardirq;
            let pair = Pair { mechanism, context };
            let refusal = pair.refusal(&machine(ClockKind::Instructions, 1), 2);
            assert_eq!(refusal.is_some(), most_listeners(mechanism) == Some(1));
        }
    }

    #[test]
    fn who_never_sleeps_needs_a_core_that_is_free() {
        for &mechanism in Mechanism::ALL {
            for &context in Context::ALL {
                let pair = Pair { mechanism, context };
                assert_eq!(
                    pair.refusal(&machine(ClockKind::Instructions, 4096), 1),
                    None
                );
                let refusal = pair.refusal(&machine(ClockKind::Wall, 4096), 1);
                assert_eq!(refusal.is_some(), mechanism == Mechanism::MmapPoll);
            }
        }
    }
}
