// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which processor took each interrupt of the device.

use device_model::GuestTsc;

use super::ftrace::{Entry, What};

/// How the names of the driver's interrupt handlers begin.
pub const DRIVER: &str = "irqbed";

/// Each time that a handler of the driver ran.
#[derive(Debug, Default)]
pub struct Handlers {
    /// From when until when, and on which processor, in the order of time.
    ran: Vec<(GuestTsc, GuestTsc, u32)>,
    /// The processor, where there is but one.
    only: Option<u32>,
}

impl Handlers {
    /// From the entries of a trace of so many processors.
    #[must_use]
    pub fn new(entries: &[Entry], cpus: usize) -> Self {
        let mut ran: Vec<(GuestTsc, GuestTsc, u32)> = Vec::new();
        for entry in entries {
            match &entry.what {
                What::IrqEntry { name, .. } if name.starts_with(DRIVER) => {
                    ran.push((entry.at, GuestTsc(u64::MAX), entry.cpu));
                }
                What::IrqExit { .. } => {
                    let mut open = ran.iter_mut().rev();
                    if let Some(last) = open.find(|(_, _, cpu)| *cpu == entry.cpu) {
                        last.1 = last.1.min(entry.at);
                    }
                }
                _ => {}
            }
        }
        Self {
            ran,
            only: (cpus == 1).then_some(0),
        }
    }

    /// The processor that ran a handler of the driver at a moment.
    #[must_use]
    pub fn cpu_at(&self, at: GuestTsc) -> Option<u32> {
        let begun = self.ran.partition_point(|(from, ..)| *from <= at);
        let mut latest = self.ran.iter().take(begun).rev().take(64);
        let found = latest.find(|(_, to, _)| at <= *to);
        self.only.or(found.map(|(.., cpu)| *cpu))
    }
}
