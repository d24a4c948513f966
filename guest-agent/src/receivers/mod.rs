// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways in which an event can reach a process: one file each, all in one
//! table. A receiver asks the driver for events, waits for them, stamps the
//! moment it has one and hands it to the [`Sink`]; it knows nothing of slots,
//! checks and counts.

mod eventfd;
mod genetlink;
mod io_uring;
mod ioctl;
mod mmap_poll;
mod netlink;
mod netlink_io_uring;
mod poll;
mod read;
mod signal;
mod uio;
mod vfio;

use anyhow::{Context, Result};
use irqbed_abi::control::{ListenerSpec, Mechanism};

use crate::events::Sink;

/// A receiver that the driver knows.
pub trait Receiver {
    /// Number by which the driver and the kernel know it; 0 for one without a
    /// netlink socket.
    fn port_id(&self) -> u32 {
        0
    }

    /// Messages that the kernel dropped on their way to it; `None` where this
    /// cannot be, or cannot be known.
    fn drops(&self) -> Option<u64> {
        None
    }

    /// Asks the driver for no more events, so that [`Receiver::run`] returns
    /// when it has taken those already sent. The result runs in a signal
    /// handler, so it may make system calls but neither allocate nor lock.
    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>>;

    /// Takes events until the driver confirms that no more will come.
    fn run(&mut self, sink: &mut Sink) -> Result<()>;
}

/// One way to receive.
pub struct Kind {
    /// Its name.
    pub mechanism: Mechanism,
    /// Makes a receiver of which the driver knows when this returns.
    pub open: fn(&ListenerSpec, &mut Sink) -> Result<Box<dyn Receiver>>,
}

/// Every way there is.
const RECEIVERS: &[Kind] = &[
    netlink::UNICAST,
    netlink::BROADCAST,
    genetlink::UNICAST,
    genetlink::MULTICAST,
    read::READ,
    poll::POLL,
    ioctl::IOCTL,
    signal::SIGIO,
    signal::QUEUED,
    eventfd::EVENTFD,
    uio::UIO,
    io_uring::IO_URING,
    netlink_io_uring::NETLINK_IO_URING,
    vfio::VFIO,
    mmap_poll::MMAP_POLL,
];

/// Makes the receiver that a listener asks for.
pub fn open(spec: &ListenerSpec, sink: &mut Sink) -> Result<Box<dyn Receiver>> {
    let kind = RECEIVERS
        .iter()
        .find(|kind| kind.mechanism == spec.mechanism)
        .with_context(|| format!("no receiver for {}", spec.mechanism.as_str()))?;
    (kind.open)(spec, sink)
}
