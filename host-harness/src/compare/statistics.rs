// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether two sets of rounds differ: a bootstrap interval of the difference of
//! their medians.

use serde::Serialize;

/// Times that both sides are drawn anew.
const DRAWS: usize = 10_000;
/// Part of the draws that is left out at either end: 99 % confidence.
const TAIL: f64 = 0.005;
/// The same rounds give the same interval.
const SEED: u64 = 1;

/// Between what a difference lies, new less base.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

impl Interval {
    /// Whether there may be no difference at all.
    #[must_use]
    pub fn contains_zero(&self) -> bool {
        self.low <= 0.0 && self.high >= 0.0
    }
}

/// The middle value, the lower of two; `None` without values.
pub(super) fn median(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// The interval of the difference of the medians (percentile bootstrap, Efron
/// and Tibshirani 1993, chapter 13); `None` where a side has no rounds.
pub(super) fn difference(base: &[u64], new: &[u64]) -> Option<Interval> {
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut draw = |from: &[u64]| {
        let drawn: Vec<u64> = from
            .iter()
            .filter_map(|_| random.choice(from).copied())
            .collect();
        median(&drawn)
    };
    let mut differences = Vec::with_capacity(DRAWS);
    for _ in 0..DRAWS {
        differences.push(draw(new)? as f64 - draw(base)? as f64);
    }
    differences.sort_unstable_by(f64::total_cmp);
    let at = |part: f64| {
        differences
            .get((part * (DRAWS - 1) as f64) as usize)
            .copied()
    };
    Some(Interval {
        low: at(TAIL)?,
        high: at(1.0 - TAIL)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_rounds_do_not_differ() {
        let rounds = [100, 120, 90, 105, 99, 140, 101];
        assert!(
            difference(&rounds, &rounds)
                .expect("rounds")
                .contains_zero()
        );
        assert_eq!(median(&rounds), Some(101));
        assert_eq!(difference(&[], &rounds), None);
    }

    #[test]
    fn rounds_that_lie_apart_do() {
        let interval = difference(&[100, 101, 99, 100, 102], &[120, 119, 121, 118, 122]);
        let interval = interval.expect("rounds");
        assert!(interval.low > 10.0 && interval.high < 30.0, "{interval:?}");
    }

    #[test]
    fn one_bad_round_of_many_is_no_difference() {
        let interval = difference(
            &[100, 101, 99, 100, 102, 98],
            &[100, 101, 5000, 100, 99, 102],
        );
        assert!(interval.expect("rounds").contains_zero());
    }
}
