// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Accesses that mapped memory alone does not hold: what lies in memory
//! without a file goes by messages, piece by piece, and what lies nowhere is
//! an error.

use std::sync::{Arc, PoisonError};

use vm_memory::{Bytes, GuestAddress};

use super::{Access, Dma, DmaError, DmaMessages, GuestAddr};

/// How a piece of an access is reached.
enum Way {
    /// In mapped memory.
    Mapped,
    /// By messages.
    Messages(Arc<DmaMessages>),
}

impl Dma {
    /// By which messages memory without a file is reached from now on.
    pub(crate) fn set_messages(&self, messages: Option<Arc<DmaMessages>>) {
        let place = self.shared.messages.write();
        *place.unwrap_or_else(PoisonError::into_inner) = messages;
    }

    pub(super) fn messages(&self) -> Option<Arc<DmaMessages>> {
        let messages = self.shared.messages.read();
        messages.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn read_pieces(&self, addr: GuestAddr, data: &mut [u8]) -> Result<(), DmaError> {
        self.examine(addr, data.len(), false)?;
        let (mut addr, mut rest) = (addr, data);
        while !rest.is_empty() {
            let (way, len) = self.piece(addr, rest.len(), false)?;
            let (piece, behind) = rest.split_at_mut(len);
            match way {
                Way::Mapped => {
                    let read = self.read_map().readable.read_slice(piece, at(addr));
                    read.map_err(|_| DmaError::NotMapped { addr })?;
                }
                Way::Messages(messages) => messages
                    .read(addr.0, piece)
                    .map_err(|source| DmaError::Message { addr, source })?,
            }
            (addr, rest) = (GuestAddr(addr.0.wrapping_add(len as u64)), behind);
        }
        Ok(())
    }

    pub(super) fn write_pieces(&self, addr: GuestAddr, data: &[u8]) -> Result<(), DmaError> {
        self.examine(addr, data.len(), true)?;
        let (mut addr, mut rest) = (addr, data);
        while !rest.is_empty() {
            let (way, len) = self.piece(addr, rest.len(), true)?;
            let (piece, behind) = rest.split_at(len);
            match way {
                Way::Mapped => {
                    let written = self.read_map().writable.write_slice(piece, at(addr));
                    written.map_err(|_| DmaError::NotMapped { addr })?;
                }
                Way::Messages(messages) => messages
                    .write(addr.0, piece)
                    .map_err(|source| DmaError::Message { addr, source })?,
            }
            (addr, rest) = (GuestAddr(addr.0.wrapping_add(len as u64)), behind);
        }
        Ok(())
    }

    /// A word that mapped memory did not take: aligned, and in memory without a
    /// file.
    pub(super) fn store_by_message(&self, addr: GuestAddr, word: &[u8]) -> Result<(), DmaError> {
        self.examine(addr, word.len(), true)?;
        if !addr.0.is_multiple_of(word.len() as u64) {
            return Err(DmaError::Misaligned { addr });
        }
        self.write_pieces(addr, word)
    }

    fn examine(&self, addr: GuestAddr, len: usize, write: bool) -> Result<(), DmaError> {
        let messages = self.messages().is_some();
        self.read_map().examine(addr, len, write, messages)
    }

    /// How an access of at most `len` bytes begins, and how far that goes.
    fn piece(&self, addr: GuestAddr, len: usize, write: bool) -> Result<(Way, usize), DmaError> {
        let map = self.read_map();
        let region = map.at(addr.0).ok_or(DmaError::NotMapped { addr })?;
        if region.access == Access::ReadOnly && write {
            return Err(DmaError::ReadOnly { addr });
        }
        let behind = region.last - addr.0;
        let len = usize::try_from(behind).map_or(len, |behind| len.min(behind.saturating_add(1)));
        if region.memory.is_some() {
            return Ok((Way::Mapped, len));
        }
        let messages = self.messages().ok_or(DmaError::NoFd { addr })?;
        Ok((Way::Messages(messages), len))
    }
}

const fn at(addr: GuestAddr) -> GuestAddress {
    GuestAddress(addr.0)
}
