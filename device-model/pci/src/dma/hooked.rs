// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes to the guest's memory by a function that has a hook.

use std::sync::{Arc, Weak};

use super::{Dma, DmaError, GuestAddr, Shared, Ticket, UnderWay};
use crate::{
    bus_hook::{HookRef, WriteDecision},
    recorder::Recorder,
};

/// Memory that this does not keep alive.
#[derive(Debug)]
pub(crate) struct WeakDma(Weak<Shared>);

impl WeakDma {
    pub fn upgrade(&self) -> Option<Dma> {
        let shared = self.0.upgrade()?;
        let channel = None;
        Some(Dma { shared, channel })
    }
}

impl Dma {
    pub(crate) fn hooked(hook: HookRef, recorder: Recorder) -> Self {
        let shared = Shared {
            hook,
            recorder,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
            channel: None,
        }
    }

    pub(crate) fn downgrade(&self) -> WeakDma {
        WeakDma(Arc::downgrade(&self.shared))
    }

    /// Carries out a write that a hook kept back, if what began with it has not
    /// ended.
    pub(crate) fn write_late(
        &self,
        ticket: Ticket,
        addr: GuestAddr,
        data: &[u8],
    ) -> Result<(), DmaError> {
        let (dma, since) = ticket.redeem(self);
        dma.write_pieces(since, addr, data)
    }

    #[cold]
    pub(super) fn write_hooked(&self, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        let whole = || self.write_pieces(UnderWay::default(), addr, data);
        self.store_hooked(addr, data, whole)
    }

    /// Writes `data` as the hook wants it, by `whole` if it wants nothing.
    #[cold]
    pub(super) fn store_hooked(
        &self,
        addr: GuestAddr,
        data: &[u8],
        whole: impl FnOnce() -> Result<(), DmaError>,
    ) -> Result<(), DmaError> {
        // What is not allowed anyway is no opportunity.
        let ticket = self.ticket(addr)?;
        let write = |addr, data: &[u8]| self.write_pieces(UnderWay::default(), addr, data);
        match self.shared.hook.write(&ticket, addr, data) {
            Some(WriteDecision::Whole) => whole(),
            Some(WriteDecision::First(bytes)) => write(addr, data.get(..bytes).unwrap_or(data)),
            Some(WriteDecision::Data(data)) => write(addr, &data),
            Some(WriteDecision::To(other)) => {
                // Where no memory is, a write is lost and nobody told.
                if let Err(error) = write(other, data) {
                    tracing::debug!("a misplaced write is lost: {error}");
                }
                Ok(())
            }
            Some(WriteDecision::Lost) => Ok(()),
            Some(WriteDecision::Refused(by)) => Err(DmaError::Refused { addr, by }),
            None => Err(DmaError::Removed { addr }),
        }
    }
}
