// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An access of any length, carried out piece by piece: in mapped memory under
//! the map's lock, in memory without a file by messages.

use std::{ops::Range, sync::Arc};

use vm_memory::{Bytes, VolatileSlice};

use super::{Access, Dma, DmaError, DmaMessages, GuestAddr, UnderWay};
use crate::vfio_user::MessageError;

/// Most bytes that are moved under the lock at a time. Who ends accesses waits
/// for no more than that of each thread.
const CHUNK: usize = 64 << 10;

/// Where a piece of an access goes, and which bytes of it.
enum Piece<'a> {
    /// Memory of this process; the map is locked.
    Memory(VolatileSlice<'a>, Range<usize>),
    /// One message. What is held is let go when the message is on its way.
    Message(
        &'a DmaMessages,
        GuestAddr,
        Range<usize>,
        &'a mut dyn FnMut(),
    ),
}

impl Dma {
    pub(super) fn write_pieces(
        &self,
        since: UnderWay,
        addr: GuestAddr,
        data: &[u8],
    ) -> Result<(), DmaError> {
        let len = data.len();
        self.each_piece(since, addr, len, Access::ReadWrite, |piece| match piece {
            Piece::Memory(memory, range) => {
                // Both have the length of the piece.
                let _ = memory.write_slice(data.get(range).unwrap_or_default(), 0);
                Ok(memory.len())
            }
            Piece::Message(messages, at, range, sent) => {
                messages.write(at.0, data.get(range).unwrap_or_default(), sent)
            }
        })
    }

    pub(super) fn read_pieces(
        &self,
        since: UnderWay,
        addr: GuestAddr,
        data: &mut [u8],
    ) -> Result<(), DmaError> {
        let len = data.len();
        self.each_piece(since, addr, len, Access::ReadOnly, |piece| match piece {
            Piece::Memory(memory, range) => {
                let _ = memory.read_slice(data.get_mut(range).unwrap_or_default(), 0);
                Ok(memory.len())
            }
            Piece::Message(messages, at, range, sent) => {
                messages.read(at.0, data.get_mut(range).unwrap_or_default(), sent)
            }
        })
    }

    /// Hands out an access piece by piece. Before each it is asked whether the
    /// function may still access memory, as part of this access.
    fn each_piece(
        &self,
        mut since: UnderWay,
        addr: GuestAddr,
        len: usize,
        access: Access,
        mut act: impl FnMut(Piece<'_>) -> Result<usize, MessageError>,
    ) -> Result<(), DmaError> {
        if addr.0.checked_add(len as u64).is_none() {
            return Err(DmaError::Overflow { addr, len });
        }
        let mut done = 0;
        loop {
            let map = self.enter(&mut since, addr)?;
            let until = len.min(done + CHUNK);
            let mut remote = None;
            while done < until {
                let at = GuestAddr(addr.0 + done as u64);
                let (start, region) = map.at(at.0).ok_or(DmaError::NotMapped { addr: at })?;
                if access == Access::ReadWrite && region.access == Access::ReadOnly {
                    return Err(DmaError::ReadOnly { addr: at });
                }
                let behind = usize::try_from(region.last - at.0).unwrap_or(usize::MAX);
                let end = done.saturating_add(behind).saturating_add(1).min(until);
                let Some(memory) = &region.memory else {
                    remote = Some((at, done..end));
                    break;
                };
                let slice = memory.slice(at.0 - start, end - done);
                let slice = slice.ok_or(DmaError::NotMapped { addr: at })?;
                // Memory takes everything.
                let _ = act(Piece::Memory(slice, done..end));
                done = end;
            }
            let Some((at, range)) = remote else {
                if done < len {
                    continue;
                }
                return Ok(());
            };
            let messages = map.messages.clone().ok_or(DmaError::NoFd { addr: at })?;
            drop(map);
            done = self.one_message(&mut since, &messages, at, range, &mut act)?;
        }
    }

    /// Lets one message of an access go out, no longer than the client takes.
    /// Returns how much of the access is done then.
    fn one_message(
        &self,
        since: &mut UnderWay,
        messages: &Arc<DmaMessages>,
        at: GuestAddr,
        range: Range<usize>,
        act: &mut impl FnMut(Piece<'_>) -> Result<usize, MessageError>,
    ) -> Result<usize, DmaError> {
        let refused = |source| DmaError::Message { addr: at, source };
        messages.prepare(at.0).map_err(refused)?;
        let end = range.end.min(range.start + messages.most());
        // Who ends accesses waits until the message is on its way, not for the
        // reply, which the client may give only when it has its own answer.
        let mut held = Some(self.enter(since, at)?);
        let piece = Piece::Message(messages, at, range.start..end, &mut || drop(held.take()));
        let done = act(piece).map_err(refused)?;
        Ok(range.start + done.min(end - range.start))
    }

    /// A word that mapped memory did not take: aligned, and in memory without a
    /// file.
    pub(super) fn store_by_message(
        &self,
        since: UnderWay,
        addr: GuestAddr,
        word: &[u8],
    ) -> Result<(), DmaError> {
        self.check(addr, word.len(), Access::ReadWrite)?;
        if !addr.0.is_multiple_of(word.len() as u64) {
            return Err(DmaError::Misaligned { addr });
        }
        self.write_pieces(since, addr, word)
    }
}
