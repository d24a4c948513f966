// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How often `irqbed ab` gives a false alarm, and how often it finds what became
//! longer, from rounds that it has recorded: of two equal sides, and of sides the
//! new one of which waits on the way.
//!
//!     gate FOLDER [COMPARISONS] [ROUNDS]
//!
//! FOLDER holds folders, each of which holds what `irqbed ab --save` has kept of
//! some rounds of either kind, as `equal` and `longer`.
//!
//! A round is two boots that took turns. What a boot has to itself, its layout of
//! memory and its hash seeds, is in all of its turns, so a round is the smallest
//! thing that can be drawn. Each comparison takes ROUNDS of those recorded, none
//! of them twice, with its sides as they were: to which of two equal sides a round
//! leans has been left to the machine, and nothing is made even afterwards. As
//! long as rounds do not depend on each other, such a comparison is as likely to
//! err as one that is measured. All comparisons are drawn from the same rounds,
//! so their number makes the figure smooth, and the number of rounds makes it
//! true.
#![forbid(unsafe_code)]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use irqbed_results::{
    compare::{Comparison, Thresholds, Verdict, compare},
    result::{Document, RunResult},
    stages::Stage,
};

/// Rounds of `irqbed ab`, unless given.
const ROUNDS: usize = 24;
/// The same comparisons in each run.
const SEED: u64 = 1;

fn main() -> ExitCode {
    run().unwrap_or_else(|error| {
        eprintln!("gate: error: {error:#}");
        ExitCode::from(2)
    })
}

fn run() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (folder, numbers) = match &*arguments {
        [folder, numbers @ ..] if numbers.len() <= 2 => (Path::new(folder), numbers),
        _ => bail!("usage: gate FOLDER [COMPARISONS] [ROUNDS]"),
    };
    let number = |place: usize, default| match numbers.get(place) {
        Some(text) => text.parse::<usize>().context("a number is expected"),
        None => Ok(default),
    };
    let (comparisons, rounds) = (number(0, 1000)?, number(1, ROUNDS)?);
    let mut random = fastrand::Rng::with_seed(SEED);

    let equal = Recorded::read(folder, "equal")?;
    let (mut alarms, mut better) = (0, 0);
    for _ in 0..comparisons {
        let comparison = equal.drawn(rounds, &mut random)?;
        alarms += usize::from(comparison.regressions().next().is_some());
        let mut rows = comparison.rows.iter();
        better += usize::from(rows.any(|row| row.verdict == Verdict::Better));
    }
    println!(
        "{comparisons} comparisons of {rounds} of {} rounds of equal sides:",
        equal.rounds()
    );
    println!("    {alarms} with a figure that is worse, {better} with one that is better");

    let longer = Recorded::read(folder, "longer")?;
    let mut found = 0;
    for _ in 0..comparisons {
        found += usize::from(is_found(&longer.drawn(rounds, &mut random)?));
    }
    println!(
        "{comparisons} of {rounds} of {} rounds whose new side waited for 10 % of raise_to_user:",
        longer.rounds()
    );
    println!("    {found} in which raise_to_user is worse");
    println!("by all rounds, {}", equal.change(&longer)?);
    // At most 1 of 100, at least 19 of 20.
    let good = alarms * 100 <= comparisons && found * 20 >= comparisons * 19;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Rounds of one kind.
struct Recorded {
    /// One of the documents, for what they have in common.
    like: Document,
    /// Base and new side of each.
    pairs: Vec<[RunResult; 2]>,
}

impl Recorded {
    fn read(folder: &Path, kind: &str) -> anyhow::Result<Self> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let mut blocks: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path().join(kind)))
            .filter(|block| block.join("new.json").is_file())
            .collect();
        blocks.sort();
        let mut like = None;
        let mut pairs = Vec::new();
        for block in blocks {
            let base = Document::read(&block.join("base.json"))?;
            let new = Document::read(&block.join("new.json"))?;
            ensure!(
                base.results.len() == new.results.len(),
                "{} holds {} rounds of the base and {} of the new side",
                block.display(),
                base.results.len(),
                new.results.len()
            );
            pairs.extend(
                base.results
                    .iter()
                    .zip(new.results)
                    .map(|(b, n)| [b.clone(), n]),
            );
            like.get_or_insert(base);
        }
        let like = like.with_context(|| format!("{} holds no {kind}", folder.display()))?;
        Ok(Self { like, pairs })
    }

    fn rounds(&self) -> usize {
        self.pairs.len()
    }

    /// A comparison of so many of the rounds, in an order of chance.
    fn drawn(&self, rounds: usize, random: &mut fastrand::Rng) -> anyhow::Result<Comparison> {
        ensure!(
            self.rounds() >= rounds,
            "{rounds} rounds are needed; there are {}",
            self.rounds()
        );
        let drawn = random.choose_multiple(&self.pairs, rounds);
        let comparison = self.compared(&drawn);
        ensure!(comparison.says_anything(), "nothing can be compared");
        Ok(comparison)
    }

    fn compared(&self, pairs: &[&[RunResult; 2]]) -> Comparison {
        let side = |which: usize| {
            let results = pairs.iter().map(|pair| pair[which].clone());
            Document::new(self.like.environment.clone(), results.collect())
        };
        let thresholds = Thresholds {
            side_by_side: true,
            ..Thresholds::default()
        };
        compare(&side(0), &side(1), &thresholds)
    }

    /// What all rounds together say of raise_to_user, of these and of others.
    fn change(&self, longer: &Self) -> anyhow::Result<String> {
        let of = |recorded: &Self| {
            let comparison = recorded.compared(&recorded.pairs.iter().collect::<Vec<_>>());
            let mut rows = comparison.rows.iter();
            let row = rows.find(|row| row.stage == Some(Stage::RaiseToUser));
            row.and_then(|row| Some((row.base?, row.change()?)))
                .context("no raise_to_user")
        };
        let ((base, equal), (_, longer)) = (of(self)?, of(longer)?);
        Ok(format!(
            "raise_to_user is {:.2} µs; the new side takes {equal:+.2} %, where it waits {longer:+.2} %",
            base as f64 / 1e3
        ))
    }
}

fn is_found(comparison: &Comparison) -> bool {
    let mut regressions = comparison.regressions();
    regressions.any(|row| row.stage == Some(Stage::RaiseToUser))
}
