// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log that QEMU's plugin writes: memory without a name, reached by
//! system calls on our side, so that no byte of it is ours while it changes.

use std::{fs::File, io, os::unix::fs::FileExt};

use irqbed_abi::execution::{
    ARMED_OFFSET, CAPACITY, Kind, LOG_SIZE, RECORD_SIZE, RECORDS_OFFSET, WRITTEN_OFFSET,
};
use rustix::fs::{MemfdFlags, memfd_create};

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
pub struct ExecutionLog(File);

impl ExecutionLog {
    /// A log that nobody writes yet.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn new() -> Result<Self, LogError> {
        let memory =
            memfd_create("irqbed-execution", MemfdFlags::CLOEXEC).map_err(io::Error::from)?;
        let file = File::from(memory);
        file.set_len(LOG_SIZE)?;
        Ok(Self(file))
    }

    /// The memory, for QEMU to inherit.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// Has everything logged from now on; what was logged before is forgotten.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn arm(&self) -> Result<(), LogError> {
        self.put(WRITTEN_OFFSET, 0)?;
        self.put(ARMED_OFFSET, 1)
    }

    /// Has nothing logged any more.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn disarm(&self) -> Result<(), LogError> {
        self.put(ARMED_OFFSET, 0)
    }

    fn put(&self, offset: u64, word: u64) -> Result<(), LogError> {
        Ok(self.0.write_all_at(&word.to_le_bytes(), offset)?)
    }

    /// What was logged, the first [`CAPACITY`] records of it: a guest that is
    /// never idle goes on for as long as the log is armed.
    ///
    /// # Errors
    /// [`LogError`].
    pub fn entries(&self) -> Result<Vec<Entry>, LogError> {
        let mut written = [0; 8];
        self.0.read_exact_at(&mut written, WRITTEN_OFFSET)?;
        let written = u64::from_le_bytes(written);
        let mut bytes = vec![0; (written.min(CAPACITY) * RECORD_SIZE) as usize];
        self.0.read_exact_at(&mut bytes, RECORDS_OFFSET)?;
        parse(&bytes)
    }
}

/// The entries that a log holds.
///
/// # Errors
/// [`LogError::Garbled`] for a record of no known kind, or a part of one.
pub fn parse(bytes: &[u8]) -> Result<Vec<Entry>, LogError> {
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
        plugin
            .write_all_at(&2_u64.to_le_bytes(), WRITTEN_OFFSET)
            .expect("room");
        assert_eq!(log.entries().expect("entries"), written);
        log.arm().expect("armed");
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
