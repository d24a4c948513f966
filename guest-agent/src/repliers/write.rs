// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by `write` to the character device.

use std::fs::File;

use irqbed_abi::{control::ReplyBy, netlink::EventMessage};
use rustix::io::write;
use zerocopy::IntoBytes;

use super::replier::{Kind, Replier, device, request};
use crate::{instrument::Slot, tsc};

/// `write`.
pub const WRITE: Kind = Kind {
    way: ReplyBy::Write,
    open: || Ok(Box::new(Write(device()?))),
};

struct Write(File);

impl Replier for Write {
    fn reply(&mut self, event: &EventMessage, slot: Slot<'_>) -> bool {
        let request = request(event);
        slot.stamp_reply(tsc::now());
        // The driver counts what it refuses.
        let _ = write(&self.0, request.as_bytes());
        true
    }
}
