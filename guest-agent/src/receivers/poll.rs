// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by `epoll_wait` on the character device, then `read`.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use irqbed_abi::control::Mechanism;
use rustix::{
    event::epoll,
    io::{Errno, read},
};

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, buffer, take},
    tsc,
};

/// `epoll_wait`, then `read`.
pub const POLL: Kind = Kind {
    mechanism: Mechanism::Poll,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll")?;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&epoll, &queue, data, epoll::EventFlags::IN)
            .context("cannot poll the device")?;
        Ok(Box::new(Poll {
            queue,
            epoll,
            buffer: buffer(spec),
        }))
    },
};

struct Poll {
    queue: Queue,
    epoll: OwnedFd,
    buffer: Vec<u8>,
}

impl Receiver for Poll {
    fn drops(&self) -> Option<u64> {
        self.queue.dropped()
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    /// One `read` after each wake-up: `epoll` is level triggered, and a second
    /// one, that may find nothing, would have to be non-blocking.
    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        let blank = epoll::Event {
            flags: epoll::EventFlags::empty(),
            data: epoll::EventData::new_u64(0),
        };
        let mut ready = [blank; 1];
        loop {
            match epoll::wait(&self.epoll, &mut ready[..], None) {
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for events"),
            }
            let received = read(&self.queue, &mut *self.buffer);
            let user = tsc::now();
            if take(sink, user, received, &self.buffer)? {
                return Ok(());
            }
        }
    }
}
