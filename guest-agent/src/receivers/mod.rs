// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways in which an event can reach a process, all in one table; those that
//! differ in little are in one file. A receiver asks the driver for events, waits for them, stamps the
//! moment it has one and hands it to the [`Sink`]; it knows nothing of slots,
//! checks and counts.

mod chardev;
mod genetlink;
mod io_uring;
mod mapped;
mod netlink;
mod netlink_datagrams;
mod queue;
pub mod receiver;
mod uio;
mod uring;
mod vfio;

use anyhow::{Context, Result};
use irqbed_abi::control::ListenerSpec;

use self::receiver::{Kind, Receiver};
use crate::sink::Sink;

/// Every way there is.
const RECEIVERS: &[Kind] = &[
    netlink::UNICAST,
    netlink::BROADCAST,
    genetlink::UNICAST,
    genetlink::MULTICAST,
    chardev::READ,
    chardev::POLL,
    chardev::IOCTL,
    mapped::SIGIO,
    mapped::QUEUED,
    mapped::EVENTFD,
    uio::UIO,
    io_uring::READ,
    io_uring::NETLINK,
    vfio::VFIO,
    mapped::MMAP_POLL,
];

/// Makes the receiver that a listener asks for.
pub fn open(spec: &ListenerSpec, sink: &mut Sink) -> Result<Receiver> {
    let kind = RECEIVERS
        .iter()
        .find(|kind| kind.mechanism == spec.mechanism)
        .with_context(|| format!("no receiver for {}", spec.mechanism.as_str()))?;
    (kind.open)(spec, sink)
}
