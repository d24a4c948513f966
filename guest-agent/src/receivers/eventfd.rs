// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by blocking `read` of an eventfd that the driver signals, and
//! then from the mapped queue.

use std::os::fd::{AsFd, OwnedFd};

use anyhow::{Context, Result};
use irqbed_abi::control::Mechanism;
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{Errno, read},
};

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, Ring},
};

/// An eventfd, and the queue.
pub const EVENTFD: Kind = Kind {
    mechanism: Mechanism::Eventfd,
    open: |spec, _| {
        let signal = eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?;
        let queue = Queue::open(spec, Some(signal.as_fd()))?;
        let ring = queue.map()?;
        Ok(Box::new(Eventfd {
            signal,
            queue,
            ring,
        }))
    },
};

struct Eventfd {
    signal: OwnedFd,
    queue: Queue,
    ring: Ring,
}

impl Receiver for Eventfd {
    fn drops(&self) -> Option<u64> {
        Some(self.ring.dropped())
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    /// A signal may stand for several events, and for none where the one
    /// before was read late: the queue says.
    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        let mut count = [0; 8];
        loop {
            match read(&self.signal, &mut count) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot read the eventfd"),
            }
            let last = self.ring.stopped();
            while self.ring.take(sink) {}
            sink.coalesced(u64::from_ne_bytes(count).saturating_sub(1));
            if last {
                sink.woken_at_last();
                return Ok(());
            }
            sink.woken();
        }
    }
}
