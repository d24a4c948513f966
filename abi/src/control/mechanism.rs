// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways from a driver to a process, and back, by their names.

use serde::{Deserialize, Serialize};

/// A way for a driver to tell a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Subscribe: `netlink_unicast` to this listener.
    Netlink,
    /// Join the multicast group: one `netlink_broadcast` for all listeners.
    NetlinkBroadcast,
    /// Subscribe to the generic netlink family: unicast to this listener.
    Genetlink,
    /// Join the family's multicast group: one message for all listeners.
    GenetlinkMulticast,
    /// Blocking `read` of the character device.
    Read,
    /// `epoll_wait` on the character device, then `read`.
    Poll,
    /// Blocking ioctl of the character device.
    Ioctl,
    /// A handler of `SIGIO`, then the queue through its mapping.
    Signal,
    /// A real-time signal for each event, taken by `rt_sigtimedwait`, then the
    /// queue through its mapping.
    SignalQueued,
    /// Blocking `read` of an eventfd, then the queue through its mapping.
    Eventfd,
    /// Blocking `read` of a UIO device's counter, then the queue through its
    /// mapping.
    Uio,
    /// Multishot `read` of the character device by io_uring.
    #[serde(rename = "io_uring")]
    IoUring,
    /// Subscribe, and multishot `recv` by io_uring.
    #[serde(rename = "netlink-io_uring")]
    NetlinkIoUring,
    /// Blocking `read` of the eventfd of `vfio-pci`; the listener drives the
    /// device itself.
    Vfio,
    /// The queue through its mapping, looked at all the time.
    MmapPoll,
}

impl Mechanism {
    /// Every mechanism, in the order of tables.
    pub const ALL: &[Self] = &[
        Self::Netlink,
        Self::NetlinkBroadcast,
        Self::Genetlink,
        Self::GenetlinkMulticast,
        Self::Read,
        Self::Poll,
        Self::Ioctl,
        Self::Signal,
        Self::SignalQueued,
        Self::Eventfd,
        Self::Uio,
        Self::IoUring,
        Self::NetlinkIoUring,
        Self::Vfio,
        Self::MmapPoll,
    ];

    /// The name on command lines, in tables and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::NetlinkBroadcast => "netlink-broadcast",
            Self::Genetlink => "genetlink",
            Self::GenetlinkMulticast => "genetlink-multicast",
            Self::Read => "read",
            Self::Poll => "poll",
            Self::Ioctl => "ioctl",
            Self::Signal => "signal",
            Self::SignalQueued => "signal-queued",
            Self::Eventfd => "eventfd",
            Self::Uio => "uio",
            Self::IoUring => "io_uring",
            Self::NetlinkIoUring => "netlink-io_uring",
            Self::Vfio => "vfio",
            Self::MmapPoll => "mmap-poll",
        }
    }

    /// Whether the listener drives the device itself, and our driver must not.
    #[must_use]
    pub const fn drives_the_device(self) -> bool {
        matches!(self, Self::Vfio)
    }
}

/// A way for a process to reply to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyBy {
    /// A request to the driver's netlink socket, no acknowledgement asked.
    Netlink,
    /// A request to the driver's generic netlink family, no acknowledgement
    /// asked.
    Genetlink,
    /// `write` to the character device.
    Write,
    /// An ioctl of the character device.
    Ioctl,
    /// A store to the device's doorbell through its mapping: no driver.
    Mmap,
}

impl ReplyBy {
    /// Every way, in the order of tables.
    pub const ALL: &[Self] = &[
        Self::Netlink,
        Self::Genetlink,
        Self::Write,
        Self::Ioctl,
        Self::Mmap,
    ];

    /// The name on command lines, in tables and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::Genetlink => "genetlink",
            Self::Write => "write",
            Self::Ioctl => "ioctl",
            Self::Mmap => "mmap",
        }
    }
}
