// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often `irqbed ab` gives a false alarm, and how often it finds what became
//! longer, from rounds that it has recorded of two equal sides.
//!
//!     gate BASE.json NEW.json [COMPARISONS] [ROUNDS]
//!
//! Each comparison takes ROUNDS pairs of rounds in the order in which they were
//! recorded, from a place of chance on: the drift of the machine stays in them.
//! Chance then says which of a pair is whose, as it said which of them goes
//! first when they were taken. For the second figure raise_to_user of the new
//! side is made 10 % longer, in every round as much as in the others.
#![forbid(unsafe_code)]

use std::{env, path::Path, process::ExitCode};

use anyhow::{Context, bail, ensure};
use host_harness::{
    compare::{Comparison, Thresholds, Verdict, compare},
    result::{Document, RunResult},
    stages::Stage,
};

/// How much longer, percent.
const LONGER: u64 = 10;
/// The same comparisons in each run.
const SEED: u64 = 1;

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("gate: error: {error}");
        ExitCode::from(2)
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (base, new, numbers) = match &*arguments {
        [base, new, numbers @ ..] if numbers.len() <= 2 => (base, new, numbers),
        _ => bail!("usage: gate BASE.json NEW.json [COMPARISONS] [ROUNDS]"),
    };
    let number = |place: usize, default| match numbers.get(place) {
        Some(text) => text.parse::<usize>().context("a number is expected"),
        None => Ok(default),
    };
    let (comparisons, rounds) = (number(0, 1000)?, number(1, 30)?);
    let (base, new) = (
        Document::read(Path::new(base))?,
        Document::read(Path::new(new))?,
    );
    let recorded = base.results.len();
    ensure!(
        recorded == new.results.len() && recorded >= rounds,
        "{rounds} rounds of both sides are needed; there are {recorded} and {}",
        new.results.len()
    );

    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut alarms, mut found) = (0, 0);
    for _ in 0..comparisons {
        let from = random.usize(..=recorded - rounds);
        let mut sides = [Vec::new(), Vec::new()];
        for round in from..from + rounds {
            let pair = [&base.results[round], &new.results[round]];
            let first = random.usize(..2);
            sides[0].push(pair[first].clone());
            sides[1].push(pair[1 - first].clone());
        }
        let [before, after] = sides;
        let of = |results| Document::new(base.environment.clone(), results);
        let comparison = side_by_side(&of(before.clone()), &of(after.clone()));
        ensure!(comparison.says_anything(), "nothing can be compared");
        alarms += usize::from(comparison.regressions().next().is_some());
        let longer: anyhow::Result<_> = after.iter().map(longer).collect();
        found += usize::from(is_found(&side_by_side(&of(before), &of(longer?))));
    }
    println!("{comparisons} comparisons of {rounds} of {recorded} rounds, no difference:");
    println!("    {alarms} with a figure that is worse");
    println!("the same with raise_to_user {LONGER} % longer in the new rounds:");
    println!("    {found} in which raise_to_user is worse");
    // At most 1 of 100, at least 19 of 20.
    let good = alarms * 100 <= comparisons && found * 20 >= comparisons * 19;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn side_by_side(base: &Document, new: &Document) -> Comparison {
    let thresholds = Thresholds {
        side_by_side: true,
        ..Thresholds::default()
    };
    compare(base, new, &thresholds)
}

fn longer(result: &RunResult) -> anyhow::Result<RunResult> {
    let mut result = serde_json::to_value(result)?;
    let stage = &mut result["stages"][Stage::RaiseToUser.as_str()];
    for figure in ["min", "p50", "p90", "p99", "p99_9", "max"] {
        let value = stage[figure].as_u64().context("no raise_to_user")?;
        stage[figure] = (value + value * LONGER / 100).into();
    }
    Ok(serde_json::from_value(result)?)
}

fn is_found(comparison: &Comparison) -> bool {
    let mut regressions = comparison.regressions();
    regressions.any(|row| row.stage == Some(Stage::RaiseToUser) && row.verdict == Verdict::Worse)
}
