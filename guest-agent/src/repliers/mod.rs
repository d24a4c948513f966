// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways in which a process can reply to an event: one file each, all in one
//! table. A replier stamps the moment before it replies, as the last thing
//! before its system call or its store; what becomes of the reply is counted by
//! the driver and the device.

mod genetlink;
pub mod ioctl;
mod mmap;
mod netlink;
pub mod replier;
mod write;

use anyhow::{Context, Result};
use irqbed_abi::control::ReplyBy;

use self::replier::{Kind, Replier};

/// Every way there is.
const REPLIERS: &[Kind] = &[
    netlink::NETLINK,
    genetlink::GENETLINK,
    write::WRITE,
    ioctl::IOCTL,
    mmap::MMAP,
];

/// Makes the replier that a listener asks for.
pub fn open(way: ReplyBy) -> Result<Replier> {
    let kind = REPLIERS
        .iter()
        .find(|kind| kind.way == way)
        .with_context(|| format!("no replier for {}", way.as_str()))?;
    (kind.open)()
}
