// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by blocking `read` of the eventfd that `vfio-pci` signals
//! from its hard interrupt handler, and then from the completion rings
//! themselves: there is no driver of ours.

use anyhow::{Result, ensure};
use irqbed_abi::control::{Behaviour, Mechanism};

use super::receiver::{Kind, Receiver};
use crate::{events::Sink, vfio::Device};

/// The device itself.
pub const VFIO: Kind = Kind {
    mechanism: Mechanism::Vfio,
    open: |spec, sink| {
        ensure!(
            spec.receive_buffer.is_none(),
            "a listener that drives the device has the room of its rings: leave the receive \
             buffer out"
        );
        let device = Device::open(spec.vectors)?;
        if spec.behaviour == Behaviour::Measure {
            sink.stamp_in(device.instrument()?);
        }
        Ok(Box::new(device))
    },
};

impl Receiver for Device {
    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        Self::quit(self)
    }

    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        loop {
            let last = self.wait()?;
            self.drain(sink);
            if last {
                sink.woken_at_last();
                return Ok(());
            }
            sink.woken();
        }
    }
}
