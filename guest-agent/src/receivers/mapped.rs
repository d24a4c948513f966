// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events from the mapped queue, notified of them by an eventfd or by a
//! signal, or polling it all the time.
//!
//! No notification says how many events there are: one may stand for several,
//! and for none where the one before was read late. The queue says.

use std::os::fd::AsFd;

use anyhow::Context;
use irqbed_abi::control::Mechanism;
use rustix::{
    event::{EventfdFlags, eventfd},
    io::{read, retry_on_intr},
};

use super::{
    queue::Queue,
    receiver::{Kind, Receiver, until_last},
};
use crate::signal::{Queued, Sigio};

/// An eventfd.
pub const EVENTFD: Kind = Kind {
    mechanism: Mechanism::Eventfd,
    open: |spec, _| {
        let signal = eventfd(0, EventfdFlags::CLOEXEC).context("cannot make an eventfd")?;
        let queue = Queue::open(spec, Some(signal.as_fd()))?;
        let mut ring = queue.map()?;
        Receiver::of_queue(queue, move |_, sink| {
            until_last(sink, |sink| {
                let mut count = [0; 8];
                retry_on_intr(|| read(&signal, &mut count)).context("cannot read the eventfd")?;
                let last = ring.stopped();
                ring.drain(sink);
                sink.count_coalesced(u64::from_ne_bytes(count).saturating_sub(1));
                Ok(last)
            })
        })
    },
};

/// A handler of `SIGIO`. What was in the queue when it ran came to us then; what
/// came later is found by the loop.
pub const SIGIO: Kind = Kind {
    mechanism: Mechanism::Signal,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let mut ring = queue.map()?;
        let signal = Sigio::watch(&queue, queue.watch_head()?)?;
        Receiver::of_queue(queue, move |_, sink| {
            until_last(sink, |sink| {
                let noted = signal.wait();
                let last = ring.stopped();
                if let Some((head, user)) = noted {
                    while ring.take_before(head, user, sink) {}
                }
                ring.drain(sink);
                Ok(last)
            })
        })
    },
};

/// A real-time signal: `F_SETSIG` and `rt_sigtimedwait`.
pub const QUEUED: Kind = Kind {
    mechanism: Mechanism::SignalQueued,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let mut ring = queue.map()?;
        let signal = Queued::watch(&queue)?;
        Receiver::of_queue(queue, move |_, sink| {
            until_last(sink, |sink| {
                let overflowed =
                    retry_on_intr(|| signal.wait()).context("cannot wait for a signal")?;
                let last = ring.stopped();
                ring.drain(sink);
                if overflowed {
                    sink.count_signal_overflow();
                }
                Ok(last)
            })
        })
    },
};

/// Nothing: the queue is polled. No PAUSE: a hypervisor takes it for an
/// invitation to run another guest.
pub const MMAP_POLL: Kind = Kind {
    mechanism: Mechanism::MmapPoll,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let mut ring = queue.map()?;
        Receiver::of_queue(queue, move |_, sink| {
            loop {
                let last = ring.stopped();
                if !ring.take(sink) && last {
                    return Ok(());
                }
            }
        })
    },
};
