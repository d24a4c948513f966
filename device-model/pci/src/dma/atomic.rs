// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Atomic accesses to words in the guest's memory, against its processors and
//! other devices alike. They need the memory mapped: no message of the protocol
//! is atomic.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use vm_memory::{VolatileMemory, VolatileSlice};

use super::{Access, Dma, DmaError, GuestAddr, UnderWay};
use crate::bus_hook::site;

/// A word that can be accessed atomically: `u32` or `u64`, little-endian in
/// the guest's memory.
pub trait Word: sealed::Word {}

impl Word for u32 {}
impl Word for u64 {}

mod sealed {
    use super::VolatileSlice;

    pub trait Word: Copy {
        type Bytes: AsRef<[u8]>;
        fn le_bytes(self) -> Self::Bytes;
        fn load(memory: &VolatileSlice<'_>) -> Option<Self>;
        fn store(self, memory: &VolatileSlice<'_>) -> Option<()>;
        fn fetch_add(self, memory: &VolatileSlice<'_>) -> Option<Self>;
        fn compare_exchange(
            memory: &VolatileSlice<'_>,
            current: Self,
            new: Self,
        ) -> Option<Result<Self, Self>>;
    }
}

macro_rules! word {
    ($word:ty, $atomic:ty) => {
        impl sealed::Word for $word {
            type Bytes = [u8; size_of::<$word>()];

            fn le_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }

            fn load(memory: &VolatileSlice<'_>) -> Option<Self> {
                let word = memory.get_atomic_ref::<$atomic>(0).ok()?;
                Some(Self::from_le(word.load(Ordering::Acquire)))
            }

            fn store(self, memory: &VolatileSlice<'_>) -> Option<()> {
                let word = memory.get_atomic_ref::<$atomic>(0).ok()?;
                word.store(self.to_le(), Ordering::Release);
                Some(())
            }

            fn fetch_add(self, memory: &VolatileSlice<'_>) -> Option<Self> {
                let word = memory.get_atomic_ref::<$atomic>(0).ok()?;
                // In steps, so that it holds on a big-endian host, too.
                let add = |old: $word| Some(Self::from_le(old).wrapping_add(self).to_le());
                let old = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
                Some(Self::from_le(old.unwrap_or_else(|old| old)))
            }

            fn compare_exchange(
                memory: &VolatileSlice<'_>,
                current: Self,
                new: Self,
            ) -> Option<Result<Self, Self>> {
                let word = memory.get_atomic_ref::<$atomic>(0).ok()?;
                let (current, new) = (current.to_le(), new.to_le());
                let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
                let result = word.compare_exchange(current, new, success, failure);
                Some(result.map(Self::from_le).map_err(Self::from_le))
            }
        }
    };
}

word!(u32, AtomicU32);
word!(u64, AtomicU64);

impl Dma {
    /// Loads a word in one piece, before everything read after it.
    ///
    /// # Errors
    /// When the word is not aligned or cannot be read.
    pub fn load<W: Word>(&self, addr: GuestAddr) -> Result<W, DmaError> {
        self.with_word::<W, _>(addr, Access::ReadOnly, |memory| W::load(memory))
    }

    /// Stores a word in one piece, after everything written before it; by a
    /// message where the memory has no file.
    ///
    /// # Errors
    /// When the word is not aligned or cannot be written.
    pub fn store<W: Word>(&self, addr: GuestAddr, word: W) -> Result<(), DmaError> {
        let store = || self.store_unhooked(addr, word);
        let stored = if self.shared.hook.has(site::DMA) {
            self.store_hooked(addr, word.le_bytes().as_ref(), store)
        } else {
            store()
        };
        stored.map_err(|error| self.note(error))
    }

    fn store_unhooked<W: Word>(&self, addr: GuestAddr, word: W) -> Result<(), DmaError> {
        let mut since = UnderWay::default();
        let act = |memory: &VolatileSlice<'_>| word.store(memory);
        match self.word::<W, _>(&mut since, addr, Access::ReadWrite, act)? {
            Some(()) => Ok(()),
            None => self.store_by_message(since, addr, word.le_bytes().as_ref()),
        }
    }

    /// Adds to a word, around its limit, and returns what it was before.
    ///
    /// # Errors
    /// When the word is not aligned or cannot be written.
    pub fn fetch_add<W: Word>(&self, addr: GuestAddr, add: W) -> Result<W, DmaError> {
        self.with_word::<W, _>(addr, Access::ReadWrite, |memory| add.fetch_add(memory))
    }

    /// Writes a word if it is `current`, and returns what it was before: `Ok`
    /// where it was written, `Err` where not.
    ///
    /// # Errors
    /// When the word is not aligned or cannot be written.
    pub fn compare_exchange<W: Word>(
        &self,
        addr: GuestAddr,
        current: W,
        new: W,
    ) -> Result<Result<W, W>, DmaError> {
        self.with_word::<W, _>(addr, Access::ReadWrite, |memory| {
            W::compare_exchange(memory, current, new)
        })
    }

    fn with_word<W: Word, T>(
        &self,
        addr: GuestAddr,
        access: Access,
        act: impl FnOnce(&VolatileSlice<'_>) -> Option<T>,
    ) -> Result<T, DmaError> {
        let done = self.word::<W, T>(&mut UnderWay::default(), addr, access, act);
        done.and_then(|done| done.ok_or_else(|| self.no_word::<W>(addr, access)))
            .map_err(|error| self.note(error))
    }

    /// Does something to a word; `None` where it does not lie in one piece of
    /// mapped memory.
    fn word<W: Word, T>(
        &self,
        since: &mut UnderWay,
        addr: GuestAddr,
        access: Access,
        act: impl FnOnce(&VolatileSlice<'_>) -> Option<T>,
    ) -> Result<Option<T>, DmaError> {
        let map = self.enter(since, addr)?;
        let region = map
            .at(addr.0)
            .filter(|(_, region)| access == Access::ReadOnly || region.access == Access::ReadWrite);
        let memory = region.and_then(|(start, region)| {
            let memory = region.memory.as_ref()?;
            memory.slice(addr.0 - start, size_of::<W>())
        });
        Ok(memory.and_then(|memory| act(&memory)))
    }

    /// Why a word cannot be accessed.
    fn no_word<W>(&self, addr: GuestAddr, access: Access) -> DmaError {
        let len = size_of::<W>();
        if !addr.0.is_multiple_of(len as u64) {
            return DmaError::Misaligned { addr };
        }
        match self.check(addr, len, access) {
            Err(error) => error,
            // It is there, but not mapped.
            Ok(()) => DmaError::NoFd { addr },
        }
    }
}
