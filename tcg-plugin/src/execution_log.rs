// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log in shared memory.

use std::{io, num::NonZeroU64, sync::atomic::Ordering};

use irqbed_abi::execution::{
    ARMED_OFFSET, CAPACITY, Kind, LOG_SIZE, RECORD_SIZE, RECORDING_OFFSET, RECORDS_OFFSET,
    WRITTEN_OFFSET,
};

use crate::memory::Memory;

/// The log, mapped for as long as QEMU runs.
pub struct Log(Memory);

impl Log {
    /// Maps the log.
    pub fn open(path: &str) -> io::Result<Self> {
        Memory::map(path, LOG_SIZE).map(Self)
    }

    /// The recording that the harness wants records of now, if any.
    #[inline(always)]
    pub fn armed(&self) -> Option<NonZeroU64> {
        NonZeroU64::new(self.0.word(ARMED_OFFSET).load(Ordering::Relaxed))
    }

    /// Appends a record to a recording; one that finds no room is counted and not
    /// kept. Where instructions are counted QEMU runs all processors in one thread,
    /// so nobody else appends.
    pub fn write(&self, armed: NonZeroU64, kind: Kind, address: u64) {
        let recording = self.0.word(RECORDING_OFFSET);
        let written = self.0.word(WRITTEN_OFFSET);
        if recording.load(Ordering::Relaxed) != armed.get() {
            written.store(0, Ordering::Relaxed);
            // Whoever sees the recording sees none of the records before.
            recording.store(armed.get(), Ordering::Release);
        }
        let number = written.load(Ordering::Relaxed);
        if number < CAPACITY {
            let at = RECORDS_OFFSET + number * RECORD_SIZE;
            self.0.word(at).store(kind as u64, Ordering::Relaxed);
            self.0.word(at + 8).store(address, Ordering::Relaxed);
        }
        // Whoever sees the number sees the record.
        written.store(number + 1, Ordering::Release);
    }
}
