// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by blocking `read` of the eventfd that `vfio-pci` signals
//! from its hard interrupt handler, and then from the completion rings
//! themselves: there is no driver of ours.

use anyhow::ensure;
use irqbed_abi::control::{Behaviour, Mechanism};

use super::receiver::{Kind, Receiver, until_last};
use crate::vfio::Device;

/// The device itself.
pub const VFIO: Kind = Kind {
    mechanism: Mechanism::Vfio,
    open: |spec, sink| {
        ensure!(
            spec.receive_buffer.is_none(),
            "a listener that drives the device has the room of its rings: leave the receive \
             buffer out"
        );
        let mut device = Device::open(spec.vectors)?;
        if spec.behaviour == Behaviour::Measure {
            sink.stamp_in(device.instrument()?);
        }
        Ok(Receiver {
            port_id: 0,
            stop: device.stop()?,
            drops: Box::new(|| None),
            run: Box::new(move |sink| {
                until_last(sink, |sink| {
                    let last = device.wait()?;
                    device.drain(sink);
                    Ok(last)
                })
            }),
        })
    },
};
