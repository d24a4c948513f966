// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by a multishot `read` of the character device: one request
//! for all of them, and one completion each.

use anyhow::{Context, Result};
use irqbed_abi::control::Mechanism;

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, read_size, take_bytes},
    tsc::GuestTsc,
    uring::{Completion, Multishot},
};

/// Multishot `read`.
pub const IO_URING: Kind = Kind {
    mechanism: Mechanism::IoUring,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        Ok(Box::new(IoUring {
            reads: Multishot::read(&queue, BUFFERS, u32::try_from(read_size(spec))?)?,
            queue,
        }))
    },
};

/// Events that one wake-up can bring. More wait in the driver's queue.
const BUFFERS: u16 = 64;

struct IoUring {
    reads: Multishot,
    queue: Queue,
}

impl Receiver for IoUring {
    fn drops(&self) -> Option<u64> {
        self.queue.dropped()
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        let mut last = false;
        while !last {
            self.reads.wait()?;
            while let Some(end) = self
                .reads
                .next(|user, completion| take(sink, user, completion))
            {
                last |= end?;
            }
            if last {
                sink.woken_at_last();
            } else {
                sink.woken();
            }
        }
        Ok(())
    }
}

/// Takes an event, or true for the end of them.
#[inline(always)]
fn take(sink: &mut Sink, user: GuestTsc, completion: Completion<'_>) -> Result<bool> {
    match completion {
        Completion::Data(_, 0) => return Ok(true),
        Completion::Data(bytes, _) => take_bytes(sink, user, bytes),
        Completion::NoBuffer => {}
        Completion::Failed(error) => return Err(error).context("cannot read the device"),
    }
    Ok(false)
}
