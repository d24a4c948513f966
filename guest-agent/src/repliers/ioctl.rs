// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by an ioctl of the character device.

#![allow(unsafe_code)]

use std::fs::File;

use irqbed_abi::{
    control::ReplyBy,
    netlink::EventMessage,
    reply::{IOC_REPLY, ReplyRequest},
};
use rustix::ioctl::{Setter, ioctl};

use super::{Kind, Replier, device, request};
use crate::{instrument::Slot, tsc};

/// An ioctl.
pub const IOCTL: Kind = Kind {
    way: ReplyBy::Ioctl,
    open: || Ok(Box::new(Ioctl(device()?))),
};

struct Ioctl(File);

impl Replier for Ioctl {
    fn reply(&mut self, event: &EventMessage, slot: Slot<'_>) -> bool {
        let request = request(event);
        slot.stamp_reply(tsc::now());
        // SAFETY: the driver reads a `ReplyRequest` for this command.
        // It counts what it refuses.
        let _ = unsafe { ioctl(&self.0, Setter::<IOC_REPLY, ReplyRequest>::new(request)) };
        true
    }
}
