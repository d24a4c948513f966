// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Looks at what drivers do with interrupts and devices. The kernel forgets both when a
//! driver lets go of them, so it is looked at every now and then.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::{Duration, Instant},
};

use irqbed_abi::control::{Inspection, InterruptLine, PciFunction};

/// Between two looks while something runs.
const SLICE: Duration = Duration::from_millis(200);

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Inspector {
    looked: Option<Instant>,
    /// By number and handlers.
    interrupts: BTreeMap<(u32, String), InterruptLine>,
    /// Places of functions that a driver had.
    bound: BTreeSet<String>,
}

impl Inspector {
    /// Looks, if it is time to.
    pub fn sample(&mut self) {
        if self.looked.is_none_or(|looked| looked.elapsed() >= SLICE) {
            self.look();
        }
    }

    /// Looks, and says what was seen since the start.
    pub fn inspect(&mut self) -> Inspection {
        let functions = self.look();
        Inspection {
            interrupts: self.interrupts.values().cloned().collect(),
            functions,
        }
    }

    fn look(&mut self) -> Vec<PciFunction> {
        self.looked = Some(Instant::now());
        for line in interrupts() {
            let key = (line.irq, line.actions.clone());
            let known = self.interrupts.entry(key).or_insert_with(|| line.clone());
            known.count = known.count.max(line.count);
            known.unhandled = known.unhandled.max(line.unhandled);
        }
        let mut functions = functions();
        // What is gone and comes again is another one.
        self.bound
            .retain(|place| functions.iter().any(|found| found.place == *place));
        for function in &mut functions {
            if function.was_bound {
                self.bound.insert(function.place.clone());
            }
            function.was_bound = self.bound.contains(&function.place);
        }
        functions
    }
}

fn interrupts() -> Vec<InterruptLine> {
    let numbers = names("/proc/irq").into_iter();
    let lines = numbers.filter_map(|number| {
        let irq = number.parse().ok()?;
        let of = |what| text(format!("/sys/kernel/irq/{irq}/{what}"));
        let actions = of("actions").filter(|actions| !actions.is_empty())?;
        let spurious = text(format!("/proc/irq/{irq}/spurious"))?;
        let counts = of("per_cpu_count").unwrap_or_default();
        Some(InterruptLine {
            irq,
            actions,
            chip: of("chip_name").unwrap_or_default(),
            count: counts
                .split(',')
                .filter_map(|count| count.parse::<u64>().ok())
                .sum(),
            unhandled: unhandled(&spurious)?,
        })
    });
    lines.collect()
}

/// The second line of `/proc/irq/N/spurious`.
fn unhandled(spurious: &str) -> Option<u64> {
    let lines = spurious.lines();
    let mut counts = lines.filter_map(|line| line.strip_prefix("unhandled "));
    counts.next()?.trim().parse().ok()
}

fn functions() -> Vec<PciFunction> {
    const FOLDER: &str = "/sys/bus/pci/devices";
    let places = names(FOLDER).into_iter();
    let functions = places.filter_map(|place| {
        let folder = Path::new(FOLDER).join(&place);
        Some(PciFunction {
            modalias: text(folder.join("modalias"))?,
            was_bound: folder.join("driver").exists(),
            place,
        })
    });
    functions.collect()
}

fn names(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

fn text(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::unhandled;

    #[test]
    fn unhandled_interrupts_are_read_as_the_kernel_shows_them() {
        let shown = "count 12\nunhandled 5\nlast_unhandled 4294672 ms\n";
        assert_eq!(unhandled(shown), Some(5));
        assert_eq!(unhandled(""), None);
    }
}
