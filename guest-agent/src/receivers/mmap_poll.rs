// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events from the mapped queue and is told of none: it looks, all the
//! time.

use anyhow::Result;
use irqbed_abi::control::Mechanism;

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, Ring},
};

/// The queue alone.
pub const MMAP_POLL: Kind = Kind {
    mechanism: Mechanism::MmapPoll,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let ring = queue.map()?;
        Ok(Box::new(MmapPoll { queue, ring }))
    },
};

struct MmapPoll {
    queue: Queue,
    ring: Ring,
}

impl Receiver for MmapPoll {
    fn drops(&self) -> Option<u64> {
        Some(self.ring.dropped())
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    /// No PAUSE: a hypervisor takes it for an invitation to run another guest.
    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            let last = self.ring.stopped();
            if !self.ring.take(sink) && last {
                return Ok(());
            }
        }
    }
}
