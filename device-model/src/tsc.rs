// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The two clocks of an event's journey, as types that cannot be mixed: what
//! the host reads from its time stamp counter, and what the guest reads from
//! the one it is shown.

#![allow(unsafe_code)]

#[cfg(not(target_arch = "x86_64"))]
compile_error!("irqbed compares the time stamp counters of host and guest and so needs x86_64");

use std::arch::x86_64::{_mm_lfence, _rdtsc};

/// A reading of the host's time stamp counter, cycles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostTsc(pub u64);

/// A reading of the guest's time stamp counter, cycles; executed guest
/// instructions where the guest's clock counts those.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestTsc(pub u64);

impl HostTsc {
    /// Reads the counter, in program order: no earlier load or instruction is
    /// still under way, no later one has begun (`lfence`, Intel SDM vol. 2,
    /// RDTSC). Earlier stores may still sit in the store buffer.
    #[must_use]
    #[inline]
    pub fn now() -> Self {
        // SAFETY: both instructions exist on every x86_64 and touch no memory.
        unsafe {
            _mm_lfence();
            let cycles = _rdtsc();
            _mm_lfence();
            Self(cycles)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HostTsc;

    #[test]
    fn the_counter_moves_forward() {
        let first = HostTsc::now();
        let second = HostTsc::now();
        assert!(second > first);
    }
}
