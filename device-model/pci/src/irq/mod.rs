// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The interrupts of a device: one eventfd per vector, given by the
//! hypervisor, written by whichever thread has something to tell. This is
//! where an event leaves the host's userspace.

mod error;
mod handle;
mod hooked;
mod line;
mod request;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_AUTOMASKED, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_MASKABLE,
    VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX,
};

pub(crate) use self::hooked::WeakIrqs;
use self::line::Line;
pub use self::{error::IrqError, handle::Irq};
pub use crate::capability::{InterruptMode, IrqKind};
use crate::{
    bus_hook::{HookRef, site},
    spec::DeviceSpec,
    vfio_user::IrqInfo,
};

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// The eventfd was written, or INTx is being served already and looked at
    /// again when that is done.
    Sent,
    /// Nobody listens yet, or the vector is masked: it is sent when that ends.
    Pending,
    /// Software does not use this kind of interrupt now: nobody is told.
    Off,
}

/// The interrupts of one device. Clones speak of the same interrupts.
#[derive(Debug, Clone)]
pub struct Irqs {
    /// Each line has its own lock, held for one write at most.
    lines: Arc<Lines>,
}

#[derive(Debug)]
struct Lines {
    /// How software wants to be interrupted, and whether MSI-X is masked as a
    /// whole.
    mode: Mutex<(InterruptMode, bool)>,
    intx: Vec<Mutex<Line>>,
    msi: Vec<Mutex<Line>>,
    msix: Vec<Mutex<Line>>,
    /// By which a device would report its own end. None does, but QEMU warns
    /// about a device that could not.
    error: [Mutex<Line>; 1],
    /// Whether a line may be due.
    unsettled: AtomicBool,
    hook: HookRef,
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = &Mutex<Line>> {
        let messages = self.msi.iter().chain(&self.msix);
        self.intx.iter().chain(messages).chain(&self.error)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Irqs {
    /// The interrupts of a device, connected to nothing.
    #[must_use]
    pub fn new(spec: &DeviceSpec) -> Self {
        Self::hooked(spec, HookRef::default())
    }

    pub(crate) fn hooked(spec: &DeviceSpec, hook: HookRef) -> Self {
        // As after power on: messages are off.
        let edge = || Mutex::new(Line::message());
        let edges = |vectors| (0..vectors).map(|_| edge()).collect();
        Self {
            lines: Arc::new(Lines {
                mode: Mutex::default(),
                intx: spec
                    .intx
                    .iter()
                    .map(|_| Mutex::new(Line::level()))
                    .collect(),
                msi: edges(spec.msi.map_or(0, |msi| msi.vectors)),
                msix: edges(spec.msix.map_or(0, |msix| msix.vectors)),
                error: Default::default(),
                unsettled: AtomicBool::new(false),
                hook,
            }),
        }
    }

    /// How software wants to be interrupted.
    #[must_use]
    pub fn mode(&self) -> InterruptMode {
        lock(&self.lines.mode).0
    }

    /// Takes note of how software wants to be interrupted, and whether it masks
    /// MSI-X as a whole. What is asserted or pending is sent, if it can be now.
    /// When this returns, no interrupt is sent that software does not want.
    ///
    /// # Errors
    /// When an eventfd is no longer one.
    pub(crate) fn set_mode(&self, mode: InterruptMode, masked: bool) -> Result<(), IrqError> {
        let before = std::mem::replace(&mut *lock(&self.lines.mode), (mode, masked));
        for line in &self.lines.intx {
            lock(line).switch(0, mode != InterruptMode::Intx, false)?;
        }
        if before == (mode, masked) {
            return Ok(());
        }
        for (vector, line) in (0..).zip(&self.lines.msi) {
            let on = matches!(mode, InterruptMode::Msi { vectors } if vector < vectors);
            lock(line).switch(vector, !on, false)?;
        }
        for (vector, line) in (0..).zip(&self.lines.msix) {
            lock(line).switch(vector, mode != InterruptMode::Msix, masked)?;
        }
        Ok(())
    }

    /// Whether the device asserts its line, which software reads as Interrupt
    /// Status, whether it wants to be interrupted by it or not.
    pub(crate) fn is_intx_asserted(&self) -> bool {
        self.lines.intx.iter().any(|line| lock(line).is_pending())
    }

    /// The device does not assert INTx any more; nothing where there is no INTx.
    pub fn deassert_intx(&self) {
        self.lines.hook.line_ends();
        for line in &self.lines.intx {
            lock(line).clear();
        }
    }

    /// Whether a line was unmasked while it was asserted. QEMU takes a guest's
    /// first access to a BAR for the end of the service, and that is a look at
    /// the status, as a rule: what ends the interrupt comes behind it.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.lines.unsettled.load(Ordering::Relaxed)
    }

    /// Fires what is still asserted: the guest has had its chance.
    ///
    /// # Errors
    /// When the eventfd of INTx is no longer one.
    pub(crate) fn settle(&self) -> Result<(), IrqError> {
        self.lines.unsettled.store(false, Ordering::Relaxed);
        for line in &self.lines.intx {
            let mut line = lock(line);
            if line.is_due() {
                line.signal_if_pending(0)?;
            }
        }
        Ok(())
    }

    /// Byte `index` of the pending bits of MSI-X.
    pub(crate) fn pending_msix(&self, index: u32) -> u8 {
        let first = (index as usize).saturating_mul(8);
        let lines = self.lines.msix.iter().skip(first).take(8).enumerate();
        lines.fold(0, |bits, (bit, line)| {
            bits | u8::from(lock(line).is_pending()) << bit
        })
    }

    fn of_kind(&self, kind: IrqKind) -> &[Mutex<Line>] {
        match kind {
            IrqKind::Msix => &self.lines.msix,
            IrqKind::Msi => &self.lines.msi,
            IrqKind::Intx => &self.lines.intx,
        }
    }

    fn line(&self, kind: IrqKind, vector: u32) -> Result<&Mutex<Line>, IrqError> {
        let lines = self.of_kind(kind);
        lines.get(vector as usize).ok_or(IrqError::NoVector {
            vector,
            count: lines.len(),
        })
    }

    /// Signals an interrupt of a kind.
    ///
    /// INTx is asserted by that, until [`Irqs::deassert_intx`]. It fires and masks
    /// itself; whenever the hypervisor thinks that the guest has served it, it unmasks
    /// it, and the line fires again if it is still asserted when the guest has
    /// written to the device, or a moment later.
    ///
    /// # Errors
    /// When there is no such interrupt, or its eventfd is no longer one.
    pub fn signal(&self, kind: IrqKind, vector: u32) -> Result<Signalled, IrqError> {
        if self.lines.hook.has(site::INTERRUPT | site::REMOVED) {
            return self.signal_hooked(kind, vector);
        }
        self.deliver(kind, vector)
    }

    /// Signals, and asks no hook.
    pub(crate) fn deliver(&self, kind: IrqKind, vector: u32) -> Result<Signalled, IrqError> {
        lock(self.line(kind, vector)?).signal(vector)
    }

    /// Forgets every eventfd and everything pending.
    pub fn disconnect(&self) {
        for line in self.lines.iter() {
            lock(line).disconnect();
        }
    }

    /// Forgets what is pending, as a reset does.
    pub fn clear_pending(&self) {
        for line in self.lines.iter() {
            lock(line).clear();
        }
    }

    fn of_index(&self, index: u32) -> &[Mutex<Line>] {
        match index {
            VFIO_PCI_INTX_IRQ_INDEX => &self.lines.intx,
            VFIO_PCI_MSI_IRQ_INDEX => &self.lines.msi,
            VFIO_PCI_MSIX_IRQ_INDEX => &self.lines.msix,
            VFIO_PCI_ERR_IRQ_INDEX => &self.lines.error,
            _ => &[],
        }
    }

    /// What the hypervisor is told about a kind of interrupt: INTx, MSI, MSI-X,
    /// error and request; of requests there are none.
    #[must_use]
    pub fn info(&self, index: u32) -> IrqInfo {
        IrqInfo {
            index,
            flags: match index {
                VFIO_PCI_INTX_IRQ_INDEX => {
                    VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
                }
                // Without NORESIZE, the hypervisor may add vectors one by one
                // and need not switch all of them off to do so.
                _ => VFIO_IRQ_INFO_EVENTFD,
            },
            count: self.of_index(index).len() as u32,
        }
    }
}

#[cfg(test)]
mod tests;
