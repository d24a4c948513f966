// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by `write` to the character device.

use irqbed_abi::control::ReplyBy;
use rustix::io::write;
use zerocopy::IntoBytes;

use super::replier::{Kind, device, request};
use crate::tsc;

/// `write`.
pub const WRITE: Kind = Kind {
    way: ReplyBy::Write,
    open: || {
        let device = device()?;
        Ok(Box::new(move |event, slot| {
            let request = request(event);
            slot.stamp_reply(tsc::now());
            // The driver counts what it refuses.
            let _ = write(&device, request.as_bytes());
            true
        }))
    },
};
