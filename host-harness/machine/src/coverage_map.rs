// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which instructions of kernel modules the guest has executed, as QEMU's plugin marks them:
//! memory without a name, reached by system calls on our side, so that no byte of it is ours
//! while it changes.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use irqbed_abi::coverage::{MAP_SIZE, offset};

use crate::anonymous_file;

/// The map, a byte for each address ([`irqbed_abi::coverage`]).
#[derive(Debug)]
pub struct CoverageMap(File);

impl CoverageMap {
    /// A map of which nothing was executed.
    ///
    /// # Errors
    /// When there is no memory or descriptor left.
    pub fn new() -> io::Result<Self> {
        anonymous_file::create("irqbed-coverage", MAP_SIZE).map(Self)
    }

    /// The memory, for QEMU to inherit.
    ///
    /// # Errors
    /// When there is no descriptor left.
    pub fn share(&self) -> io::Result<File> {
        self.0.try_clone()
    }

    /// The bytes of these addresses, which are cleared: other code may be there next. Empty
    /// where no module can be.
    ///
    /// # Errors
    /// When the memory cannot be read.
    pub fn take(&self, addresses: &Range<u64>) -> io::Result<Vec<u8>> {
        let (Some(start), Some(last)) = (
            offset(addresses.start),
            addresses.end.checked_sub(1).and_then(offset),
        ) else {
            return Ok(Vec::new());
        };
        let mut bytes = vec![0; (last + 1).saturating_sub(start) as usize];
        self.0.read_exact_at(&mut bytes, start)?;
        self.0.write_all_at(&vec![0; bytes.len()], start)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use irqbed_abi::coverage::{EXECUTED, FIRST, JUMPED};

    use super::*;

    #[test]
    fn what_was_executed_is_taken_once() {
        let map = CoverageMap::new().expect("memory");
        let plugin = map.share().expect("a descriptor");
        plugin
            .write_all_at(&[EXECUTED, 0, JUMPED], 0x1000)
            .expect("room");
        let at = FIRST + 0x0fff;
        let taken = map.take(&(at..at + 5)).expect("memory");
        assert_eq!(taken, [0, EXECUTED, 0, JUMPED, 0]);
        assert_eq!(map.take(&(at..at + 5)).expect("memory"), [0; 5]);
    }

    #[test]
    fn where_no_module_can_be_nothing_is() {
        let map = CoverageMap::new().expect("memory");
        for addresses in [0..4, FIRST - 2..FIRST + 2, u64::MAX - 1..u64::MAX, 8..8] {
            assert_eq!(map.take(&addresses).expect("no error"), [0; 0]);
        }
    }
}
