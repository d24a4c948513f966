// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's time stamp counter: the clock of every stamp that the agent
//! writes.

#![allow(unsafe_code)]

use core::arch::x86_64::{_mm_lfence, _rdtsc};

/// A reading of the guest's time stamp counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GuestTsc(pub u64);

/// Reads the counter after everything before it in program order was done.
#[inline(always)]
pub fn now() -> GuestTsc {
    // SAFETY: both instructions exist on every x86-64 processor, and the
    // kernel leaves `rdtsc` open to user space unless asked not to by prctl.
    GuestTsc(unsafe {
        _mm_lfence();
        _rdtsc()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_does_not_go_back() {
        let first = now();
        assert!(now() >= first);
    }
}
