// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by blocking `read` of the character device.

use anyhow::Result;
use irqbed_abi::control::Mechanism;
use rustix::io::read;

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, buffer, take},
    tsc,
};

/// `read`.
pub const READ: Kind = Kind {
    mechanism: Mechanism::Read,
    open: |spec, _| {
        Ok(Box::new(Read {
            queue: Queue::open(spec, None)?,
            buffer: buffer(spec),
        }))
    },
};

struct Read {
    queue: Queue,
    buffer: Vec<u8>,
}

impl Receiver for Read {
    fn drops(&self) -> Option<u64> {
        self.queue.dropped()
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            let received = read(&self.queue, &mut *self.buffer);
            let user = tsc::now();
            if take(sink, user, received, &self.buffer)? {
                return Ok(());
            }
        }
    }
}
