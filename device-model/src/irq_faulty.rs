// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Interrupts of a function that has faults, or had them a moment ago.

use std::sync::{Arc, Weak};

use super::{InterruptMode, IrqError, Irqs, Lines, Signalled, lock};
use crate::fault::Fate;

/// A kind of interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IrqKind {
    Msix,
    Msi,
    Intx,
}

/// Interrupts that this does not keep alive.
#[derive(Debug)]
pub(crate) struct WeakIrqs(Weak<Lines>);

impl WeakIrqs {
    pub fn upgrade(&self) -> Option<Irqs> {
        let lines = self.0.upgrade()?;
        Some(Irqs { lines })
    }
}

impl Irqs {
    pub(crate) fn downgrade(&self) -> WeakIrqs {
        WeakIrqs(Arc::downgrade(&self.lines))
    }

    /// The interrupt that software wants a vector to be now.
    pub(crate) fn kind_of(&self, vector: u32) -> (IrqKind, u32) {
        match self.mode() {
            InterruptMode::Msix => (IrqKind::Msix, vector),
            InterruptMode::Msi { vectors } if vector < vectors => (IrqKind::Msi, vector),
            InterruptMode::Msi { .. } => (IrqKind::Msi, 0),
            InterruptMode::Intx | InterruptMode::Off => (IrqKind::Intx, 0),
        }
    }

    /// Signals, whatever faults there are.
    pub(crate) fn deliver(&self, kind: IrqKind, vector: u32) -> Result<Signalled, IrqError> {
        let lines = match kind {
            IrqKind::Msix => &self.lines.msix,
            IrqKind::Msi => &self.lines.msi,
            IrqKind::Intx => &self.lines.intx,
        };
        lock(Self::line(lines, vector)?).signal(vector)
    }

    /// The same, but that a line is not asserted by it.
    pub(crate) fn nudge(&self, kind: IrqKind, vector: u32) -> Result<(), IrqError> {
        match kind {
            IrqKind::Intx => {
                let mut line = lock(Self::line(&self.lines.intx, vector)?);
                if line.off || line.masked {
                    return Ok(());
                }
                line.trigger(vector)
            }
            _ => self.deliver(kind, vector).map(drop),
        }
    }

    #[cold]
    pub(super) fn signal_faulty(&self, kind: IrqKind, vector: u32) -> Result<Signalled, IrqError> {
        let vectors = match kind {
            IrqKind::Msix => &self.lines.msix,
            IrqKind::Msi => &self.lines.msi,
            IrqKind::Intx => &self.lines.intx,
        };
        Self::line(vectors, vector)?;
        let vectors = match (kind, self.mode()) {
            // Those beyond are not there for software.
            (IrqKind::Msi, InterruptMode::Msi { vectors }) => vectors,
            _ => vectors.len() as u32,
        };
        match self.lines.faults.interrupt(kind, vector, vectors) {
            Fate::Sent => self.deliver(kind, vector),
            Fate::Twice => {
                self.deliver(kind, vector)?;
                self.nudge(kind, vector).map(|()| Signalled::Sent)
            }
            Fate::On(other) => self.deliver(kind, other),
            Fate::Lost => Ok(Signalled::Sent),
            Fate::Gone => Ok(Signalled::Off),
        }
    }
}
