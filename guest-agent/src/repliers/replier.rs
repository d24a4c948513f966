// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a way to reply to events is, and what several of them need.

use std::fs::{File, OpenOptions};

use anyhow::{Context, Result};
use irqbed_abi::{control::ReplyBy, netlink::EventMessage, reply::ReplyRequest};

use crate::instrument::{DEVICE, Slot};

/// Replies to an event. False when the reply came to nobody who could have
/// counted it.
pub type Replier = Box<dyn FnMut(&EventMessage, Slot<'_>) -> bool>;

/// One way to reply.
pub struct Kind {
    /// Its name.
    pub way: ReplyBy,
    /// Makes a replier that is ready.
    pub open: fn() -> Result<Replier>,
}

/// The reply to an event as the driver takes it.
#[inline(always)]
pub fn request(event: &EventMessage) -> ReplyRequest {
    ReplyRequest {
        seq: event.seq,
        slot: event.slot,
        reserved: 0,
    }
}

/// A file of the device, apart from the one that events may come by.
pub fn device() -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .open(DEVICE)
        .with_context(|| format!("cannot open {DEVICE} (is the module loaded?)"))
}
