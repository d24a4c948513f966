// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Writes to the guest's memory by a function that has faults.

use std::sync::{Arc, Weak};

use super::{Dma, DmaError, GuestAddr, Shared};
use crate::fault::{Faults, WriteFate};

/// Memory that this does not keep alive.
#[derive(Debug)]
pub(crate) struct WeakDma(Weak<Shared>);

impl WeakDma {
    pub fn upgrade(&self) -> Option<Dma> {
        let shared = self.0.upgrade()?;
        Some(Dma { shared })
    }
}

impl Dma {
    pub(crate) fn with_faults(faults: Faults) -> Self {
        let shared = Shared {
            faults,
            ..Shared::default()
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    pub(crate) fn downgrade(&self) -> WeakDma {
        WeakDma(Arc::downgrade(&self.shared))
    }

    #[cold]
    pub(super) fn write_faulty(&self, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        self.store_faulty(addr, data, || self.write_faultless(addr, data))
    }

    /// Writes `data` as faults want it, by `whole` if they want nothing.
    #[cold]
    pub(super) fn store_faulty(
        &self,
        addr: GuestAddr,
        data: &[u8],
        whole: impl FnOnce() -> Result<(), DmaError>,
    ) -> Result<(), DmaError> {
        // What is not allowed anyway is no opportunity.
        self.may_start(addr)?;
        match self.shared.faults.write(addr, data) {
            WriteFate::Whole => whole(),
            WriteFate::First(bytes) => {
                self.write_faultless(addr, data.get(..bytes).unwrap_or(data))
            }
            WriteFate::Data(data) => self.write_faultless(addr, &data),
            WriteFate::To(other) => {
                // Where no memory is, a write is lost and nobody told.
                if let Err(error) = self.write_faultless(other, data) {
                    tracing::debug!("a misplaced write is lost: {error}");
                }
                Ok(())
            }
            WriteFate::Lost => Ok(()),
            WriteFate::Refused => Err(DmaError::Refused { addr }),
            WriteFate::Gone => Err(DmaError::Removed { addr }),
        }
    }
}
