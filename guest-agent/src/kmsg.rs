// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's log, read from `/dev/kmsg`
//! (Documentation/ABI/testing/dev-kmsg): what the kernel warned of, and why
//! the driver would not load.

use std::{
    fs::{File, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
};

use irqbed_abi::control::KernelMessage;

/// The kernel writes no record longer than this, bytes.
const RECORD: usize = 8192;
/// `KERN_WARNING`: this level and the smaller (worse) ones are kept.
const WARNING: u32 = 4;
/// Most warnings kept; the first ones tell most.
const KEPT: usize = 500;
/// Most messages of [`Kmsg::messages`].
const MESSAGES: usize = 2000;

/// One record of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Level, 0 (emergency) to 7 (debug).
    pub level: u32,
    /// Whether the kernel wrote it, and not a process.
    pub kernel: bool,
    /// Its number; one more than that of the record before.
    pub number: u64,
    /// Microseconds since the boot.
    pub time: u64,
    /// The message.
    pub text: &'a str,
}

impl<'a> Record<'a> {
    /// Parses what one read of `/dev/kmsg` returned.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let record = std::str::from_utf8(bytes).ok()?;
        let (head, message) = record.split_once(';')?;
        let mut fields = head.split(',');
        let priority: u32 = fields.next()?.parse().ok()?;
        let number = fields.next()?.parse().ok()?;
        let time = fields.next()?.parse().ok()?;
        // Lines after the first hold the message's dictionary.
        let text = message.lines().next().unwrap_or_default();
        Some(Self {
            level: priority & 7,
            kernel: priority >> 3 == 0,
            number,
            time,
            text,
        })
    }
}

/// A place in the kernel's log, and the warnings passed on the way to it.
#[derive(Debug)]
pub struct Kmsg {
    file: File,
    warnings: Vec<String>,
    /// Number of the record that comes next, once one was read.
    next: Option<u64>,
}

impl Kmsg {
    /// The log from its first record on.
    pub fn from_start() -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/kmsg")?;
        Ok(Self {
            file,
            warnings: Vec::new(),
            next: None,
        })
    }

    /// The log from now on.
    pub fn from_now() -> io::Result<Self> {
        let mut log = Self::from_start()?;
        log.file.seek(SeekFrom::End(0))?;
        Ok(log)
    }

    /// The kernel's messages of level warning and worse so far.
    pub fn warnings(&mut self) -> &[String] {
        let warnings = &mut self.warnings;
        each_record(&mut self.file, |record| {
            if record.kernel && record.level <= WARNING && warnings.len() < KEPT {
                warnings.push(record.text.to_owned());
            }
        });
        warnings
    }

    /// Every message since the last look, the first of them where there are very
    /// many; and how many were left out or overwritten.
    pub fn messages(&mut self) -> (Vec<KernelMessage>, u64) {
        let (mut messages, mut left_out) = (Vec::new(), 0);
        let next = &mut self.next;
        each_record(&mut self.file, |record| {
            left_out += next.map_or(0, |next| record.number.saturating_sub(next));
            *next = Some(record.number.saturating_add(1));
            if messages.len() < MESSAGES {
                messages.push(KernelMessage {
                    kernel: record.kernel,
                    time_us: record.time,
                    text: record.text.to_owned(),
                });
            } else {
                left_out += 1;
            }
        });
        (messages, left_out)
    }

    /// What the driver and the kernel's module loader said of `irqbed` since
    /// the last look, without the remark that ours is not an in-tree module.
    pub fn of_the_driver(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        each_record(&mut self.file, |record| {
            if record.kernel && record.text.starts_with("irqbed") && !record.text.contains("taint")
            {
                lines.push(record.text.to_owned());
            }
        });
        lines
    }
}

fn each_record(file: &mut impl Read, mut take: impl FnMut(Record<'_>)) {
    let mut buffer = [0; RECORD];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return,
            Ok(count) => {
                if let Some(record) = buffer.get(..count).and_then(Record::parse) {
                    take(record);
                }
            }
            // Overwritten before it was read: the next one is there.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // WouldBlock is the end of the log; nothing else is worth more
            // than ending there too.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_is_level_origin_and_text() {
        let record = Record::parse(b"3,339,5140900,-;irqbed: netlink unit 16 is taken\n DEV=x\n");
        let expected = Record {
            level: 3,
            kernel: true,
            number: 339,
            time: 5_140_900,
            text: "irqbed: netlink unit 16 is taken",
        };
        assert_eq!(record, Some(expected));
    }

    #[test]
    fn what_a_process_wrote_is_not_the_kernels() {
        let record = Record::parse(b"12,1,2,-;hello").expect("a record");
        assert_eq!((record.level, record.kernel), (4, false));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(record) = Record::parse(&bytes) {
                prop_assert!(record.level <= 7);
            }
        }
    }
}
