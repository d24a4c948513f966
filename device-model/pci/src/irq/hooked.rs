// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Interrupts of a function that has a hook, or had one a moment ago.

use std::sync::{Arc, Weak};

use super::{InterruptMode, IrqError, IrqKind, Irqs, Lines, Signalled, lock};
use crate::bus_hook::InterruptDecision;

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

    /// [`Irqs::deliver`], but that a line is not asserted by it.
    pub(crate) fn nudge(&self, kind: IrqKind, vector: u32) -> Result<(), IrqError> {
        match kind {
            IrqKind::Intx => {
                let mut line = lock(self.line(kind, vector)?);
                if line.is_open() {
                    line.trigger(vector)?;
                }
                Ok(())
            }
            _ => self.deliver(kind, vector).map(drop),
        }
    }

    #[cold]
    pub(super) fn signal_hooked(&self, kind: IrqKind, vector: u32) -> Result<Signalled, IrqError> {
        if lock(self.line(kind, vector)?).is_message_off() {
            // What is not sent anyway is no opportunity.
            return Ok(Signalled::Off);
        }
        let vectors = match (kind, self.mode()) {
            // Those beyond are not there for software.
            (IrqKind::Msi, InterruptMode::Msi { vectors }) => vectors,
            _ => self.of_kind(kind).len() as u32,
        };
        match self.lines.hook.interrupt(kind, vector, vectors) {
            Some(InterruptDecision::Sent) => self.deliver(kind, vector),
            Some(InterruptDecision::Twice) => {
                self.deliver(kind, vector)?;
                self.nudge(kind, vector).map(|()| Signalled::Sent)
            }
            Some(InterruptDecision::On(other)) => self.deliver(kind, other),
            Some(InterruptDecision::Lost) => Ok(Signalled::Sent),
            None => Ok(Signalled::Off),
        }
    }
}
