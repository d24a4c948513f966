// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ways in which a process can reply to an event: one file each, all in one
//! table. A replier stamps the moment before it replies, as the last thing
//! before its system call or its store; what becomes of the reply is counted by
//! the driver and the device.

mod genetlink;
pub mod ioctl;
mod mmap;
mod netlink;
mod write;

use std::fs::{File, OpenOptions};

use anyhow::{Context, Result};
use irqbed_abi::{control::ReplyBy, netlink::EventMessage, reply::ReplyRequest};

use crate::instrument::{DEVICE, Slot};

/// Replies to events.
pub trait Replier {
    /// Replies to an event. False when the reply came to nobody who could have
    /// counted it.
    fn reply(&mut self, event: &EventMessage, slot: Slot<'_>) -> bool;
}

/// One way to reply.
pub struct Kind {
    /// Its name.
    pub way: ReplyBy,
    /// Makes a replier that is ready.
    pub open: fn() -> Result<Box<dyn Replier>>,
}

/// Every way there is.
const REPLIERS: &[Kind] = &[
    netlink::NETLINK,
    genetlink::GENETLINK,
    write::WRITE,
    ioctl::IOCTL,
    mmap::MMAP,
];

/// Makes the replier that a listener asks for.
pub fn open(way: ReplyBy) -> Result<Box<dyn Replier>> {
    let kind = REPLIERS
        .iter()
        .find(|kind| kind.way == way)
        .with_context(|| format!("no replier for {}", way.as_str()))?;
    (kind.open)()
}

/// The reply to an event as the driver takes it.
#[inline(always)]
fn request(event: &EventMessage) -> ReplyRequest {
    ReplyRequest {
        seq: event.seq,
        slot: event.slot,
        reserved: 0,
    }
}

/// A file of the device, apart from the one that events may come by.
fn device() -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .with_context(|| format!("cannot open {DEVICE} (is the module loaded?)"))
}
