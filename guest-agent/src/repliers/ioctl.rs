// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by an ioctl of the character device.

#![allow(unsafe_code)]

use std::fs::File;

use anyhow::Result;
use irqbed_abi::{
    control::ReplyBy,
    netlink::EventMessage,
    reply::{IOC_REPLY, ReplyRequest},
};
use rustix::{
    io::Errno,
    ioctl::{NoArg, Setter, ioctl},
};

use super::replier::{Kind, Replier, device, request};
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
        // It counts what it refuses.
        let _ = hand(&self.0, request);
        true
    }
}

#[inline(always)]
fn hand(device: &File, request: ReplyRequest) -> rustix::io::Result<()> {
    // SAFETY: the driver reads a `ReplyRequest` for this command.
    unsafe { ioctl(device, Setter::<IOC_REPLY, ReplyRequest>::new(request)) }
}

/// Hands a request to the driver as it is, or none at all: the error, or 0.
pub fn as_it_is(request: Option<[u8; size_of::<ReplyRequest>()]>) -> Result<i32> {
    let device = device()?;
    let returned = match request {
        Some(bytes) => hand(&device, zerocopy::transmute!(bytes)),
        // SAFETY: there is no memory that the driver could touch.
        None => unsafe { ioctl(&device, NoArg::<IOC_REPLY>::new()) },
    };
    Ok(returned.map_or_else(Errno::raw_os_error, |()| 0))
}
