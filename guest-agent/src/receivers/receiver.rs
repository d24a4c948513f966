// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a way to receive events is, and what several of them share. It knows no
//! other of them.

use std::rc::Rc;

use anyhow::Result;
use irqbed_abi::control::{ListenerSpec, Mechanism};

use super::queue::Queue;
use crate::{signal::Action, sink::Sink};

/// Messages that the kernel dropped on their way to a receiver; `None` where
/// this cannot be, or cannot be known.
pub type Drops = Box<dyn Fn() -> Option<u64>>;

/// Takes events until the driver confirms that no more will come.
pub type Run = Box<dyn FnMut(&mut Sink) -> Result<()>>;

/// A receiver that the driver knows.
pub struct Receiver {
    /// Its netlink port id; 0 for one without a netlink socket.
    pub port_id: u32,
    /// Asks the driver for no more events, so that `run` returns when it has
    /// taken those already sent.
    pub stop: Action,
    pub drops: Drops,
    pub run: Run,
}

impl Receiver {
    /// A receiver from the queue of an open file.
    pub fn of_queue(
        queue: Queue,
        mut run: impl FnMut(&Queue, &mut Sink) -> Result<()> + 'static,
    ) -> Result<Self> {
        let queue = Rc::new(queue);
        let counted = Rc::clone(&queue);
        Ok(Self {
            port_id: 0,
            stop: queue.stop()?,
            drops: Box::new(move || counted.dropped()),
            run: Box::new(move |sink| run(&queue, sink)),
        })
    }
}

/// One way to receive.
pub struct Kind {
    /// Its name.
    pub mechanism: Mechanism,
    /// Makes a receiver of which the driver knows when this returns.
    pub open: fn(&ListenerSpec, &mut Sink) -> Result<Receiver>,
}

/// Counts wake-ups: `wake_up` waits for one and takes what it brought; true when
/// it was the last one.
#[inline(always)]
pub fn until_last(
    sink: &mut Sink,
    mut wake_up: impl FnMut(&mut Sink) -> Result<bool>,
) -> Result<()> {
    while !wake_up(sink)? {
        sink.count_wake_up();
    }
    sink.count_last_wake_up();
    Ok(())
}
