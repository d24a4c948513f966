// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The values of a set of registers, and what an access does to them.

use std::marker::PhantomData;

use super::{Access, Entry, RegisterSet, Write};
use crate::shared_memory::SharedMemory;

/// The values of a set of registers. `read` and `write` are what software
/// does, with the effects that were declared; `get` and `set` are what the
/// device does, without.
#[derive(Debug, Clone)]
pub struct Registers<R> {
    values: Vec<u64>,
    /// Where the values of each entry begin.
    starts: Vec<usize>,
    mirror: Option<SharedMemory>,
    set: PhantomData<R>,
}

impl<R: RegisterSet> Default for Registers<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: RegisterSet> Registers<R> {
    /// The registers after a reset.
    #[must_use]
    pub fn new() -> Self {
        let (mut starts, mut values) = (Vec::new(), Vec::new());
        for entry in R::MAP.entries() {
            starts.push(values.len());
            values.extend((0..entry.count).map(|_| entry.reset));
        }
        Self {
            values,
            starts,
            mirror: None,
            set: PhantomData,
        }
    }

    /// Keeps a copy of every register at its offset in this memory, all ones
    /// elsewhere: behind a mapped BAR the guest reads it without a trap. Write-only
    /// registers, and those that a read clears, are all ones there.
    #[must_use]
    pub fn mirrored(mut self, memory: SharedMemory) -> Self {
        memory.fill(0xff);
        self.mirror = Some(memory);
        self.mirror_all();
        self
    }

    fn entry(register: R) -> Option<(&'static Entry<R>, usize, u32)> {
        let (place, index) = register.place();
        let entry = R::MAP.entries().get(place)?;
        (index < entry.count).then_some((entry, place, index))
    }

    fn slot(&self, place: usize, index: u32) -> Option<usize> {
        Some(self.starts.get(place)? + index as usize)
    }

    /// The value of a register; 0 for an index that there is not.
    #[must_use]
    pub fn get(&self, register: R) -> u64 {
        let slot = Self::entry(register).and_then(|(_, place, index)| self.slot(place, index));
        slot.and_then(|slot| self.values.get(slot).copied())
            .unwrap_or_default()
    }

    /// Gives a register a value, whatever software may do with it; bits that
    /// it does not have are left out.
    pub fn set(&mut self, register: R, value: u64) {
        let Some((entry, place, index)) = Self::entry(register) else {
            return;
        };
        let value = value & entry.bits();
        if let Some(slot) = self.slot(place, index)
            && let Some(stored) = self.values.get_mut(slot)
        {
            *stored = value;
        }
        if let Some(memory) = &self.mirror {
            mirror(memory, entry, index, value);
        }
    }

    /// Sets bits of a register. Returns its new value.
    pub fn set_bits(&mut self, register: R, bits: u64) -> u64 {
        self.set(register, self.get(register) | bits);
        self.get(register)
    }

    /// Clears bits of a register. Returns its new value.
    pub fn clear_bits(&mut self, register: R, bits: u64) -> u64 {
        self.set(register, self.get(register) & !bits);
        self.get(register)
    }

    /// Software reads a register.
    pub fn read(&mut self, register: R) -> u64 {
        let value = self.get(register);
        match Self::entry(register).map(|(entry, ..)| entry.access) {
            Some(Access::WriteOnly) | None => u64::MAX,
            Some(Access::ReadClear) => {
                self.set(register, 0);
                value
            }
            Some(_) => value,
        }
    }

    /// Software writes a register. Returns its new value; of a write-only
    /// one, which keeps none, what was written.
    pub fn write(&mut self, write: Write<R>) -> u64 {
        let Write {
            register,
            value,
            mask,
        } = write;
        let Some((entry, ..)) = Self::entry(register) else {
            return 0;
        };
        let mask = mask & entry.writable;
        let stored = self.get(register);
        match entry.access {
            Access::ReadOnly | Access::ReadClear => return stored,
            Access::WriteOnly => return value & mask,
            Access::ReadWrite => self.set(register, stored & !mask | value & mask),
            Access::WriteOneToClear => self.set(register, stored & !(value & mask)),
        }
        self.get(register)
    }

    /// Returns every register to its value after a reset.
    pub fn reset(&mut self) {
        let resets = R::MAP
            .entries()
            .iter()
            .flat_map(|entry| std::iter::repeat_n(entry.reset, entry.count as usize));
        for (value, reset) in self.values.iter_mut().zip(resets) {
            *value = reset;
        }
        self.mirror_all();
    }

    fn mirror_all(&self) {
        let Some(memory) = &self.mirror else { return };
        let mut values = self.values.iter();
        for entry in R::MAP.entries() {
            for (index, value) in (0..entry.count).zip(values.by_ref()) {
                mirror(memory, entry, index, *value);
            }
        }
    }
}

fn mirror<R>(memory: &SharedMemory, entry: &Entry<R>, index: u32, value: u64) {
    if matches!(entry.access, Access::WriteOnly | Access::ReadClear) {
        return;
    }
    let offset = entry.offset + entry.step * u64::from(index);
    if let Ok(offset) = usize::try_from(offset) {
        memory.store(offset, entry.width, value);
    }
}
