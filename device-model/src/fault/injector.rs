// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What faults do to the function they are of: to its interrupts, its memory,
//! and to all of it.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};

use super::{
    FaultId, Faults,
    delayed::Action,
    description::Fault,
    error::FaultError,
    kind::{FaultKind, Registers, When},
    site,
    table::{Decision, Wish, WriteDecision},
};
use crate::{
    attached::DeviceCell,
    bar::BarIndex,
    device::{Bus, ResetKind},
    device_panic::PanicWatch,
    dma::{Dma, GuestAddr, Ticket, WeakDma},
    irq::{IrqKind, Irqs, WeakIrqs},
    spec::DeviceSpec,
    timer::Timers,
    window::Window,
};

/// The access that faults happened to.
#[derive(Clone, Copy)]
enum Cause<'a> {
    /// An interrupt of the device.
    Interrupt(IrqKind, u32),
    /// A write of the device to the guest's memory.
    Write(&'a Ticket),
    /// An access of the guest to registers.
    Registers,
}

/// A function, as its faults reach it. They do not keep it alive.
pub(crate) struct Injector {
    irqs: WeakIrqs,
    dma: WeakDma,
    timers: Timers,
    device: Weak<DeviceCell>,
    watch: PanicWatch,
    /// The memory of its mapped BARs.
    windows: OnceLock<Vec<Weak<Window>>>,
    vectors: u32,
    bars: [u64; BarIndex::COUNT],
}

impl Injector {
    pub fn new(bus: &Bus, device: &Arc<DeviceCell>, spec: &DeviceSpec) -> Self {
        let size = |index| spec.get_bar(index).map_or(0, |bar| bar.size);
        Self {
            irqs: bus.irqs.downgrade(),
            dma: bus.dma.downgrade(),
            timers: bus.timers.clone(),
            device: Arc::downgrade(device),
            watch: bus.watch.clone(),
            windows: OnceLock::new(),
            vectors: spec
                .msix
                .map_or(0, |msix| msix.vectors)
                .max(spec.msi.map_or(0, |msi| msi.vectors))
                .max(spec.intx.map_or(0, |_| 1)),
            bars: [0, 1, 2, 3, 4, 5].map(size),
        }
    }

    /// Whether the function can have a fault.
    pub fn check(&self, fault: &Fault) -> Result<(), FaultError> {
        let bad = |key, value: String, give: String| {
            let kind = fault.kind.name();
            Err(FaultError::Value {
                kind,
                key,
                value,
                give,
            })
        };
        let to = match fault.kind {
            FaultKind::IrqMisrouted { to } => to,
            _ => None,
        };
        for (key, vector) in [("vector", fault.vector), ("to", to)] {
            if let Some(vector) = vector.filter(|vector| *vector >= self.vectors) {
                let give = match self.vectors {
                    0 => "the device has no interrupt".to_owned(),
                    1 => "the device has vector 0 alone".to_owned(),
                    count => format!("the device has {count} vectors: give 0 to {}", count - 1),
                };
                return bad(key, vector.to_string(), give);
            }
        }
        let (bar, first, last) = match fault.kind {
            FaultKind::ReadsOnes(Registers {
                bar: Some(bar),
                offset,
                ..
            }) => (bar, offset, offset),
            FaultKind::BitsStuck {
                bar, offset, mask, ..
            } => {
                let bytes = (64 - mask.leading_zeros()).div_ceil(8);
                let behind = u64::from(bytes).saturating_sub(1);
                (bar, offset, offset.saturating_add(behind))
            }
            _ => return Ok(()),
        };
        match self.bars.get(bar.get() as usize).copied().unwrap_or(0) {
            0 => bad(
                "bar",
                bar.get().to_string(),
                "the device has no such BAR".to_owned(),
            ),
            size if last >= size => bad(
                "offset",
                format!("{first:#x}"),
                format!("BAR {} ends at {size:#x}", bar.get()),
            ),
            _ => Ok(()),
        }
    }
}

impl Faults {
    /// The function that the faults are of.
    pub(crate) fn connect(&self, injector: Injector) {
        // A function is attached once.
        let _ = self.inner.injector.set(injector);
    }

    /// The memory of its mapped BARs.
    pub(crate) fn set_windows<'a>(&self, windows: impl Iterator<Item = &'a Arc<Window>>) {
        if let Some(injector) = self.inner.injector.get() {
            let _ = injector.windows.set(windows.map(Arc::downgrade).collect());
        }
    }

    /// What a fault does because it was armed.
    pub(super) fn begin(&self, id: FaultId, fault: &Fault) {
        let now = Instant::now();
        match fault.kind {
            FaultKind::IrqSpurious { rate } => {
                let vector = fault.vector.unwrap_or(0);
                match rate {
                    None if self.comes(id).0 => self.interrupt_of_none(vector),
                    None => {}
                    Some(rate) => {
                        let period = Duration::from_secs_f64(1.0 / rate);
                        let action = Action::Spurious { id, vector, period };
                        self.later(now + period, action);
                    }
                }
            }
            kind => match kind.when() {
                Some(When::In(Duration::ZERO)) if self.comes(id).0 => self.to_all(kind),
                Some(When::In(delay)) => {
                    let id = Some(id);
                    self.later(now + delay, Action::Whole { id, kind });
                }
                _ => {}
            },
        }
    }

    /// An opportunity of a fault that has its own time.
    fn comes(&self, id: FaultId) -> (bool, bool) {
        self.table().comes(id).unwrap_or((false, false))
    }

    /// Carries out what was to happen at a time.
    pub(super) fn carry_out(&self, due: Instant, action: Action) {
        match action {
            Action::Interrupt { kind, vector, late } => self.send(kind, vector, late),
            Action::Write { ticket, addr, data } => self.write_late(ticket, addr, &data),
            Action::Spurious { id, vector, period } => {
                let (happens, again) = self.comes(id);
                if happens {
                    self.interrupt_of_none(vector);
                }
                if again {
                    let action = Action::Spurious { id, vector, period };
                    self.later(due + period, action);
                }
            }
            Action::Storm {
                id,
                kind,
                vector,
                left,
                period,
            } => {
                if !self.table().storms(id, left <= 1) {
                    return;
                }
                self.send(kind, vector, false);
                if left > 1 {
                    let left = left - 1;
                    let action = Action::Storm {
                        id,
                        kind,
                        vector,
                        left,
                        period,
                    };
                    self.later(due + period, action);
                }
            }
            Action::Whole { id, kind } => {
                if id.is_none_or(|id| self.comes(id).0) {
                    self.to_all(kind);
                }
            }
        }
    }

    fn irqs(&self) -> Option<Irqs> {
        self.inner.injector.get()?.irqs.upgrade()
    }

    /// Does something to the function, on a thread that is not its server's: a
    /// panic is the device's. `None` where there was one.
    pub(crate) fn guarded<T>(&self, place: &str, act: impl FnOnce() -> T) -> Option<T> {
        match self.inner.injector.get() {
            Some(injector) => injector.watch.run(place, act),
            None => Some(act()),
        }
    }

    fn dma(&self) -> Option<Dma> {
        self.inner.injector.get()?.dma.upgrade()
    }

    /// What is late belongs to a device that is reset or gone: it never comes.
    pub(crate) fn forget_late(&self) {
        if self.has(site::LATE) {
            drop(self.inner.later.take_late());
        }
    }

    /// Sends an interrupt; one that is not `late` asserts no line.
    fn send(&self, kind: IrqKind, vector: u32, late: bool) {
        let Some(irqs) = self.irqs().filter(|_| !self.is_removed()) else {
            return;
        };
        let sent = if late {
            irqs.deliver(kind, vector).map(drop)
        } else {
            irqs.nudge(kind, vector)
        };
        if let Err(error) = sent {
            tracing::debug!("an interrupt of a fault is lost: {error}");
        }
    }

    /// An interrupt with no event behind it, as software wants them now.
    fn interrupt_of_none(&self, vector: u32) {
        if let Some(irqs) = self.irqs()
            && let Some((kind, vector)) = irqs.chosen(vector)
        {
            self.send(kind, vector, false);
        }
    }

    fn write_late(&self, ticket: Ticket, addr: GuestAddr, data: &[u8]) {
        let Some(dma) = self.dma().filter(|_| !self.is_removed()) else {
            return;
        };
        if let Err(error) = dma.write_late(ticket, addr, data) {
            tracing::debug!("a late write is lost: {error}");
        }
    }

    /// Lets all arrive that is late.
    pub(super) fn deliver_late(&self) {
        let late = self.inner.later.take_late();
        self.unset(site::LATE);
        let now = Instant::now();
        for action in late {
            self.carry_out(now, action);
        }
    }

    /// A line is no longer asserted: what was to assert it does not any more.
    pub(crate) fn line_ends(&self) {
        let asserts = |action: &Action| {
            matches!(
                action,
                Action::Interrupt {
                    kind: IrqKind::Intx,
                    late: true,
                    ..
                }
            )
        };
        drop(self.inner.later.take(asserts));
    }

    /// Something happens to the whole function. Not to be called with the
    /// device's lock held.
    fn to_all(&self, kind: FaultKind) {
        match kind {
            FaultKind::Removed(_) => self.remove(),
            FaultKind::Returned(_) if self.is_removed() => self.power_on(),
            FaultKind::Reset(_) if !self.is_removed() => self.reset(),
            _ => {}
        }
    }

    /// The function is gone. Takes no lock of the device.
    fn remove(&self) {
        self.set(site::REMOVED);
        self.forget_late();
        if let Some(dma) = self.dma() {
            dma.terminate();
        }
        if let Some(irqs) = self.irqs() {
            irqs.clear_pending();
        }
        self.fill(0xff);
    }

    fn fill(&self, byte: u8) {
        let windows = self
            .inner
            .injector
            .get()
            .and_then(|injector| injector.windows.get());
        for window in windows.into_iter().flatten().filter_map(Weak::upgrade) {
            window.fill(byte);
        }
    }

    /// The function is there again, as after power on.
    pub(super) fn power_on(&self) {
        self.fill(0);
        self.reset();
        self.unset(site::REMOVED);
    }

    /// Resets the function; its configuration space with the next access to it,
    /// which comes before anybody can see it.
    fn reset(&self) {
        let Some(injector) = self.inner.injector.get() else {
            return;
        };
        self.forget_late();
        self.set(site::CONFIG);
        if let Some(dma) = self.dma() {
            dma.reset();
        }
        if let Some(device) = injector.device.upgrade() {
            device.call("reset()", |device| {
                injector.timers.power_on();
                device.reset(ResetKind::Function);
            });
        }
        if let Some(irqs) = injector.irqs.upgrade() {
            irqs.clear_pending();
        }
    }

    /// Whether the configuration space is to be reset first; asked by who has
    /// it.
    pub(crate) fn takes_reset(&self) -> bool {
        self.unset(site::CONFIG)
    }

    /// Carries out what faults wish, which may be called with the device's lock
    /// held.
    fn fulfil(&self, wishes: Vec<Wish>, cause: Cause<'_>) {
        let now = Instant::now();
        for wish in wishes {
            let (due, action) = match (wish, cause) {
                (Wish::Interrupt { after, late }, Cause::Interrupt(kind, vector)) => {
                    (now + after, Action::Interrupt { kind, vector, late })
                }
                (
                    Wish::Storm {
                        id,
                        interrupts,
                        rate,
                    },
                    Cause::Interrupt(kind, vector),
                ) => {
                    let period = Duration::from_secs_f64(1.0 / rate);
                    let action = Action::Storm {
                        id,
                        kind,
                        vector,
                        left: interrupts,
                        period,
                    };
                    (now + period, action)
                }
                (Wish::Write { after, addr, data }, Cause::Write(ticket)) => {
                    let ticket = ticket.clone();
                    (now + after, Action::Write { ticket, addr, data })
                }
                (Wish::Whole(FaultKind::Removed(_)), _) => {
                    self.remove();
                    continue;
                }
                (Wish::Whole(kind), _) => (now, Action::Whole { id: None, kind }),
                // Of another kind of access.
                (Wish::Interrupt { .. } | Wish::Storm { .. } | Wish::Write { .. }, _) => continue,
            };
            self.later(due, action);
        }
    }

    /// An interrupt of a device that has as many vectors of that kind.
    #[cold]
    pub(crate) fn interrupt(&self, kind: IrqKind, vector: u32, vectors: u32) -> Decision {
        let mut wishes = Vec::new();
        let decision = self.table().interrupt(vector, vectors, &mut wishes);
        self.fulfil(wishes, Cause::Interrupt(kind, vector));
        if self.is_removed() {
            Decision::Gone
        } else {
            decision
        }
    }

    /// A write of the device to the guest's memory.
    #[cold]
    pub(crate) fn write(&self, ticket: &Ticket, addr: GuestAddr, data: &[u8]) -> WriteDecision {
        let mut wishes = Vec::new();
        let decision = self.table().write(addr, data, &mut wishes);
        self.fulfil(wishes, Cause::Write(ticket));
        if self.is_removed() {
            WriteDecision::Gone
        } else {
            decision
        }
    }

    /// A read of registers: whether it is answered with all ones.
    #[cold]
    pub(crate) fn reads_ones(&self, bar: BarIndex, offset: u64, len: usize) -> bool {
        let mut wishes = Vec::new();
        let ones = self.table().read(bar, offset, len, &mut wishes);
        self.fulfil(wishes, Cause::Registers);
        self.is_removed() || ones
    }

    /// The answer to a read of registers, on its way to who asked.
    #[cold]
    pub(crate) fn stick(&self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        self.table().stick(bar, offset, data);
    }

    /// A write to registers: whether it is lost.
    #[cold]
    pub(crate) fn loses_write(&self) -> bool {
        let mut wishes = Vec::new();
        self.table().written(&mut wishes);
        self.fulfil(wishes, Cause::Registers);
        self.is_removed()
    }
}
