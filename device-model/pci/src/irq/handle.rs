// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One interrupt of a device, as a value that any thread can hold and raise.

use super::{InterruptMode, IrqError, IrqKind, Irqs, Signalled};

/// One interrupt of a device. Cheap to clone, usable from any thread.
///
/// # Example
/// ```
/// use irqbed_pci::{Bus, Signalled};
/// # fn device_thread(bus: &Bus) -> Result<(), irqbed_pci::IrqError> {
/// let received = bus.irqs.msix(3);
/// match received.raise()? {
///     Signalled::Sent => println!("the guest is interrupted"),
///     Signalled::Pending => println!("it will be, when it unmasks the vector"),
///     Signalled::Off => println!("it does not use MSI-X now: nobody is told"),
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Irq {
    irqs: Irqs,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Msix(u32),
    Msi(u32),
    Intx,
    Any(u32),
}

impl Irqs {
    /// A vector of MSI-X, from 0.
    #[must_use]
    pub fn msix(&self, vector: u32) -> Irq {
        self.handle(Kind::Msix(vector))
    }

    /// A vector of MSI, from 0. Where software has enabled fewer vectors, the
    /// upper bits of the number are left out, as PCI 3.0, 6.8.3.4 has it.
    #[must_use]
    pub fn msi(&self, vector: u32) -> Irq {
        self.handle(Kind::Msi(vector))
    }

    /// The line. It stays asserted until it is lowered.
    #[must_use]
    pub fn intx(&self) -> Irq {
        self.handle(Kind::Intx)
    }

    /// What software has chosen: that vector of MSI-X or MSI, or the line. Raising
    /// it says [`Signalled::Off`] where software has switched messages off and the
    /// device has no line.
    #[must_use]
    pub fn any(&self, vector: u32) -> Irq {
        self.handle(Kind::Any(vector))
    }

    /// The interrupt that software wants a vector to be now: where it has enabled
    /// fewer vectors of MSI than the device has, the upper bits of the number are
    /// left out (PCI 3.0, 6.8.3.4). `None` where it has switched messages off and
    /// the device has no line.
    #[must_use]
    pub fn chosen(&self, vector: u32) -> Option<(IrqKind, u32)> {
        match self.mode() {
            InterruptMode::Msix => Some((IrqKind::Msix, vector)),
            InterruptMode::Msi { vectors } => {
                Some((IrqKind::Msi, vector & vectors.wrapping_sub(1)))
            }
            InterruptMode::Intx | InterruptMode::Off if self.lines.intx.is_empty() => None,
            InterruptMode::Intx | InterruptMode::Off => Some((IrqKind::Intx, 0)),
        }
    }

    fn handle(&self, kind: Kind) -> Irq {
        let irqs = self.clone();
        Irq { irqs, kind }
    }
}

impl Irq {
    /// Interrupts, and says what became of that. A message that software has
    /// switched off is lost ([`Signalled::Off`]), as the device's registers
    /// are what tells software then; a line stays asserted.
    ///
    /// # Errors
    /// When the device has no such interrupt, or its eventfd is no longer one.
    pub fn raise(&self) -> Result<Signalled, IrqError> {
        let irqs = &self.irqs;
        let chosen = match self.kind {
            Kind::Any(vector) => irqs.chosen(vector),
            Kind::Intx => Some((IrqKind::Intx, 0)),
            // Where software uses another kind, the vector is off.
            Kind::Msix(vector) => Some((IrqKind::Msix, vector)),
            Kind::Msi(vector) => match irqs.chosen(vector) {
                Some(chosen @ (IrqKind::Msi, _)) => Some(chosen),
                _ => Some((IrqKind::Msi, vector)),
            },
        };
        chosen.map_or(Ok(Signalled::Off), |(kind, vector)| {
            irqs.signal(kind, vector)
        })
    }

    /// Ends a line that was raised; a message was one moment and has no end.
    pub fn lower(&self) {
        if matches!(self.kind, Kind::Intx | Kind::Any(_)) {
            self.irqs.deassert_intx();
        }
    }
}

#[cfg(test)]
#[path = "handle_tests.rs"]
mod tests;
