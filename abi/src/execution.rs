// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of executed instructions: memory that the plugin inside QEMU writes
//! while the harness has it armed, and that the harness reads when the guest
//! is idle again.
//!
//! | offset | what | written by |
//! | --- | --- | --- |
//! | [`ARMED_OFFSET`] | u64, number of the recording that is wanted, 0 for none | harness |
//! | [`RECORDING_OFFSET`] | u64, number of the recording that the records are of | plugin |
//! | [`WRITTEN_OFFSET`] | u64, records of that recording, kept or not | plugin |
//! | [`RECORDS_OFFSET`] | [`CAPACITY`] records of two u64: [`Kind`], address | plugin |
//!
//! Each word has one writer. The plugin may be in the middle of a record when the
//! harness ends one recording and begins another: that record is of the old one.

/// Offset of the word that arms the log.
pub const ARMED_OFFSET: u64 = 0;
/// Offset of the number of the recording.
pub const RECORDING_OFFSET: u64 = 8;
/// Offset of the number of records.
pub const WRITTEN_OFFSET: u64 = 16;
/// Offset of the first record.
pub const RECORDS_OFFSET: u64 = 32;
/// Size of a record, bytes.
pub const RECORD_SIZE: u64 = 16;
/// Records there is room for.
pub const CAPACITY: u64 = 1 << 22;
/// Size of the log, bytes.
pub const LOG_SIZE: u64 = RECORDS_OFFSET + CAPACITY * RECORD_SIZE;

/// What a record speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// An instruction is executed; its virtual address.
    Instruction = 1,
    /// One that reads the time stamp counter is; its virtual address.
    ClockRead = 2,
    /// The instruction before, of a process, stored; the physical address.
    UserStore = 3,
    /// The processor takes an interrupt; the virtual address of the entry.
    Interrupt = 4,
    /// An instruction faulted; its virtual address. It is executed once more,
    /// if ever, and was not counted.
    Exception = 5,
}

impl Kind {
    /// From the word in a record; `None` for what is no kind.
    #[must_use]
    pub const fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            1 => Self::Instruction,
            2 => Self::ClockRead,
            3 => Self::UserStore,
            4 => Self::Interrupt,
            5 => Self::Exception,
            _ => return None,
        })
    }
}
