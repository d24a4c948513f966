// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One interrupt: when its eventfd is written, and what waits.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
};

use super::{IrqError, Signalled};

/// One interrupt line or message.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub eventfd: Option<File>,
    /// By the hypervisor, or a level by itself.
    masked: bool,
    /// With all of its kind, by the configuration space.
    function_masked: bool,
    /// An edge that waits to be sent; of a level interrupt, that it is
    /// asserted.
    pending: bool,
    /// A level interrupt: masks itself when it fires, until it is unmasked, and
    /// fires again if it is still asserted soon after.
    level: bool,
    /// Unmasked while it was asserted: fires again when that [settles](Irqs::settle).
    due: bool,
    /// Masked by itself when it fired, and not touched by the hypervisor since.
    fired: bool,
    /// Switched off in the configuration space.
    off: bool,
}

impl Line {
    /// A line that is asserted by a level.
    pub fn level() -> Self {
        Self {
            level: true,
            ..Self::default()
        }
    }

    /// A message, which is off.
    pub fn message() -> Self {
        Self {
            off: true,
            ..Self::default()
        }
    }

    /// Asserted, or an edge that was not sent yet.
    pub const fn is_pending(&self) -> bool {
        self.pending
    }

    /// Unmasked while asserted, and not settled yet.
    pub const fn is_due(&self) -> bool {
        self.due
    }

    /// Whether an interrupt with no event behind it would be seen.
    pub const fn is_open(&self) -> bool {
        !self.off && !self.masked
    }

    /// A message that software has switched off.
    pub const fn is_message_off(&self) -> bool {
        self.off && !self.level
    }

    /// An interrupt of the device.
    pub fn signal(&mut self, vector: u32) -> Result<Signalled, IrqError> {
        if self.is_message_off() {
            // A message that is off is not kept.
            return Ok(Signalled::Off);
        }
        self.pending = true;
        match &self.eventfd {
            Some(_) if self.off => Ok(Signalled::Pending),
            Some(_) if self.due || self.masked && self.level => Ok(Signalled::Sent),
            Some(_) if !self.masked && !self.function_masked => self.send(vector),
            _ => Ok(Signalled::Pending),
        }
    }

    /// Writes the eventfd, where there is one.
    fn send(&mut self, vector: u32) -> Result<Signalled, IrqError> {
        let Some(mut eventfd) = self.eventfd.as_ref() else {
            return Ok(Signalled::Pending);
        };
        match eventfd.write(&1_u64.to_ne_bytes()) {
            Ok(_) => {}
            // The count is at its limit: the interrupt is as pending as it
            // can be.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(source) => return Err(IrqError::Eventfd { vector, source }),
        }
        self.pending = self.level;
        self.masked = self.level;
        self.fired = self.level;
        Ok(Signalled::Sent)
    }

    /// The hypervisor tries an interrupt out, whether it is switched on or not:
    /// that asserts no level.
    pub fn trigger(&mut self, vector: u32) -> Result<(), IrqError> {
        let asserted = self.pending;
        if self.is_silent() {
            self.pending |= !self.level && self.eventfd.is_some();
            return Ok(());
        }
        self.send(vector)?;
        if self.level {
            self.pending = asserted;
            self.fired = false;
        }
        Ok(())
    }

    const fn is_silent(&self) -> bool {
        self.masked || self.due || self.function_masked || self.off && self.level
    }

    /// What the configuration space says has changed.
    pub fn switch(&mut self, vector: u32, off: bool, masked: bool) -> Result<(), IrqError> {
        self.off = off;
        self.function_masked = masked;
        self.signal_if_pending(vector)
    }

    /// The hypervisor wants no interrupts for now.
    pub fn mask(&mut self) {
        self.masked = true;
        self.due = false;
        self.fired = false;
    }

    /// It wants them again. Says whether the line is due: still asserted, by a
    /// device that may be acknowledged in a moment.
    pub fn unmask(&mut self, vector: u32) -> Result<bool, IrqError> {
        self.masked = false;
        self.fired = false;
        if self.level && self.pending {
            self.due = true;
            return Ok(true);
        }
        self.signal_if_pending(vector)?;
        Ok(false)
    }

    /// Sends what has waited.
    pub fn signal_if_pending(&mut self, vector: u32) -> Result<(), IrqError> {
        self.due = false;
        if self.pending {
            self.signal(vector)?;
        }
        Ok(())
    }

    /// No longer pending, or asserted. The hypervisor hears nothing any more of a
    /// level that it has not heard of yet: it would assert a line that is down,
    /// and nobody would tell it, as the guest is done with the device.
    pub fn clear(&mut self) {
        self.pending = false;
        self.due = false;
        let mut eventfd = self.eventfd.as_ref().filter(|_| self.fired);
        let unheard = eventfd.as_mut().map(|eventfd| eventfd.read(&mut [0; 8]));
        if matches!(unheard, Some(Ok(_))) {
            self.masked = false;
        }
        self.fired = false;
    }

    /// A level stays asserted: whoever connects next is told.
    pub fn disconnect(&mut self) {
        *self = Self {
            pending: self.level && self.pending,
            level: self.level,
            off: self.off,
            function_masked: self.function_masked,
            ..Self::default()
        };
    }
}
