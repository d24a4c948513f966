// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which parts of the crate a message has reached: the counters that
//! `-C instrument-coverage` compiles in, read in the process itself. Only where
//! `--cfg irqbed_coverage` says that they are there.

#![allow(unsafe_code)]

/// Whether the crate was compiled with counters.
pub const fn is_compiled_in() -> bool {
    cfg!(irqbed_coverage)
}

#[cfg(irqbed_coverage)]
unsafe extern "C" {
    fn __llvm_profile_begin_counters() -> *mut u64;
    fn __llvm_profile_end_counters() -> *mut u64;
}

/// The counters of this process.
fn counters() -> &'static mut [u64] {
    #[cfg(irqbed_coverage)]
    // SAFETY: the two ends of the section of counters, which lives as long as
    // the process. The only thread that counts is the one that calls this, and
    // it does not while it holds the slice.
    unsafe {
        let (begin, end) = (
            __llvm_profile_begin_counters(),
            __llvm_profile_end_counters(),
        );
        std::slice::from_raw_parts_mut(begin, end.offset_from(begin).unsigned_abs())
    }
    #[cfg(not(irqbed_coverage))]
    &mut []
}

/// What was reached so far: for each counter the magnitudes that it has had.
pub struct Coverage {
    seen: Vec<u64>,
}

impl Coverage {
    pub fn new() -> Self {
        Self {
            seen: vec![0; counters().len()],
        }
    }

    /// Counts from 0.
    pub fn clear(&mut self) {
        counters().fill(0);
    }

    /// Whether something was reached for the first time since the counters were
    /// cleared, or in a new order of magnitude.
    pub fn has_grown(&mut self) -> bool {
        let mut grown = false;
        for (seen, count) in self.seen.iter_mut().zip(counters()) {
            if *count == 0 {
                continue;
            }
            let magnitude = 1 << (64 - count.leading_zeros()).min(8);
            grown |= *seen & magnitude == 0;
            *seen |= magnitude;
        }
        grown
    }

    pub fn len(&self) -> usize {
        self.seen.len()
    }

    pub fn reached(&self) -> usize {
        self.seen.iter().filter(|seen| **seen != 0).count()
    }
}
