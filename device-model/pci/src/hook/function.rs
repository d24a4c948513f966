// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A function as a hook reaches it: its interrupts, its memory, and all of it.

use std::sync::{
    Arc, OnceLock, Weak,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::site;
use crate::{
    bar::BarIndex,
    device_panic::PanicWatch,
    dma::{Dma, DmaError, GuestAddr, Ticket, WeakDma},
    irq::{IrqError, IrqKind, Irqs, WeakIrqs},
    spec::DeviceSpec,
    window::Window,
};

/// A function, as its hook reaches it. That does not keep it alive: what is done to one
/// that is no more is done to nobody.
#[derive(Default)]
pub struct HookedFunction {
    /// Bits of [`site`]: all that is looked at while nothing is asked for.
    sites: Arc<AtomicU32>,
    ended: AtomicBool,
    parts: OnceLock<Parts>,
}

/// What the function consists of.
struct Parts {
    irqs: WeakIrqs,
    dma: WeakDma,
    /// Resets the device.
    reset: Box<dyn Fn() + Send + Sync>,
    watch: PanicWatch,
    /// The memory of its mapped BARs.
    windows: OnceLock<Vec<Weak<Window>>>,
    vectors: u32,
    bars: [u64; BarIndex::COUNT],
}

impl HookedFunction {
    pub(super) fn new(sites: Arc<AtomicU32>) -> Self {
        Self {
            sites,
            ..Self::default()
        }
    }

    /// The function has been attached to its bus; `reset` resets its device.
    pub(crate) fn connect(
        &self,
        (irqs, dma): (&Irqs, &Dma),
        watch: &PanicWatch,
        spec: &DeviceSpec,
        reset: impl Fn() + Send + Sync + 'static,
    ) {
        let size = |index| spec.get_bar(index).map_or(0, |bar| bar.size);
        // A function is attached once.
        let _ = self.parts.set(Parts {
            irqs: irqs.downgrade(),
            dma: dma.downgrade(),
            reset: Box::new(reset),
            watch: watch.clone(),
            windows: OnceLock::new(),
            vectors: spec
                .msix
                .map_or(0, |msix| msix.vectors)
                .max(spec.msi.map_or(0, |msi| msi.vectors))
                .max(spec.intx.map_or(0, |_| 1)),
            bars: [0, 1, 2, 3, 4, 5].map(size),
        });
    }

    /// The memory of its mapped BARs.
    pub(crate) fn set_windows<'a>(&self, windows: impl Iterator<Item = &'a Arc<Window>>) {
        if let Some(parts) = self.parts.get() {
            let _ = parts.windows.set(windows.map(Arc::downgrade).collect());
        }
    }

    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Whether it has been attached to its bus: nothing can happen to it before.
    #[must_use]
    pub fn is_attached(&self) -> bool {
        self.parts.get().is_some()
    }

    /// Most interrupts that it has of one kind; 0 for none.
    #[must_use]
    pub fn vectors(&self) -> u32 {
        self.parts.get().map_or(0, |parts| parts.vectors)
    }

    /// Size of a BAR, bytes; 0 for none.
    #[must_use]
    pub fn bar_size(&self, bar: BarIndex) -> u64 {
        let parts = self.parts.get();
        let size = parts.and_then(|parts| parts.bars.get(bar.get() as usize));
        size.copied().unwrap_or(0)
    }

    /// Whether one of these [`site`]s is set.
    #[inline]
    #[must_use]
    pub fn has(&self, sites: u32) -> bool {
        self.sites.load(Ordering::Relaxed) & sites != 0
    }

    /// Whether it is gone.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.has(site::REMOVED)
    }

    /// Asks the hook at these [`site`]s, and at no others, from now on.
    pub fn ask_at(&self, sites: u32) {
        let follow = |before| Some(before & !site::ASKED | sites & site::ASKED);
        let order = Ordering::AcqRel;
        let _ = self.sites.fetch_update(order, Ordering::Acquire, follow);
    }

    /// Says whether something of the hook's is under way that is late.
    pub fn set_late(&self, late: bool) {
        if late {
            self.set(site::LATE);
        } else {
            self.unset(site::LATE);
        }
    }

    fn set(&self, sites: u32) {
        self.sites.fetch_or(sites, Ordering::AcqRel);
    }

    /// Unsets bits, and says whether one of them was set.
    pub(super) fn unset(&self, sites: u32) -> bool {
        self.sites.fetch_and(!sites, Ordering::AcqRel) & sites != 0
    }

    fn irqs(&self) -> Option<Irqs> {
        self.parts.get()?.irqs.upgrade()
    }

    /// Interrupts, where it is not gone, and asks no hook. A line is asserted only
    /// where that is said.
    ///
    /// # Errors
    /// When the device has no such interrupt, or its eventfd is no longer one.
    pub fn interrupt(&self, kind: IrqKind, vector: u32, asserts: bool) -> Result<(), IrqError> {
        match self.irqs().filter(|_| !self.is_removed()) {
            Some(irqs) if asserts => irqs.deliver(kind, vector).map(drop),
            Some(irqs) => irqs.nudge(kind, vector),
            None => Ok(()),
        }
    }

    /// The interrupt that software wants a vector to be now: see [`Irqs::chosen`].
    #[must_use]
    pub fn chosen(&self, vector: u32) -> Option<(IrqKind, u32)> {
        self.irqs()?.chosen(vector)
    }

    /// Writes to the guest's memory what was kept back, where the function is not gone,
    /// and asks no hook.
    ///
    /// # Errors
    /// When what began with the write has ended, or the memory cannot be written.
    pub fn write(&self, ticket: Ticket, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        let dma = self.parts.get().and_then(|parts| parts.dma.upgrade());
        match dma.filter(|_| !self.is_removed()) {
            Some(dma) => dma.write_late(ticket, addr, data),
            None => Ok(()),
        }
    }

    /// The function is gone: all ones on every read, writes lost, no interrupt, no DMA.
    /// Takes no lock of the device.
    pub fn remove(&self) {
        self.set(site::REMOVED);
        if let Some(dma) = self.parts.get().and_then(|parts| parts.dma.upgrade()) {
            dma.terminate();
        }
        if let Some(irqs) = self.irqs() {
            irqs.clear_pending();
        }
        self.fill(0xff);
    }

    /// A function that is gone is there again, as after power on. Not to be called with
    /// the device's lock held.
    pub fn power_on(&self) {
        self.fill(0);
        self.reset();
        self.unset(site::REMOVED);
    }

    /// Resets the function; its configuration space with the next access to it, which
    /// comes before anybody can see it. Not to be called with the device's lock held.
    pub fn reset(&self) {
        let Some(parts) = self.parts.get() else {
            return;
        };
        self.set(site::CONFIG);
        if let Some(dma) = parts.dma.upgrade() {
            dma.reset();
        }
        (parts.reset)();
        if let Some(irqs) = self.irqs() {
            irqs.clear_pending();
        }
    }

    /// Does something to the function, on a thread that is not its server's: a panic
    /// is the device's. `None` where there was one.
    pub fn guarded<T>(&self, place: &str, act: impl FnOnce() -> T) -> Option<T> {
        match self.parts.get() {
            Some(parts) => parts.watch.run(place, act),
            None => Some(act()),
        }
    }

    fn fill(&self, byte: u8) {
        let windows = self.parts.get().and_then(|parts| parts.windows.get());
        for window in windows.into_iter().flatten().filter_map(Weak::upgrade) {
            window.fill(byte);
        }
    }
}
