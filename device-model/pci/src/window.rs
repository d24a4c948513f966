// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The memory of a mapped BAR, as the server reaches it. A guest that has it
//! mapped does not come here, but a hypervisor may take the mapping away: QEMU
//! does from the first INTx on. What the guest's processor does in one access
//! is one access here too, so that nobody who has the memory mapped sees half
//! of a word.

use std::{io, sync::atomic::Ordering};

use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory, VolatileMemoryError};

use crate::bar::Mapping;

pub(crate) struct Window {
    memory: MmapRegion,
}

impl Window {
    /// Maps the `size` bytes of the BAR; the file must have as many.
    pub fn open(mapping: &Mapping, size: u64) -> io::Result<Self> {
        let size = usize::try_from(size).map_err(io::Error::other)?;
        let whole = FileOffset::from_arc(mapping.file.clone(), 0);
        let memory = MmapRegion::from_file(whole, size).map_err(io::Error::other)?;
        Ok(Self { memory })
    }

    pub fn read(&self, offset: u64, data: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let memory = self.memory.as_volatile_slice();
        let order = Ordering::Acquire;
        if let Ok(word) = <&mut [u8; 4]>::try_from(&mut *data)
            && let Ok(value) = memory.load::<u32>(at, order)
        {
            *word = value.to_ne_bytes();
            return Ok(());
        }
        if let Ok(word) = <&mut [u8; 8]>::try_from(&mut *data)
            && let Ok(value) = memory.load::<u64>(at, order)
        {
            *word = value.to_ne_bytes();
            return Ok(());
        }
        memory.read_slice(data, at).map_err(io::Error::other)
    }

    pub fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let at = usize::try_from(offset).map_err(io::Error::other)?;
        let memory = self.memory.as_volatile_slice();
        let order = Ordering::Release;
        let stored = if let Ok(word) = <[u8; 4]>::try_from(data) {
            memory.store(u32::from_ne_bytes(word), at, order)
        } else if let Ok(word) = <[u8; 8]>::try_from(data) {
            memory.store(u64::from_ne_bytes(word), at, order)
        } else {
            memory.write_slice(data, at)
        };
        match stored {
            // Between two words: no processor promises anything there.
            Err(VolatileMemoryError::Misaligned { .. }) => memory.write_slice(data, at),
            stored => stored,
        }
        .map_err(io::Error::other)
    }

    /// Fills all of it.
    pub fn fill(&self, byte: u8) {
        const PIECE: usize = 4096;
        let memory = self.memory.as_volatile_slice();
        for at in (0..memory.len()).step_by(PIECE) {
            let len = PIECE.min(memory.len() - at);
            let piece = [byte; PIECE];
            // It lies inside.
            let _ = memory.write_slice(piece.get(..len).unwrap_or_default(), at);
        }
    }
}
