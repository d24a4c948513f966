// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by an ioctl of the character device.

#![allow(unsafe_code)]

use std::fs::File;

use anyhow::Result;
use irqbed_abi::{
    control::ReplyBy,
    reply::{IOC_REPLY, ReplyRequest},
};
use rustix::{
    io::Errno,
    ioctl::{NoArg, Setter, ioctl},
};

use super::replier::{Kind, device, request};
use crate::tsc;

/// An ioctl.
pub const IOCTL: Kind = Kind {
    way: ReplyBy::Ioctl,
    open: || {
        let device = device()?;
        Ok(Box::new(move |event, slot| {
            let request = request(event);
            slot.stamp_reply(tsc::now());
            // The driver counts what it refuses.
            let _ = reply(&device, request);
            true
        }))
    },
};

#[inline(always)]
fn reply(device: &File, request: ReplyRequest) -> rustix::io::Result<()> {
    // SAFETY: the driver reads a `ReplyRequest` for this command.
    unsafe { ioctl(device, Setter::<IOC_REPLY, ReplyRequest>::new(request)) }
}

/// Makes the ioctl with a request as it is, or none at all: the error, or 0.
pub fn send_raw(request: Option<[u8; size_of::<ReplyRequest>()]>) -> Result<i32> {
    let device = device()?;
    let returned = match request {
        Some(bytes) => reply(&device, zerocopy::transmute!(bytes)),
        // SAFETY: there is no memory that the driver could touch.
        None => unsafe { ioctl(&device, NoArg::<IOC_REPLY>::new()) },
    };
    Ok(returned.map_or_else(Errno::raw_os_error, |()| 0))
}
