// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where somebody may step in between a function and its bus: interrupts, accesses
//! to registers and DMA each ask the function's [`Hooks`], which cost one load of a
//! word while nothing is asked for. Fault injection is such a [`BusHook`].

mod function;

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock, atomic::Ordering},
};

pub use function::HookedFunction;

use crate::{
    bar::BarIndex,
    dma::{GuestAddr, Ticket},
    irq::IrqKind,
};

/// Where a hook is asked, and what it has made of the function, as bits of one word.
pub mod site {
    /// Interrupts: [`on_interrupt`](super::BusHook::on_interrupt).
    pub const INTERRUPT: u32 = 1;
    /// Writes of the device to the guest's memory: [`on_dma`](super::BusHook::on_dma).
    pub const DMA: u32 = 1 << 1;
    /// Reads of registers: [`on_read`](super::BusHook::on_read).
    pub const READ: u32 = 1 << 2;
    /// Writes to registers: [`on_write`](super::BusHook::on_write).
    pub const WRITE: u32 = 1 << 3;
    /// Bursts of completions: [`on_burst`](super::BusHook::on_burst).
    pub const BURST: u32 = 1 << 4;
    /// The function is gone.
    pub const REMOVED: u32 = 1 << 5;
    /// Something is under way that is late.
    pub const LATE: u32 = 1 << 6;
    /// The configuration space is to be reset by whoever has it.
    pub(crate) const CONFIG: u32 = 1 << 7;
    /// Those at which a hook is asked.
    pub(super) const ASKED: u32 = INTERRUPT | DMA | READ | WRITE | BURST;
}

/// What becomes of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InterruptDecision {
    /// It is sent.
    Sent,
    /// It is sent twice.
    Twice,
    /// The device thinks that it is sent.
    Lost,
    /// It is sent on another vector.
    On(u32),
}

/// What becomes of a write to the guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteDecision {
    /// It is carried out.
    Whole,
    /// The device thinks that it is carried out.
    Lost,
    /// These bytes of it are.
    First(usize),
    /// It goes there.
    To(GuestAddr),
    /// Other data is written.
    Data(Vec<u8>),
    /// It is refused.
    Refused,
}

/// What steps in between a function and its bus. It is asked at the [`site`]s that it
/// [names](HookedFunction::ask_at), on whichever thread acts, which may hold the
/// device's lock: it acts on the function later, on a thread of its own, but for
/// [`HookedFunction::remove`].
pub trait BusHook: Any + Send + Sync {
    /// An interrupt of a device that has so many vectors of that kind.
    fn on_interrupt(&self, kind: IrqKind, vector: u32, vectors: u32) -> InterruptDecision {
        let _ = (kind, vector, vectors);
        InterruptDecision::Sent
    }

    /// A write of the device to the guest's memory. With the ticket it can be
    /// [carried out later](HookedFunction::write).
    fn on_dma(&self, ticket: &Ticket, addr: GuestAddr, data: &[u8]) -> WriteDecision {
        let _ = (ticket, addr, data);
        WriteDecision::Whole
    }

    /// A read of registers: whether it is answered with all ones.
    fn on_read(&self, bar: BarIndex, offset: u64, len: usize) -> bool {
        let _ = (bar, offset, len);
        false
    }

    /// The answer to a read of registers, on its way to who asked.
    fn on_answer(&self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        let _ = (bar, offset, data);
    }

    /// A write to registers, before it is carried out.
    fn on_write(&self) {}

    /// Two completions come at once on a vector: whether they change places.
    fn on_burst(&self, vector: u32) -> bool {
        let _ = vector;
        false
    }

    /// A line is no longer asserted, while something is [late](site::LATE).
    fn on_line_end(&self) {}

    /// The function is reset or its hypervisor gone, while something is
    /// [late](site::LATE), which must never come.
    fn on_reset(&self) {}

    /// The function is no more: when this returns, nothing of the hook happens to it.
    fn on_end(&self) {}
}

/// Where a hook is to one function. Clones speak of the same function.
#[derive(Clone, Default)]
pub struct Hooks {
    function: Arc<HookedFunction>,
    /// Not in the function, which the hook holds.
    hook: Arc<OnceLock<Box<dyn BusHook>>>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = self.function.sites().load(Ordering::Relaxed);
        f.debug_tuple("Hooks").field(&sites).finish()
    }
}

impl Hooks {
    /// The hook of that type, which is made where there is none yet; `None` where there
    /// is one of another type.
    pub fn get_or_attach<H: BusHook>(
        &self,
        make: impl FnOnce(&Arc<HookedFunction>) -> H,
    ) -> Option<&H> {
        let hook = self.hook.get_or_init(|| Box::new(make(&self.function)));
        if self.function.has_ended() {
            // It may have come too late to be told.
            hook.on_end();
        }
        let hook: &dyn Any = &**hook;
        hook.downcast_ref()
    }

    /// Whether the device should let two completions that come at once on a vector
    /// change places; asked by the device where it could.
    #[must_use]
    pub fn swap(&self, vector: u32) -> bool {
        self.has(site::BURST) && self.hook().is_some_and(|hook| hook.on_burst(vector))
    }

    fn hook(&self) -> Option<&dyn BusHook> {
        self.hook.get().map(|hook| &**hook)
    }

    /// The function behind it.
    pub(crate) fn function(&self) -> &HookedFunction {
        &self.function
    }

    /// Whether one of these [`site`]s is set. Nothing is ordered by it: what is asked
    /// for at this moment may happen to the next.
    #[inline]
    pub(crate) fn has(&self, sites: u32) -> bool {
        self.function.has(sites)
    }

    /// Whether anything at all is not as usual.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.has(u32::MAX)
    }

    /// An interrupt; `None` where there is nobody who could send it.
    #[cold]
    pub(crate) fn interrupt(
        &self,
        kind: IrqKind,
        vector: u32,
        vectors: u32,
    ) -> Option<InterruptDecision> {
        let decision = self.hook().map_or(InterruptDecision::Sent, |hook| {
            hook.on_interrupt(kind, vector, vectors)
        });
        (!self.function.is_removed()).then_some(decision)
    }

    /// A write to the guest's memory; `None` where there is nobody who could write.
    #[cold]
    pub(crate) fn write(
        &self,
        ticket: &Ticket,
        addr: GuestAddr,
        data: &[u8],
    ) -> Option<WriteDecision> {
        let decision = self
            .hook()
            .map_or(WriteDecision::Whole, |hook| hook.on_dma(ticket, addr, data));
        (!self.function.is_removed()).then_some(decision)
    }

    /// A read of registers: whether it is answered with all ones.
    #[cold]
    pub(crate) fn reads_ones(&self, bar: BarIndex, offset: u64, len: usize) -> bool {
        let ones = self
            .hook()
            .is_some_and(|hook| hook.on_read(bar, offset, len));
        self.function.is_removed() || ones
    }

    /// The answer to a read of registers, on its way to who asked.
    #[cold]
    pub(crate) fn answer(&self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        if let Some(hook) = self.hook() {
            hook.on_answer(bar, offset, data);
        }
    }

    /// A write to registers: whether it is lost.
    #[cold]
    pub(crate) fn loses_write(&self) -> bool {
        if let Some(hook) = self.hook() {
            hook.on_write();
        }
        self.function.is_removed()
    }

    /// A line is no longer asserted.
    pub(crate) fn line_ends(&self) {
        if self.has(site::LATE)
            && let Some(hook) = self.hook()
        {
            hook.on_line_end();
        }
    }

    /// What is late belongs to a device that is reset or gone: it never comes.
    pub(crate) fn forget_late(&self) {
        if self.has(site::LATE)
            && let Some(hook) = self.hook()
        {
            hook.on_reset();
        }
    }

    /// Whether the configuration space is to be reset first; asked by who has it.
    pub(crate) fn takes_reset(&self) -> bool {
        self.function.unset(site::CONFIG)
    }

    /// The function is no more.
    pub(crate) fn close(&self) {
        self.function.end();
        if let Some(hook) = self.hook() {
            hook.on_end();
        }
    }
}

#[cfg(test)]
mod tests;
