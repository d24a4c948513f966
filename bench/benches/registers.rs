// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an access costs a process in the guest: to a register of the device,
//! which leaves the guest, to its mapped memory, which does not, and to plain
//! memory beside it.

use std::time::Duration;

use anyhow::Result;
use criterion::{Criterion, SamplingMode};
use device_model::GuestTsc;
use irqbed_bench::{
    access::{self, MAPPED_READ, MAPPED_WRITE, Place, RAM_READ, TRAPPED_READ, TRAPPED_WRITE},
    stamped::Stamped,
};
use irqbed_machine::{
    accel::{self, AccelRequest},
    artefacts::Artefacts,
    qemu::{ClockKind, Machine},
    session::{Session, Setup},
};
use irqbed_measure::clock::{Calibration, WallClock};
use irqbed_results::units::Unit;

const PLACES: [Place; 5] = [
    TRAPPED_READ,
    TRAPPED_WRITE,
    MAPPED_READ,
    MAPPED_WRITE,
    RAM_READ,
];

fn main() -> Result<()> {
    let mut guest = None;
    let mut criterion = Criterion::default()
        .with_measurement(Stamped(Unit::Nanoseconds))
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20)
        .configure_from_args();
    let mut group = criterion.benchmark_group("registers");
    group.sampling_mode(SamplingMode::Flat);
    for place in PLACES {
        group.bench_function(place.name, |bencher| {
            // Booted before the clock of criterion runs, and only if wanted.
            let (session, clock) = guest.get_or_insert_with(|| or_fail(boot()));
            bencher.iter_custom(|accesses| {
                let cycles = or_fail(access::one_batch(session, &place, accesses));
                let nanos = clock.guest_to_guest(GuestTsc(0), GuestTsc(cycles));
                nanos.unsigned_abs()
            });
        });
    }
    group.finish();
    criterion.final_summary();
    guest.map_or(Ok(()), |(session, _)| Ok(session.power_off()?))
}

/// Criterion takes no errors. QEMU ends with this process.
fn or_fail<T>(outcome: Result<T>) -> T {
    outcome.unwrap_or_else(|error| {
        eprintln!("registers: error: {error:#}");
        std::process::exit(1)
    })
}

/// A guest whose clock is known and whose device no driver has.
fn boot() -> Result<(Session, WallClock)> {
    let machine = Machine::new(
        accel::choose(AccelRequest::Auto)?.accelerator,
        ClockKind::Wall,
    );
    let mut session = Setup::of(&Artefacts::locate()?, &machine).boot()?;
    session.load_module([])?;
    let first = Calibration::take(&mut session)?;
    let clock = WallClock::between(&first, &Calibration::take(&mut session)?);
    session.unload_module()?;
    Ok((session, clock))
}
