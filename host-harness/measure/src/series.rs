// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several benchmarks in a row. Those that need the same machine share a guest,
//! so that each machine is booted once.

use irqbed_machine::{
    artefacts::Artefacts,
    progress::Progress,
    qemu::{ClockKind, Machine},
    session::{Session, SessionError, Setup},
};
use irqbed_results::{mechanism::Pair, result::RunResult};

use crate::bench::{Bench, BenchError};

/// What a series left.
#[derive(Debug)]
pub struct Series {
    /// One result per benchmark, in their order.
    pub results: Vec<RunResult>,
    /// Kernel release of the guests.
    pub kernel: String,
}

/// Why a series could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum SeriesError {
    /// A guest did not boot, or did not end.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A benchmark failed.
    #[error("{pair}")]
    Bench {
        /// What it was to measure.
        pair: Pair,
        /// Why.
        source: BenchError,
    },
}

/// What is done with each benchmark once its driver has the device.
pub type Measure<'a> = &'a dyn Fn(&Bench, &mut Session, &Progress) -> Result<RunResult, BenchError>;

/// Runs benchmarks, each in a guest of its machine.
///
/// # Errors
/// [`SeriesError`]; what was measured until then is lost.
pub fn run(
    artefacts: &Artefacts,
    benches: &[Bench],
    measure: Measure<'_>,
    progress: &Progress,
) -> Result<Series, SeriesError> {
    let mut results = Vec::with_capacity(benches.len());
    let mut kernel = String::new();
    for machine in machines(benches) {
        progress.phase("boot");
        let mut session = Setup::of(artefacts, machine).boot()?;
        if machine.clock == ClockKind::Instructions {
            session.steady()?;
        }
        for (place, bench) in benches.iter().enumerate() {
            if bench.machine == *machine {
                let result = one(bench, &mut session, measure, progress);
                let pair = bench.pair;
                let result = result.map_err(|source| SeriesError::Bench { pair, source })?;
                results.push((place, result));
            }
        }
        kernel.clone_from(&session.hello().kernel);
        session.power_off()?;
    }
    results.sort_by_key(|(place, _)| *place);
    Ok(Series {
        results: results.into_iter().map(|(_, result)| result).collect(),
        kernel,
    })
}

fn one(
    bench: &Bench,
    session: &mut Session,
    measure: Measure<'_>,
    progress: &Progress,
) -> Result<RunResult, BenchError> {
    bench.prepare(session)?;
    let result = measure(bench, session, progress)?;
    bench.put_away(session)?;
    Ok(result)
}

/// Each machine that is needed, once, in the order of its first benchmark.
fn machines(benches: &[Bench]) -> Vec<&Machine> {
    let mut machines = Vec::new();
    for bench in benches {
        if !machines.contains(&&bench.machine) {
            machines.push(&bench.machine);
        }
    }
    machines
}

#[cfg(test)]
mod tests {
    use irqbed_machine::accel::Accelerator;
    use irqbed_results::mechanism::{Context, Mechanism};

    use super::*;

    fn benches() -> Vec<Bench> {
        let machine = Machine::new(Accelerator::Tcg, ClockKind::Wall);
        let pairs = Pair::of(Mechanism::ALL, Context::ALL);
        pairs
            .into_iter()
            .map(|pair| Bench::new(&machine, pair))
            .collect()
    }

    #[test]
    fn every_pair_there_is_needs_two_guests() {
        let benches = benches();
        let iommu: Vec<bool> = machines(&benches)
            .iter()
            .map(|machine| machine.iommu)
            .collect();
        assert_eq!(iommu, [false, true]);
    }

    #[test]
    fn nothing_to_measure_needs_no_guest() {
        assert!(machines(&[]).is_empty());
    }
}
