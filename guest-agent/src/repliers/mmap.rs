// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies by a store to the device's doorbell, which is mapped: the driver has
//! no part in it.

use std::sync::atomic::Ordering;

use anyhow::{Context, Result};
use irqbed_abi::{
    control::ReplyBy,
    netlink::EventMessage,
    pci::DOORBELL_BAR_SIZE,
    reply::{DOORBELL, DOORBELL_MMAP_OFFSET},
};

use super::replier::{Kind, Replier, device};
use crate::{
    instrument::{DEVICE, Slot},
    mapping::Mapping,
    tsc,
};

/// The doorbell itself.
pub const MMAP: Kind = Kind {
    way: ReplyBy::Mmap,
    open: || Ok(Box::new(Mmap::open()?)),
};

struct Mmap(Mapping);

impl Mmap {
    fn open() -> Result<Self> {
        let size = usize::try_from(DOORBELL_BAR_SIZE)?;
        let page = Mapping::at(device()?, DOORBELL_MMAP_OFFSET, size)
            .and_then(Mapping::guarded)
            .with_context(|| format!("cannot map the doorbell from {DEVICE}"))?;
        Ok(Self(page))
    }
}

impl Replier for Mmap {
    /// The doorbell takes the lower half of the number.
    fn reply(&mut self, event: &EventMessage, slot: Slot<'_>) -> bool {
        let Some(doorbell) = self.0.word32(DOORBELL as usize) else {
            return false;
        };
        slot.stamp_reply(tsc::now());
        doorbell.store(event.seq as u32, Ordering::Release);
        true
    }
}
