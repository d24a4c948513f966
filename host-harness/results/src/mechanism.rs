// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be compared: the mechanisms by which the driver tells a process,
//! the contexts in the kernel from which it does so, which pairs of both can
//! work, and the types of interrupt that the device can raise.

use std::fmt;

use serde::{Deserialize, Serialize};

pub use irqbed_abi::control::Mechanism;

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

/// What must have the device for a mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// Ours, with this notifier.
    Ours(&'static str),
    /// The stock `vfio-pci`, which gives the device to the listener.
    Vfio,
}

/// The driver, and its notifier, that serve a mechanism.
#[must_use]
pub const fn driver(mechanism: Mechanism) -> Driver {
    Driver::Ours(match mechanism {
        Mechanism::Netlink | Mechanism::NetlinkIoUring => "netlink",
        Mechanism::NetlinkBroadcast => "netlink-broadcast",
        Mechanism::Genetlink => "genetlink",
        Mechanism::GenetlinkMulticast => "genetlink-multicast",
        Mechanism::Read | Mechanism::Poll | Mechanism::Ioctl | Mechanism::IoUring => "chardev",
        Mechanism::Signal | Mechanism::SignalQueued => "signal",
        Mechanism::Eventfd => "eventfd",
        Mechanism::Uio => "uio",
        Mechanism::MmapPoll => "mmap",
        Mechanism::Vfio => return Driver::Vfio,
    })
}

/// Whether a message of a mechanism may carry several events; where the process
/// takes all there are anyway, there is nothing to ask for.
#[must_use]
pub const fn batches(mechanism: Mechanism) -> bool {
    matches!(mechanism, Mechanism::Netlink | Mechanism::NetlinkIoUring)
}

/// Whether events can come to a mechanism by a type of interrupt.
#[must_use]
pub fn takes(mechanism: Mechanism, interrupt: InterruptType) -> bool {
    driver(mechanism) != Driver::Vfio || interrupt == InterruptType::Msix
}

/// Most listeners that a mechanism can have; the others have no limit of their
/// own.
#[must_use]
pub const fn most_listeners(mechanism: Mechanism) -> Option<u32> {
    match mechanism {
        Mechanism::Uio | Mechanism::Vfio => Some(1),
        _ => None,
    }
}

/// Percent by which the same path of a mechanism may differ from boot to boot, in
/// instructions, beyond what anybody asks about.
#[must_use]
pub fn swing(mechanism: &str) -> f64 {
    if mechanism == Mechanism::MmapPoll.as_str() {
        // By where in its loop the event meets the listener.
        3.0
    } else {
        0.0
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

    /// The parameters that make our driver do it; `None` where another one
    /// must have the device.
    #[must_use]
    pub fn module_parameters(self) -> Option<[(&'static str, String); 2]> {
        match driver(self.mechanism) {
            Driver::Ours(notifier) => Some([
                ("notifier", notifier.to_owned()),
                ("context", self.context.as_str().to_owned()),
            ]),
            Driver::Vfio => None,
        }
    }

    /// Why the same path of this pair takes different numbers of instructions,
    /// in a guest that is as steady as can be, if it does.
    #[must_use]
    pub const fn unsteady(self) -> Option<&'static str> {
        match (self.mechanism, self.context) {
            (Mechanism::MmapPoll, Context::Hardirq | Context::Bh) => Some(
                "it depends on where in its loop of 7 instructions the event meets the listener",
            ),
            (Mechanism::MmapPoll, Context::Threaded | Context::Workqueue) => Some(
                "the listener never sleeps, so the scheduler has to take the processor from it: \
                 that depends on how long it has had it, and on where in its loop it is",
            ),
            (Mechanism::Read | Mechanism::Poll | Mechanism::Ioctl, _) => Some(
                "before it copies to the process the kernel looks for the queue in its tree of \
                 vmalloc areas: some instructions more or less, by what came and went before",
            ),
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

    #[test]
    fn pairs_come_in_the_order_of_tables() {
        let pairs = Pair::of(Mechanism::ALL, Context::ALL);
        assert_eq!(pairs.len(), Mechanism::ALL.len() * Context::ALL.len());
        assert!(pairs.is_sorted());
        assert_eq!(pairs[1].to_string(), "netlink in threaded");
    }
}
