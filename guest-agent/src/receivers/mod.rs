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
pub mod receiver;
mod signal;
mod uio;
mod vfio;

use anyhow::{Context, Result};
use irqbed_abi::control::ListenerSpec;

use self::receiver::{Kind, Receiver};
use crate::events::Sink;

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
