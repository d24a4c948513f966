// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parameters and notes of a benchmark, beside its figures: what was asked for, and what a
//! reader should know.

use std::collections::BTreeMap;

use irqbed_machine::qemu::{ClockKind, STEADY};
use irqbed_results::{
    mechanism::{Context, Driver, driver},
    placement::Placement,
    result::Parameters,
};

use super::{Bench, faults};
use crate::measure::{Rate, Run};

/// The context as a result names it: a handler that the kernel moves into a thread
/// is no hard interrupt.
pub(super) fn context_of(context: Context, forced: Option<&str>) -> String {
    match forced {
        Some(by) => format!("{} (threaded by {by})", context.as_str()),
        None => context.as_str().to_owned(),
    }
}

impl Bench {
    /// What a reader of the figures should know, one sentence each.
    pub(super) fn notes(&self, run: &Run, forced: Option<&str>) -> Vec<String> {
        let mut notes = faults::notes(run);
        notes.extend(forced.map(|by| {
            format!(
                "* {by} has the kernel run the interrupt handler in a thread, which stamps `isr`"
            )
        }));
        notes.extend(self.notes_of_clock());
        notes
    }

    fn notes_of_clock(&self) -> Vec<String> {
        if driver(self.pair.mechanism) == Driver::Vfio {
            return vec!["vfio is timed as a whole: vfio-pci stamps nothing on the way".to_owned()];
        }
        if self.machine.clock == ClockKind::Wall {
            return Vec::new();
        }
        let unsteady = self.pair.unsteady();
        let unsteady =
            unsteady.map(|why| format!("{} is not the same in each boot: {why}", self.pair));
        let common = [
            format!(
                "the guest was made steady: {}, no deadline server for fair tasks, no estimate \
                 of how busy a task is",
                STEADY.join(" ")
            ),
            match self.plan.rate {
                Rate::OneByOne(_) => {
                    "each event was raised when the one before had arrived; the guest was never idle"
                }
                _ => "each event was raised when the one before had arrived and the guest was idle",
            }
            .to_owned(),
        ];
        common.into_iter().chain(unsteady).collect()
    }

    /// What was asked for.
    pub(super) fn parameters(&self, run: &Run, pin: Option<Placement>) -> Parameters {
        Parameters {
            // Fewer than planned where a limit has ended the run.
            events: run.traces.len() as u64,
            rate_hz: self.plan.rate.hertz(),
            window: match self.plan.rate {
                Rate::Max { window } => Some(window),
                _ => None,
            },
            poisson_seed: match self.plan.rate {
                Rate::Poisson { seed, .. } => Some(seed),
                _ => None,
            },
            burst: self.plan.burst,
            batch: self.batch,
            load: self.load,
            scheduling: self.scheduling,
            receive_buffer: self.room(),
            payload_bytes: self.plan.payload,
            vectors: self.plan.vectors,
            irq: self.interrupt,
            delivery: self.pair.mechanism.into(),
            vcpus: self.machine.vcpus,
            pin,
            memory_mib: self.machine.memory_mib,
            poll_us: u64::try_from(self.machine.poll.as_micros()).unwrap_or(u64::MAX),
            module_parameters: match driver(self.pair.mechanism) {
                Driver::Ours(_) => self.module_parameters.clone(),
                Driver::Vfio => BTreeMap::new(),
            },
            kernel_parameters: self.machine.kernel_parameters.clone(),
        }
    }

    /// Room for events that wait, where it can be chosen: a listener that
    /// drives the device has that of its rings.
    pub(super) fn room(&self) -> Option<u32> {
        match driver(self.pair.mechanism) {
            Driver::Ours(_) => self.receive_buffer,
            Driver::Vfio => None,
        }
    }
}
