// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where on the host the threads were that an event passes through.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Processors of the host, each for whom. In words: `raising thread, main loop
/// and guest on CPU 1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// For the thread that raises.
    pub raise: u32,
    /// For QEMU's main loop, and whatever else is not a processor of the guest.
    pub main_loop: u32,
    /// For the guest's processors, in their order.
    pub vcpus: Vec<u32>,
}

impl Placement {
    /// Who shares a processor with whom: the processors, numbered anew in the
    /// order in which they are met. Equal for runs that can be compared.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        let all = [self.raise, self.main_loop].into_iter();
        let all: Vec<_> = all.chain(self.vcpus.iter().copied()).collect();
        let first = |cpu| all.iter().position(|other| other == cpu);
        all.iter().filter_map(first).collect()
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            raise,
            main_loop,
            vcpus,
        } = self;
        if raise == main_loop && vcpus.iter().all(|vcpu| vcpu == raise) {
            write!(f, "raising thread, main loop and guest on CPU {raise}")
        } else {
            let vcpus = list(vcpus);
            write!(
                f,
                "raising thread on CPU {raise}, main loop on {main_loop}, guest on {vcpus}"
            )
        }
    }
}

/// Processors as a list, `0,0,1`.
#[must_use]
pub fn list(cpus: &[u32]) -> String {
    let cpus: Vec<_> = cpus.iter().map(ToString::to_string).collect();
    cpus.join(",")
}
