// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the device to the process, by each mechanism from the hard interrupt
//! handler, in nanoseconds; and from the handler to the process in instructions
//! of the guest. One guest for all iterations of a clock, and one more for what
//! needs an IOMMU.

use std::time::Duration;

use criterion::{Criterion, SamplingMode};
use irqbed_bench::{guest::Guests, stamped::Stamped};
use irqbed_machine::qemu::ClockKind;
use irqbed_results::mechanism::{Context, Mechanism, Pair};

fn main() -> anyhow::Result<()> {
    measure("raise_to_user", ClockKind::Wall)?;
    measure("isr_to_user", ClockKind::Instructions)
}

/// Criterion takes no errors. QEMU ends with this process.
fn fail(error: &anyhow::Error) -> ! {
    eprintln!("irq_to_user: error: {error:#}");
    std::process::exit(1)
}

fn measure(stage: &str, clock: ClockKind) -> anyhow::Result<()> {
    let mut guests = Guests::new(clock)?;
    let mut criterion = Criterion::default()
        .with_measurement(Stamped(guests.unit()))
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        // Instructions repeat to the one.
        .noise_threshold(0.001)
        .configure_from_args();
    let mut group = criterion.benchmark_group(format!("irq_to_user/{stage}"));
    group.sampling_mode(SamplingMode::Flat);
    for pair in Pair::of(Mechanism::ALL, &[Context::Hardirq]) {
        let name = pair.mechanism.as_str();
        if let Some(why) = guests.refusal(pair) {
            eprintln!("irq_to_user/{stage}/{name} is skipped: {why}");
            continue;
        }
        group.bench_function(name, |bencher| {
            // Before the clock of criterion runs.
            guests.prepare(pair).unwrap_or_else(|error| fail(&error));
            bencher.iter_custom(|events| {
                let events = guests.events(pair, events);
                events.unwrap_or_else(|error| fail(&error))
            });
        });
    }
    group.finish();
    criterion.final_summary();
    guests.end()
}
