// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log that QEMU's plugin writes: memory without a name, reached by
//! system calls on our side, so that no byte of it is ours while it changes.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::atomic::{AtomicU64, Ordering},
};

use irqbed_abi::execution::{
    ARMED_OFFSET, CAPACITY, Kind, LOG_SIZE, RECORD_SIZE, RECORDING_OFFSET, RECORDS_OFFSET,
    WRITTEN_OFFSET,
};

use crate::anonymous_file;

/// Something that the guest's processor did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// What.
    pub kind: Kind,
    /// Where, as its [`Kind`] says.
    pub address: u64,
}

/// Why the log is of no use.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The memory cannot be had, or not be read.
    #[error("the log of executed instructions: {0}")]
    Io(#[from] io::Error),
    /// The plugin is of another version.
    #[error("the log makes no sense at record {0}: run `./just setup` to build plugin and harness")]
    Garbled(usize),
}

/// The log.
#[derive(Debug)]
pub struct ExecutionLog {
    memory: File,
    /// Number of the last recording, 0 before the first.
    recording: AtomicU64,
}

impl ExecutionLog {
    /// A log that nobody writes yet.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn new() -> Result<Self, LogError> {
        Ok(Self {
            memory: anonymous_file::create("irqbed-execution", LOG_SIZE)?,
            recording: AtomicU64::new(0),
        })
    }

    /// The memory, for QEMU to inherit.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn share(&self) -> io::Result<File> {
        self.memory.try_clone()
    }

    /// Has everything logged from now on; what was logged before is forgotten.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn arm(&self) -> Result<(), LogError> {
        let recording = self.recording.fetch_add(1, Ordering::Relaxed) + 1;
        self.put(ARMED_OFFSET, recording)
    }

    /// Has nothing logged any more.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn disarm(&self) -> Result<(), LogError> {
        self.put(ARMED_OFFSET, 0)
    }

    fn put(&self, offset: u64, word: u64) -> Result<(), LogError> {
        Ok(self.memory.write_all_at(&word.to_le_bytes(), offset)?)
    }

    fn get(&self, offset: u64) -> io::Result<u64> {
        let mut word = [0; 8];
        self.memory.read_exact_at(&mut word, offset)?;
        Ok(u64::from_le_bytes(word))
    }

    /// What was logged, the first [`CAPACITY`] records of it: a guest that is
    /// never idle goes on for as long as the log is armed.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn entries(&self) -> Result<Vec<Entry>, LogError> {
        // A guest that has done nothing since has not begun the recording either.
        if self.get(RECORDING_OFFSET)? != self.recording.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        let written = self.get(WRITTEN_OFFSET)?;
        let mut bytes = vec![0; (written.min(CAPACITY) * RECORD_SIZE) as usize];
        self.memory.read_exact_at(&mut bytes, RECORDS_OFFSET)?;
        parse(&bytes)
    }
}

/// The entries that a log holds.
///
/// # Errors
/// [`LogError::Garbled`] for a record of no known kind, or a part of one.
fn parse(bytes: &[u8]) -> Result<Vec<Entry>, LogError> {
    let records = bytes.chunks(RECORD_SIZE as usize).enumerate();
    records
        .map(|(number, record)| entry(record).ok_or(LogError::Garbled(number)))
        .collect()
}

fn entry(record: &[u8]) -> Option<Entry> {
    let (kind, address) = record.split_first_chunk::<8>()?;
    Some(Entry {
        kind: Kind::from_word(u64::from_le_bytes(*kind))?,
        address: u64::from_le_bytes(address.try_into().ok()?),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn entries_are_read_as_they_were_written() {
        let log = ExecutionLog::new().expect("memory");
        let plugin = log.share().expect("a descriptor");
        log.arm().expect("armed");
        let written = [
            Entry {
                kind: Kind::Interrupt,
                address: 0xffff_ffff_8100_0000,
            },
            Entry {
                kind: Kind::Instruction,
                address: 0xffff_ffff_8100_0000,
            },
        ];
        for (number, entry) in (0..).zip(written) {
            let at = RECORDS_OFFSET + number * RECORD_SIZE;
            let bytes = [
                (entry.kind as u64).to_le_bytes(),
                entry.address.to_le_bytes(),
            ]
            .concat();
            plugin.write_all_at(&bytes, at).expect("room");
        }
        log.put(WRITTEN_OFFSET, 2).expect("room");
        assert_eq!(log.entries().expect("of no recording yet"), []);
        log.put(RECORDING_OFFSET, 1).expect("room");
        assert_eq!(log.entries().expect("entries"), written);
        // The plugin ends a record of a recording that is over.
        log.disarm().expect("disarmed");
        log.arm().expect("armed");
        log.put(WRITTEN_OFFSET, 3).expect("room");
        assert_eq!(log.entries().expect("none"), []);
    }

    #[test]
    fn a_log_that_was_too_small_has_what_came_first() {
        let log = ExecutionLog::new().expect("memory");
        log.put(RECORDS_OFFSET + (CAPACITY - 1) * RECORD_SIZE, 1)
            .expect("room");
        log.put(WRITTEN_OFFSET, u64::MAX).expect("room");
        // The records before are of no kind: nobody has written them.
        assert!(matches!(log.entries(), Err(LogError::Garbled(0))));
    }

    #[test]
    fn a_record_cut_short_or_of_no_kind_is_named() {
        let good = [1_u64.to_le_bytes(), 7_u64.to_le_bytes()].concat();
        assert_eq!(parse(&good).expect("an entry").len(), 1);
        assert!(matches!(
            parse(&[&good, &good[..15]].concat()),
            Err(LogError::Garbled(1))
        ));
        assert!(matches!(parse(&[0; 16]), Err(LogError::Garbled(0))));
    }

    proptest! {
        #[test]
        fn any_bytes_are_entries_or_garbled(bytes in proptest::collection::vec(0_u8..7, 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
