// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What faults do to the function they are of: to its interrupts, its memory,
//! and to all of it.

use std::time::{Duration, Instant};

use super::{
    FaultId, Faults,
    armed::Wish,
    delayed::Action,
    description::Fault,
    error::FaultError,
    kind::{FaultKind, Registers, When},
};
use irqbed_pci::{
    bar::BarIndex,
    dma::{GuestAddr, Ticket},
    hook::{BusHook, HookedFunction, InterruptDecision, WriteDecision, site},
    irq::IrqKind,
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

/// Whether the function can have a fault.
pub(super) fn check(function: &HookedFunction, fault: &Fault) -> Result<(), FaultError> {
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
    let vectors = function.vectors();
    for (key, vector) in [("vector", fault.vector), ("to", to)] {
        if let Some(vector) = vector.filter(|vector| *vector >= vectors) {
            let give = match vectors {
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
    match function.bar_size(bar) {
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

impl Faults {
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

    /// Does something to the function, on a thread that is not its server's: a
    /// panic is the device's. `None` where there was one.
    pub fn guarded<T>(&self, place: &str, act: impl FnOnce() -> T) -> Option<T> {
        self.function().guarded(place, act)
    }

    /// What is late belongs to a device that is reset or gone: it never comes.
    fn forget_late(&self) {
        if self.function().has(site::LATE) {
            drop(self.inner.later.take_late());
        }
    }

    /// Sends an interrupt; one that is not `late` asserts no line.
    fn send(&self, kind: IrqKind, vector: u32, late: bool) {
        if let Err(error) = self.function().interrupt(kind, vector, late) {
            tracing::debug!("an interrupt of a fault is lost: {error}");
        }
    }

    /// An interrupt with no event behind it, as software wants them now.
    fn interrupt_of_none(&self, vector: u32) {
        if let Some((kind, vector)) = self.function().chosen(vector) {
            self.send(kind, vector, false);
        }
    }

    fn write_late(&self, ticket: Ticket, addr: GuestAddr, data: &[u8]) {
        if let Err(error) = self.function().write(ticket, addr, data) {
            tracing::debug!("a late write is lost: {error}");
        }
    }

    /// Lets all arrive that is late.
    pub(super) fn deliver_late(&self) {
        let late = self.inner.later.take_late();
        self.function().set_late(false);
        let now = Instant::now();
        for action in late {
            self.carry_out(now, action);
        }
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
        self.function().remove();
        self.forget_late();
    }

    /// The function is there again, as after power on.
    pub(super) fn power_on(&self) {
        self.forget_late();
        self.function().power_on();
    }

    fn reset(&self) {
        self.forget_late();
        self.function().reset();
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
}

impl BusHook for Faults {
    fn on_interrupt(&self, kind: IrqKind, vector: u32, vectors: u32) -> InterruptDecision {
        let mut wishes = Vec::new();
        let decision = self.table().interrupt(vector, vectors, &mut wishes);
        self.fulfil(wishes, Cause::Interrupt(kind, vector));
        decision
    }

    fn on_dma(&self, ticket: &Ticket, addr: GuestAddr, data: &[u8]) -> WriteDecision {
        let mut wishes = Vec::new();
        let decision = self.table().write(addr, data, &mut wishes);
        self.fulfil(wishes, Cause::Write(ticket));
        decision
    }

    fn on_read(&self, bar: BarIndex, offset: u64, len: usize) -> bool {
        let mut wishes = Vec::new();
        let ones = self.table().read(bar, offset, len, &mut wishes);
        self.fulfil(wishes, Cause::Registers);
        ones
    }

    fn on_answer(&self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        self.table().stick(bar, offset, data);
    }

    fn on_write(&self) {
        let mut wishes = Vec::new();
        self.table().written(&mut wishes);
        self.fulfil(wishes, Cause::Registers);
    }

    fn on_burst(&self, vector: u32) -> bool {
        self.table().swap(vector)
    }

    /// What was to assert the line does not any more.
    fn on_line_end(&self) {
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

    fn on_reset(&self) {
        self.forget_late();
    }

    fn on_end(&self) {
        self.close();
    }
}
