// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two documents side by side: what became better, what worse, and what cannot
//! be compared.
//!
//! Instructions are compared as they are: the median path is the same in every
//! run, so a difference is one of the code. Wall times are compared by rounds,
//! that is by several results of the same pair in each document, and a
//! difference must be significant and large enough. How significant depends on
//! how many figures there are: of all that did not change, none is reported in
//! 99 of 100 comparisons.

mod comparable;
pub mod format;
mod statistics;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    mechanism::swing,
    result::{Document, RunResult},
    stages::Stage,
    units::Unit,
};
use comparable::{changed_agent, changed_parameters, obstacle, too_few, too_few_pairs};
use statistics::{Interval, median};

/// Rounds that wall times need on each side: with less, hardly any difference
/// is significant.
pub const ROUNDS: usize = 5;

/// Chance that any figure of a comparison is called better or worse, where none
/// is.
const FALSE_ALARM: f64 = 0.01;

/// Share of the events that makes a path one of a mechanism's own, where events take
/// several.
const PATH_SHARE: f64 = 0.02;

/// What counts as a difference.
#[derive(Debug, Clone, Copy)]
pub struct Thresholds {
    /// Instructions, percent of the base.
    pub instructions: f64,
    /// Wall time, percent of the base.
    pub wall: f64,
    /// Whether wall times of different machines are compared all the same.
    pub across_environments: bool,
    /// Whether the first round of one side was taken beside the first of the
    /// other, and so on, chance deciding which of them went first.
    pub side_by_side: bool,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            instructions: 0.5,
            wall: 5.0,
            across_environments: false,
            side_by_side: false,
        }
    }
}

/// What a comparison says of one figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Verdict {
    /// Less, by more than the threshold.
    Better,
    /// Neither.
    Same,
    /// More, by more than the threshold.
    Worse,
    /// There is nothing to say.
    NotComparable {
        /// Why.
        why: String,
    },
}

impl Verdict {
    /// One word, or two.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::Same => "same",
            Self::Worse => "worse",
            Self::NotComparable { .. } => "not comparable",
        }
    }
}

/// One stage of one pair on both sides.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// How the driver tells.
    pub mechanism: String,
    /// From where in the kernel, and how the process replies, where it does.
    pub context: String,
    /// The stage; `None` where a whole pair is on one side only.
    pub stage: Option<Stage>,
    /// Unit of the figures.
    pub unit: Unit,
    /// Median of the base, over the rounds the median of medians.
    pub base: Option<u64>,
    /// The same of the new document.
    pub new: Option<u64>,
    /// Of wall times, the difference, and between what it lies; all figures of a
    /// comparison lie within theirs with 99 % confidence.
    pub interval: Option<Interval>,
    /// What follows.
    pub verdict: Verdict,
}

impl Row {
    /// The difference in percent of the base.
    #[must_use]
    pub fn change(&self) -> Option<f64> {
        let (base, new) = (self.base? as f64, self.new? as f64);
        let difference = self.interval.map_or(new - base, |interval| interval.middle);
        (base > 0.0).then(|| difference / base * 100.0)
    }
}

/// Two documents compared.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Every stage of every pair that is on either side.
    pub rows: Vec<Row>,
    /// What differs between the two and might explain a difference.
    pub notes: Vec<String>,
}

impl Comparison {
    /// Rows that became worse.
    pub fn regressions(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.verdict == Verdict::Worse)
    }

    /// Whether there is a row that could be compared.
    #[must_use]
    pub fn says_anything(&self) -> bool {
        let mute = |row: &Row| matches!(row.verdict, Verdict::NotComparable { .. });
        !self.rows.iter().all(mute)
    }
}

/// What results must have in common to be rounds of the same thing.
type Key = (String, String);
/// The rounds of each thing.
type Pairs<'a> = BTreeMap<Key, Vec<&'a RunResult>>;

fn by_pair(document: &Document) -> Pairs<'_> {
    let mut pairs = BTreeMap::new();
    for rounds in document.rounds() {
        if let Some(first) = rounds.first() {
            let key = (first.mechanism.clone(), first.context_and_reply());
            pairs.insert(key, rounds);
        }
    }
    pairs
}

/// Why nothing of two documents could be compared, if each had so many rounds
/// taken side by side; `None` where something could.
#[must_use]
pub fn incomparable(base: &Document, new: &Document, rounds: usize) -> Option<String> {
    let (old, fresh) = (by_pair(base), by_pair(new));
    let environments = (&base.environment, &new.environment);
    let tail = tail(&old, &fresh);
    let mut why = "they have not measured the same".to_owned();
    for (key, before) in &old {
        if let Some(after) = fresh.get(key) {
            let few = || match unit_of(before) {
                Unit::Nanoseconds => too_few_pairs(rounds, tail),
                Unit::Instructions => None,
            };
            why = obstacle(before, after, environments, &Thresholds::default()).or_else(few)?;
        }
    }
    Some(why)
}

/// Compares two documents.
#[must_use]
pub fn compare(base: &Document, new: &Document, thresholds: &Thresholds) -> Comparison {
    let (old, fresh) = (by_pair(base), by_pair(new));
    let environments = (&base.environment, &new.environment);
    let tail = tail(&old, &fresh);
    let mut rows = Vec::new();
    let mut notes = Vec::from_iter(changed_agent(environments.0, environments.1));
    for (key, before) in &old {
        match fresh.get(key) {
            Some(after) => {
                let obstacle = obstacle(before, after, environments, thresholds)
                    .or_else(|| too_few(before, after, thresholds, tail));
                pair(&mut rows, key, (before, after), obstacle, thresholds, tail);
                if let ([before, ..], [after, ..]) = (&**before, &**after) {
                    notes.extend(changed_parameters(before, after));
                }
            }
            None => rows.push(one_sided(key, before, "only in the base")),
        }
    }
    for (key, after) in fresh.iter().filter(|(key, _)| !old.contains_key(*key)) {
        rows.push(one_sided(key, after, "only in the new document"));
    }
    notes.sort();
    notes.dedup();
    Comparison { rows, notes }
}

fn unit_of(results: &[&RunResult]) -> Unit {
    let first = results.first();
    first.map_or(Unit::Instructions, |result| result.clock.unit())
}

fn one_sided(key: &Key, results: &[&RunResult], why: &str) -> Row {
    Row {
        mechanism: key.0.clone(),
        context: key.1.clone(),
        stage: None,
        unit: unit_of(results),
        base: None,
        new: None,
        interval: None,
        verdict: Verdict::NotComparable {
            why: why.to_owned(),
        },
    }
}

/// Chance that one wall time of two documents may be called worse where it is
/// not, or better: each of them may err to either side.
fn tail(old: &Pairs<'_>, fresh: &Pairs<'_>) -> f64 {
    let both = old
        .iter()
        .filter_map(|(key, before)| Some((before, fresh.get(key)?)));
    let figures: usize = both.map(|(before, after)| figures(before, after)).sum();
    FALSE_ALARM / 2.0 / figures.max(1) as f64
}

/// How many wall times of a pair there are to compare.
fn figures(before: &[&RunResult], after: &[&RunResult]) -> usize {
    let timed = |results: &[&RunResult], stage| {
        unit_of(results) == Unit::Nanoseconds && !medians(results, stage).is_empty()
    };
    let stages = Stage::ALL.into_iter();
    stages
        .filter(|&stage| timed(before, stage) && timed(after, stage))
        .count()
}

/// The rows of a pair that both sides have.
fn pair(
    rows: &mut Vec<Row>,
    key: &Key,
    (before, after): (&[&RunResult], &[&RunResult]),
    obstacle: Option<String>,
    thresholds: &Thresholds,
    tail: f64,
) {
    let unit = unit_of(before);
    for stage in Stage::ALL {
        let (base, new) = (medians(before, stage), medians(after, stage));
        if base.is_empty() && new.is_empty() {
            continue;
        }
        let interval = match unit {
            Unit::Nanoseconds if thresholds.side_by_side => ratios(before, after, stage)
                .zip(median(&base))
                .and_then(|(ratios, of)| statistics::side_by_side(&ratios, of, tail)),
            Unit::Nanoseconds => statistics::apart(&base, &new, tail),
            Unit::Instructions => None,
        };
        let mut row = Row {
            mechanism: key.0.clone(),
            context: key.1.clone(),
            stage: Some(stage),
            unit,
            base: median(&base),
            new: median(&new),
            interval,
            verdict: Verdict::Same,
        };
        row.verdict = match &obstacle {
            Some(why) => Verdict::NotComparable { why: why.clone() },
            None if both_paths_on_both(&row, (before, after)) => Verdict::Same,
            None => verdict(&row, thresholds),
        };
        rows.push(row);
    }
}

/// How many times as long each new round took as the base beside it; `None` where
/// one of them did not go through the stage.
fn ratios(before: &[&RunResult], after: &[&RunResult], stage: Stage) -> Option<Vec<f64>> {
    let ratio = |(base, new): (&&RunResult, &&RunResult)| {
        let (p50, new_p50) = (base.stages.get(&stage)?.p50, new.stages.get(&stage)?.p50);
        turns(base, new, stage).or_else(|| Some(statistics::ratio(p50, new_p50)))
    };
    let same = before.len() == after.len();
    same.then(|| before.iter().zip(after).map(ratio).collect())?
}

/// The same of two that took turns with each other, turn by turn.
fn turns(base: &RunResult, new: &RunResult, stage: Stage) -> Option<f64> {
    let of = |result: &RunResult| result.turns.as_ref()?.get(&stage).cloned();
    let (base, new) = (of(base)?, of(new)?);
    let turns = base.iter().zip(&new);
    statistics::ratio_of_turns(
        turns.filter_map(|(base, new)| Some((base.as_ref()?.0, new.as_ref()?.0))),
    )
}

fn medians(results: &[&RunResult], stage: Stage) -> Vec<u64> {
    let of = |result: &&RunResult| Some(result.stages.get(&stage)?.p50);
    results.iter().filter_map(of).collect()
}

/// Whether the median of either side is a path that the other side's events take, too.
/// Where a listener never sleeps, an event takes one of a few paths, and the host's speed
/// decides which of them is the median. A change of the code moves them all.
fn both_paths_on_both(row: &Row, (before, after): (&[&RunResult], &[&RunResult])) -> bool {
    let swing = swing(&row.mechanism) / 100.0;
    let (Some(stage), Some(base), Some(new)) = (row.stage, row.base, row.new) else {
        return false;
    };
    let takes = |results: &[&RunResult], path: u64| {
        let stats = results
            .iter()
            .filter_map(|result| result.stages.get(&stage));
        let (mut on_it, mut all) = (0, 0);
        for histogram in stats.filter_map(|stats| stats.histogram().ok()) {
            let path = path as f64;
            let (low, high) = (path * (1.0 - swing), path * (1.0 + swing));
            on_it += histogram.count_between(low as u64, high as u64);
            all += histogram.len();
        }
        all > 0 && on_it as f64 >= all as f64 * PATH_SHARE
    };
    row.unit == Unit::Instructions && swing > 0.0 && takes(before, new) && takes(after, base)
}

fn verdict(row: &Row, thresholds: &Thresholds) -> Verdict {
    let (Some(change), Some(base)) = (row.change(), row.base) else {
        return Verdict::NotComparable {
            why: "no event went through it on one of the sides".to_owned(),
        };
    };
    let threshold = match row.unit {
        Unit::Instructions => thresholds.instructions.max(swing(&row.mechanism)),
        Unit::Nanoseconds => thresholds.wall,
    };
    // Of a very short path less than an instruction.
    let least = threshold.max(match row.unit {
        Unit::Instructions => 0.0,
        // Less than a clock can tell.
        Unit::Nanoseconds => 20_000.0 / base.max(1) as f64,
    });
    let significant = match (row.unit, row.interval) {
        (Unit::Instructions, _) => true,
        (Unit::Nanoseconds, Some(interval)) => !interval.contains_zero(),
        (Unit::Nanoseconds, None) => {
            return Verdict::NotComparable {
                why: "no event went through it in one of the rounds".to_owned(),
            };
        }
    };
    match change {
        change if significant && change > least => Verdict::Worse,
        change if significant && change < -least => Verdict::Better,
        _ => Verdict::Same,
    }
}

#[cfg(test)]
mod tests;
