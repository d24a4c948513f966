// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a device is to the rest of this crate: a description, a few handlers,
//! and the two things it can do on its own, interrupt and DMA.

use crate::{bar::BarIndex, dma::Dma, irq::Irqs, spec::DeviceSpec, vfio_user::IoEventFd};

/// What the bus gives a device to act on its own. Cheap to clone, usable from
/// any thread.
#[derive(Debug, Clone)]
pub struct Bus {
    /// The device's interrupts.
    pub irqs: Irqs,
    /// The guest's memory.
    pub dma: Dma,
}

/// Why a device is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetKind {
    /// The hypervisor, or software in the guest, reset the function.
    Function,
    /// The hypervisor is gone; no memory is mapped and no interrupt connected.
    Disconnect,
}

/// A PCI function.
///
/// The server owns the device and calls it from one thread. Offsets and
/// lengths come from the guest: an access lies inside the BAR, but may have
/// any alignment and length.
pub trait PciDevice: Send + 'static {
    /// How the device presents itself. Asked once.
    fn spec(&self) -> DeviceSpec;

    /// Hands the device its interrupts and the guest's memory, before any
    /// access. Devices that only answer ignore it.
    fn attach(&mut self, bus: Bus) {
        drop(bus);
    }

    /// The registers whose writes the hypervisor's kernel may tell to an eventfd
    /// of the device, where it can (KVM's `ioeventfd`). Asked once; a write may
    /// come as a [`PciDevice::bar_write`] all the same.
    fn doorbells(&self) -> Vec<(BarIndex, IoEventFd)> {
        Vec::new()
    }

    /// Reads a trapped BAR. Where nothing is, all ones are read.
    fn bar_read(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        let _ = (bar, offset);
        data.fill(0xff);
    }

    /// Writes a trapped BAR. Where nothing is, the write is lost.
    fn bar_write(&mut self, bar: BarIndex, offset: u64, data: &[u8]) {
        let _ = (bar, offset, data);
    }

    /// Returns to the state after power on.
    fn reset(&mut self, kind: ResetKind) {
        let _ = kind;
    }
}
