// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where somebody may step in between a function and its bus: interrupts, accesses
//! to registers and DMA each ask the function's [`Hooks`], which cost one load of a
//! word while nothing is asked for. Fault injection is such a [`BusHook`].

mod function;

use std::{any::Any, fmt, sync::Arc};

pub use function::HookedFunction;

pub use crate::bus_hook::{BusHook, InterruptDecision, WriteDecision, site};
use crate::{bar::BarIndex, bus_hook::HookRef};

/// Where a hook is to one function. Clones speak of the same function.
#[derive(Clone)]
pub struct Hooks {
    function: Arc<HookedFunction>,
    /// Not in the function, which the hook holds.
    pub(crate) hook: HookRef,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.hook.fmt(f)
    }
}

impl Default for Hooks {
    fn default() -> Self {
        let hook = HookRef::default();
        let function = Arc::new(HookedFunction::new(Arc::clone(&hook.sites)));
        Self { function, hook }
    }
}

impl Hooks {
    /// Whether one of these [`site`]s is set.
    #[inline]
    pub(crate) fn has(&self, sites: u32) -> bool {
        self.hook.has(sites)
    }

    /// The hook of that type, which is made where there is none yet; `None` where there
    /// is one of another type.
    pub fn get_or_attach<H: BusHook>(
        &self,
        make: impl FnOnce(&Arc<HookedFunction>) -> H,
    ) -> Option<&H> {
        let slot = &self.hook.hook;
        let hook = slot.get_or_init(|| Box::new(make(&self.function)));
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
        self.has(site::BURST) && self.hook.get().is_some_and(|hook| hook.on_burst(vector))
    }

    /// The function behind it.
    pub(crate) fn function(&self) -> &HookedFunction {
        &self.function
    }

    /// Whether anything at all is not as usual.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.has(u32::MAX)
    }

    /// A read of registers: whether it is answered with all ones.
    #[cold]
    pub(crate) fn reads_ones(&self, bar: BarIndex, offset: u64, len: usize) -> bool {
        let ones = self
            .hook
            .get()
            .is_some_and(|hook| hook.on_read(bar, offset, len));
        self.function.is_removed() || ones
    }

    /// The answer to a read of registers, on its way to who asked.
    #[cold]
    pub(crate) fn answer(&self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        if let Some(hook) = self.hook.get() {
            hook.on_answer(bar, offset, data);
        }
    }

    /// A write to registers: whether it is lost.
    #[cold]
    pub(crate) fn loses_write(&self) -> bool {
        if let Some(hook) = self.hook.get() {
            hook.on_write();
        }
        self.function.is_removed()
    }

    /// What is late belongs to a device that is reset or gone: it never comes.
    pub(crate) fn forget_late(&self) {
        if self.has(site::LATE)
            && let Some(hook) = self.hook.get()
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
        if let Some(hook) = self.hook.get() {
            hook.on_end();
        }
    }
}

#[cfg(test)]
mod tests;
