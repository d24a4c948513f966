// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a way to receive events is. It knows no other of them.

use anyhow::Result;
use irqbed_abi::control::{ListenerSpec, Mechanism};

use crate::events::Sink;

/// A receiver that the driver knows.
pub trait Receiver {
    /// Number by which the driver and the kernel know it; 0 for one without a
    /// netlink socket.
    fn port_id(&self) -> u32 {
        0
    }

    /// Messages that the kernel dropped on their way to it; `None` where this
    /// cannot be, or cannot be known.
    fn drops(&self) -> Option<u64> {
        None
    }

    /// Asks the driver for no more events, so that [`Receiver::run`] returns
    /// when it has taken those already sent. The result runs in a signal
    /// handler, so it may make system calls but neither allocate nor lock.
    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>>;

    /// Takes events until the driver confirms that no more will come.
    fn run(&mut self, sink: &mut Sink) -> Result<()>;
}

/// One way to receive.
pub struct Kind {
    /// Its name.
    pub mechanism: Mechanism,
    /// Makes a receiver of which the driver knows when this returns.
    pub open: fn(&ListenerSpec, &mut Sink) -> Result<Box<dyn Receiver>>,
}
