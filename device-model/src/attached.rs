// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that is attached to its bus: the lock around it, which its server
//! and its timers share, and what every function does without being asked to:
//! the memory of MSI-X, the end of its timers.

use std::sync::{Arc, MutexGuard, PoisonError};

use crate::{
    bar::{Area, BarIndex},
    capability::{Msix, OwnCapability},
    device::{Bus, PciDevice, PowerState, ResetKind},
    fault::Board,
    spec::DeviceSpec,
    timer::Shelf,
};

/// A device and its bus.
pub(crate) struct Attached {
    device: Arc<Shelf>,
    bus: Bus,
    msix: Option<Msix>,
    power: PowerState,
}

impl Attached {
    /// Attaches a device, which describes itself by `spec`.
    pub fn new(mut device: Box<dyn PciDevice>, spec: &DeviceSpec) -> Self {
        let bus = Bus::new(spec);
        device.attach(bus.clone());
        let device = Arc::new(Shelf::new(device));
        bus.timers.connect(&device);
        let board = Board::new(&bus.irqs, &bus.dma, &bus.timers, &device, spec);
        bus.faults.connect(board);
        Self {
            device,
            bus,
            msix: spec.msix,
            power: PowerState::D0,
        }
    }

    pub const fn bus(&self) -> &Bus {
        &self.bus
    }

    fn lock(&self) -> MutexGuard<'_, Box<dyn PciDevice>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The MSI-X table and pending bits, where an access touches them.
    fn msix_at(&self, bar: BarIndex, offset: u64, len: usize) -> Option<&Msix> {
        let access = Area {
            offset,
            size: len as u64,
        };
        self.msix.as_ref().filter(|msix| {
            let touched = msix.table().overlaps(&access) || msix.pending().overlaps(&access);
            msix.bar == bar && touched
        })
    }

    pub fn bar_read(&self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        let Some(msix) = self.msix_at(bar, offset, data.len()) else {
            return self.lock().bar_read(bar, offset, data);
        };
        // The hypervisor keeps the table, and asks for the pending bits alone.
        let pending = msix.pending();
        for (at, byte) in (offset..).zip(data) {
            *byte = match at.checked_sub(pending.offset) {
                Some(at) if at < pending.size => self.bus.irqs.pending_msix(at as u32),
                _ => 0,
            };
        }
    }

    pub fn bar_write(&self, bar: BarIndex, offset: u64, data: &[u8]) {
        if self.msix_at(bar, offset, data.len()).is_none() {
            self.lock().bar_write(bar, offset, data);
        }
    }

    pub fn capability_write(&self, capability: OwnCapability, data: &mut [u8]) {
        self.lock().capability_write(capability, data);
    }

    /// Software may have put the function to sleep, or woken it.
    pub fn power(&mut self, state: PowerState) {
        if self.power != state {
            self.power = state;
            self.lock().power(state);
        }
    }

    /// The function is about to lose the guest's memory.
    pub fn quiesce(&self) {
        if self.bus.dma.is_bus_master() {
            self.lock().quiesce();
        }
    }

    pub fn reset(&mut self, kind: ResetKind) {
        self.power = PowerState::D0;
        let mut device = self.lock();
        self.bus.timers.stop_all();
        device.reset(kind);
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.bus.faults.close();
        self.bus.timers.close();
    }
}
