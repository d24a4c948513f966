// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by an ioctl of the character device that waits for one.

use anyhow::Result;
use irqbed_abi::control::Mechanism;

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, buffer, take},
    tsc,
};

/// `ioctl`.
pub const IOCTL: Kind = Kind {
    mechanism: Mechanism::Ioctl,
    open: |spec, _| {
        Ok(Box::new(Ioctl {
            queue: Queue::open(spec, None)?,
            buffer: buffer(spec),
        }))
    },
};

struct Ioctl {
    queue: Queue,
    buffer: Vec<u8>,
}

impl Receiver for Ioctl {
    fn drops(&self) -> Option<u64> {
        self.queue.dropped()
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            let received = self.queue.wait(&mut self.buffer);
            let user = tsc::now();
            if take(sink, user, received, &self.buffer)? {
                return Ok(());
            }
        }
    }
}
