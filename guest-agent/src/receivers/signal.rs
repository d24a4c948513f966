// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events from the mapped queue and is told of them by a signal:
//! `SIGIO` in a handler, or a real-time signal taken from its queue.
//!
//! Neither says how many events there are. `SIGIO` is pending or not, so one may
//! stand for several; and whoever takes all there is finds nothing for the
//! signals that follow. The queue says.

use anyhow::{Context, Result};
use irqbed_abi::control::Mechanism;
use rustix::io::Errno;

use super::receiver::{Kind, Receiver};
use crate::{
    events::Sink,
    queue::{Queue, Ring},
    signal::{Queued, Sigio},
};

/// A handler of `SIGIO`.
pub const SIGIO: Kind = Kind {
    mechanism: Mechanism::Signal,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        Ok(Box::new(Handled {
            ring: queue.map()?,
            signal: Sigio::watch(&queue, queue.watch_head()?)?,
            queue,
        }))
    },
};

/// `F_SETSIG` and `rt_sigtimedwait`.
pub const QUEUED: Kind = Kind {
    mechanism: Mechanism::SignalQueued,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        Ok(Box::new(Waited {
            ring: queue.map()?,
            signal: Queued::watch(&queue)?,
            queue,
        }))
    },
};

struct Handled {
    queue: Queue,
    ring: Ring,
    signal: Sigio,
}

impl Receiver for Handled {
    fn drops(&self) -> Option<u64> {
        Some(self.ring.dropped())
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    /// What was in the queue when the handler ran came to us then; what came
    /// later is found here.
    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            let noted = self.signal.wait();
            let last = self.ring.stopped();
            if let Some((head, user)) = noted {
                while self.ring.take_before(head, user, sink) {}
            }
            while self.ring.take(sink) {}
            if last {
                sink.woken_at_last();
                return Ok(());
            }
            sink.woken();
        }
    }
}

struct Waited {
    queue: Queue,
    ring: Ring,
    signal: Queued,
}

impl Receiver for Waited {
    fn drops(&self) -> Option<u64> {
        Some(self.ring.dropped())
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.queue.quit()
    }

    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            match self.signal.wait() {
                Ok(false) => {}
                Ok(true) => sink.signals_overflowed(),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error).context("cannot wait for a signal"),
            }
            let last = self.ring.stopped();
            while self.ring.take(sink) {}
            if last {
                sink.woken_at_last();
                return Ok(());
            }
            sink.woken();
        }
    }
}
