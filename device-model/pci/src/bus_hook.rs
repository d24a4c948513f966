// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a hook between a function and its bus is asked, and the hook as interrupts
//! and DMA ask it. They know nothing of what a hook can do to their function.

use std::{
    any::Any,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    bar::BarIndex,
    capability::IrqKind,
    guest_access::{GuestAddr, Ticket},
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
    pub(crate) const ASKED: u32 = INTERRUPT | DMA | READ | WRITE | BURST;
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
    /// It is refused, and by whom: the words behind "refused, by".
    Refused(&'static str),
}

/// What steps in between a function and its bus. It is asked at the [`site`]s that it
/// [names](crate::hook::HookedFunction::ask_at), on whichever thread acts, which may hold the
/// device's lock: it acts on the function later, on a thread of its own, but for
/// [`remove`](crate::hook::HookedFunction::remove).
pub trait BusHook: Any + Send + Sync {
    /// An interrupt of a device that has so many vectors of that kind.
    fn on_interrupt(&self, kind: IrqKind, vector: u32, vectors: u32) -> InterruptDecision {
        let _ = (kind, vector, vectors);
        InterruptDecision::Sent
    }

    /// A write of the device to the guest's memory. With the ticket it can be
    /// [carried out later](crate::hook::HookedFunction::write).
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

/// The hook of one function, where there is one. Clones speak of the same.
#[derive(Clone, Default)]
pub(crate) struct HookRef {
    /// Bits of [`site`]: all that is looked at while nothing is asked for.
    pub sites: Arc<AtomicU32>,
    pub hook: Arc<OnceLock<Box<dyn BusHook>>>,
}

impl fmt::Debug for HookRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sites = self.sites.load(Ordering::Relaxed);
        f.debug_tuple("Hooks").field(&sites).finish()
    }
}

impl HookRef {
    /// Whether one of these [`site`]s is set. Nothing is ordered by it: what is asked
    /// for at this moment may happen to the next.
    #[inline]
    pub fn has(&self, sites: u32) -> bool {
        self.sites.load(Ordering::Relaxed) & sites != 0
    }

    /// The hook.
    pub fn get(&self) -> Option<&dyn BusHook> {
        self.hook.get().map(|hook| &**hook)
    }

    /// An interrupt; `None` where there is nobody who could send it.
    #[cold]
    pub fn interrupt(&self, kind: IrqKind, vector: u32, vectors: u32) -> Option<InterruptDecision> {
        let decision = self.get().map_or(InterruptDecision::Sent, |hook| {
            hook.on_interrupt(kind, vector, vectors)
        });
        (!self.has(site::REMOVED)).then_some(decision)
    }

    /// A write to the guest's memory; `None` where there is nobody who could write.
    #[cold]
    pub fn write(&self, ticket: &Ticket, addr: GuestAddr, data: &[u8]) -> Option<WriteDecision> {
        let decision = self
            .get()
            .map_or(WriteDecision::Whole, |hook| hook.on_dma(ticket, addr, data));
        (!self.has(site::REMOVED)).then_some(decision)
    }

    /// A line is no longer asserted.
    pub fn line_ends(&self) {
        if self.has(site::LATE)
            && let Some(hook) = self.get()
        {
            hook.on_line_end();
        }
    }
}
