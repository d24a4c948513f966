// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by a store to the device's doorbell, which is mapped: the driver has
//! no part in it.

use std::sync::atomic::Ordering;

use anyhow::Context;
use irqbed_abi::{
    control::ReplyBy,
    pci::DOORBELL_BAR_SIZE,
    reply::{DOORBELL, DOORBELL_MMAP_OFFSET},
};

use super::replier::{Kind, device};
use crate::{instrument::DEVICE, mapping::Mapping, tsc};

/// The doorbell itself. It takes the lower half of the number.
pub const MMAP: Kind = Kind {
    way: ReplyBy::Mmap,
    open: || {
        let size = usize::try_from(DOORBELL_BAR_SIZE)?;
        let page = Mapping::at(device()?, DOORBELL_MMAP_OFFSET, size)
            .and_then(Mapping::guarded)
            .with_context(|| format!("cannot map the doorbell from {DEVICE}"))?;
        Ok(Box::new(move |event, slot| {
            let Some(doorbell) = page.word32(DOORBELL as usize) else {
                return false;
            };
            slot.stamp_reply(tsc::now());
            doorbell.store(event.seq as u32, Ordering::Release);
            true
        }))
    },
};
