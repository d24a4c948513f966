// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that is attached to its bus: the lock around it, which its server
//! and its timers share, and what every function does without being asked to:
//! the memory of MSI-X, the end of its timers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::{
    bar::{Area, BarIndex},
    capability::{Msix, OwnCapability},
    device::{Bus, PciDevice, PowerState, ResetKind},
    device_panic::PanicWatch,
    spec::DeviceSpec,
    timer::{CallBack, TimerId, Timers},
};

/// A device behind its lock. One that has panicked is not called any more.
pub(crate) struct DeviceCell {
    device: Mutex<Option<Box<dyn PciDevice>>>,
    watch: PanicWatch,
}

impl DeviceCell {
    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn PciDevice>>> {
        self.device.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the device; `None` where it panics or has panicked.
    pub fn call<T>(&self, place: &str, act: impl FnOnce(&mut dyn PciDevice) -> T) -> Option<T> {
        let mut device = self.lock();
        let device = device.as_deref_mut()?;
        if self.watch.panic().is_some() {
            return None;
        }
        self.watch.run(place, || act(device))
    }

    /// Resets the device and its timers.
    fn reset(&self, timers: &Timers, kind: ResetKind) {
        self.call("reset()", |device| {
            timers.power_on();
            device.reset(kind);
        });
    }

    /// Drops the device.
    fn retire(&self) {
        let device = self.lock().take();
        self.watch.run("drop()", || drop(device));
    }
}

impl CallBack for DeviceCell {
    fn timer(&self, timer: TimerId, is_due: &dyn Fn() -> bool) -> bool {
        let called = self.call("timer()", |device| {
            if is_due() {
                device.timer(timer);
            }
        });
        called.is_some()
    }
}

/// A device and its bus.
pub(crate) struct Attached {
    device: Arc<DeviceCell>,
    bus: Bus,
    msix: Option<Msix>,
    power: PowerState,
}

impl Attached {
    /// Attaches a device, which describes itself by `spec`. It may use its bus
    /// at once.
    pub fn new(device: Box<dyn PciDevice>, spec: &DeviceSpec, watch: PanicWatch) -> Self {
        let bus = Bus::new(spec, watch.clone());
        let device = Arc::new(DeviceCell {
            device: Mutex::new(Some(device)),
            watch,
        });
        let (reset, timers) = (Arc::downgrade(&device), bus.timers.clone());
        let reset = move || {
            if let Some(device) = reset.upgrade() {
                device.reset(&timers, ResetKind::Function);
            }
        };
        let hooked = bus.hooks.function();
        hooked.connect((&bus.irqs, &bus.dma), &bus.watch, spec, reset);
        bus.timers
            .attach(Arc::<DeviceCell>::downgrade(&device), || {
                device.call("attach()", |device| device.attach(bus.clone()));
            });
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
            let read = |device: &mut dyn PciDevice| device.bar_read(bar, offset, data);
            self.device.call("bar_read()", read);
            return;
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
            let write = |device: &mut dyn PciDevice| device.bar_write(bar, offset, data);
            self.device.call("bar_write()", write);
        }
    }

    pub fn capability_write(&self, capability: OwnCapability, data: &mut [u8]) {
        let write = |device: &mut dyn PciDevice| device.capability_write(capability, data);
        self.device.call("capability_write()", write);
    }

    /// Software may have put the function to sleep, or woken it.
    pub fn power(&mut self, state: PowerState) {
        if self.power != state {
            self.power = state;
            self.device.call("power()", |device| device.power(state));
        }
    }

    /// The function is about to lose the guest's memory.
    pub fn quiesce(&self) {
        if self.bus.dma.is_bus_master() {
            self.device.call("quiesce()", |device| device.quiesce());
        }
    }

    pub fn reset(&mut self, kind: ResetKind) {
        self.power = PowerState::D0;
        self.device.reset(&self.bus.timers, kind);
    }

    /// Ends what the device has under way, and drops it.
    pub fn retire(&self) {
        self.bus.hooks.close();
        self.bus.timers.close();
        self.device.retire();
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.retire();
    }
}
