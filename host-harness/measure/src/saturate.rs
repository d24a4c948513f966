// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How fast a mechanism can be: the highest rate at which no event is lost,
//! found by doubling and bisection.
//!
//! Each trial raises events for a second on a schedule that does not wait for
//! the guest: what the guest cannot take in that time fills its buffers and is
//! lost, under a name. A machine that stalls for a moment loses events too, so a
//! rate has two trials, and one without a loss will do.

use std::time::Duration;

use irqbed_machine::{progress::Progress, session::Session};
use irqbed_results::{
    result::{Lossy, RunResult, Saturation},
    units::Nanos,
};

use crate::{
    bench::{Bench, BenchError},
    measure::{Plan, Rate},
};

/// Length of a trial.
const TRIAL: Duration = Duration::from_secs(1);
/// The first rate tried, events a second.
const FIRST: f64 = 8_000.0;
/// Rates between which nobody asks: the search ends below the one or above the
/// other.
const LIMITS: std::ops::Range<f64> = 50.0..2_000_000.0;
/// How far the rates with and without a loss may lie apart at the end.
const RESOLUTION: f64 = 1.04;
/// A harness that raises less than this part of the rate is at its own limit.
const KEPT_UP: f64 = 0.97;

/// How a trial ended.
enum Trial {
    Lossless(Box<RunResult>),
    Lossy(Lossy),
    /// The harness did not raise as fast as it should have.
    Behind,
}

/// Finds the highest lossless rate of a benchmark whose driver is loaded: the
/// result of the run at that rate, with [`RunResult::saturation`].
///
/// # Errors
/// [`BenchError`], and [`BenchError::NeverLossless`] where the lowest rate
/// loses events too.
pub fn saturate(
    bench: &Bench,
    session: &mut Session,
    progress: &Progress,
) -> Result<RunResult, BenchError> {
    let mut best: Option<(f64, Box<RunResult>)> = None;
    let mut lossy: Option<Lossy> = None;
    let mut limit = LIMITS.end;
    let mut rate = FIRST;
    loop {
        match trial(bench, rate, session, progress)? {
            Trial::Lossless(result) => best = Some((rate, result)),
            Trial::Lossy(found) => {
                limit = found.hz;
                lossy = Some(found);
            }
            Trial::Behind => limit = rate,
        }
        let known = best.as_ref().map_or(0.0, |(rate, _)| *rate);
        if limit / known.max(LIMITS.start) <= RESOLUTION {
            break;
        }
        rate = match (&best, limit < LIMITS.end) {
            (None, _) => rate / 2.0,
            (Some(_), false) => (known * 2.0).min(LIMITS.end),
            (Some(_), true) => (known * limit).sqrt(),
        }
        .round();
        if rate < LIMITS.start {
            break;
        }
    }
    let Some((lossless_hz, mut result)) = best else {
        return Err(BenchError::NeverLossless(bench.pair));
    };
    // A loss far above says nothing: the harness gave up before.
    let lossy = lossy.filter(|lossy| lossy.hz <= limit);
    result.saturation = Some(Saturation {
        lossless_hz,
        lossy,
        trial_ns: Nanos(TRIAL.as_nanos() as u64),
    });
    Ok(*result)
}

fn trial(
    bench: &Bench,
    hertz: f64,
    session: &mut Session,
    progress: &Progress,
) -> Result<Trial, BenchError> {
    match one_trial(bench, hertz, session, progress)? {
        Trial::Lossless(result) => Ok(Trial::Lossless(result)),
        _ => one_trial(bench, hertz, session, progress),
    }
}

fn one_trial(
    bench: &Bench,
    hertz: f64,
    session: &mut Session,
    progress: &Progress,
) -> Result<Trial, BenchError> {
    let bench = Bench {
        plan: Plan {
            events: (hertz * TRIAL.as_secs_f64()) as u64,
            rate: Rate::Schedule(hertz),
            ..bench.plan
        },
        ..bench.clone()
    };
    let result = bench.run(session, progress)?;
    let raised = result.parameters.events as f64 / (result.duration_ns.0 as f64 / 1e9);
    tracing::info!(hertz, raised, account = ?result.account, "trial");
    Ok(if result.account.raised != result.account.delivered {
        let account = result.account;
        Trial::Lossy(Lossy { hz: hertz, account })
    } else if raised < KEPT_UP * hertz {
        Trial::Behind
    } else {
        Trial::Lossless(Box::new(result))
    })
}
