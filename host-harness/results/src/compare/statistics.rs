// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether two sets of rounds differ, and by how much.
//!
//! Rounds of two runs of their own are compared by a bootstrap interval of the
//! difference of their medians. Rounds that were taken side by side are compared
//! pair by pair: what disturbs the machine disturbs both of a pair, and where
//! chance says which of them goes first, each pair is as likely to lean to one
//! side as to the other if there is no difference. So the test of Wilcoxon is
//! exact, whatever the disturbance, and however it drifts.
//!
//! Two guests that took turns have many medians of the same moments, but are one
//! pair all the same: what they owe to their boots they have in every turn.

use serde::Serialize;

/// Times that both sides are drawn anew.
const DRAWS: usize = 10_000;
/// The same rounds give the same interval.
const SEED: u64 = 1;

/// By how much two sides differ, new less base, nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// Most likely.
    pub middle: f64,
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
/// and Tibshirani 1993, chapter 13), which the difference lies below with a
/// probability of `tail`, and above with the same; `None` where a side has no
/// rounds.
pub(super) fn apart(base: &[u64], new: &[u64], tail: f64) -> Option<Interval> {
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
        low: at(tail)?,
        middle: median(new)? as f64 - median(base)? as f64,
        high: at(1.0 - tail)?,
    })
}

/// Logarithm of how many times as long the new one of a pair took.
pub(super) fn ratio(base: u64, new: u64) -> f64 {
    // Of a stage that takes no time, a nanosecond.
    let logarithm = |value: u64| (value.max(1) as f64).ln();
    logarithm(new) - logarithm(base)
}

/// The [ratio] of a pair that took turns, the median of those of its turns;
/// `None` without turns. Of an even number it lies between the middle two: it
/// may favour neither side.
pub(super) fn ratio_of_turns(turns: impl Iterator<Item = (u64, u64)>) -> Option<f64> {
    let mut ratios: Vec<f64> = turns.map(|(base, new)| ratio(base, new)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let last = ratios.len().checked_sub(1)?;
    let middle = [last / 2, ratios.len() / 2].map(|place| ratios.get(place));
    Some(f64::midpoint(*middle[0]?, *middle[1]?))
}

/// The interval of what the new one of a pair takes longer than the base beside
/// it: the ratios that the signed-rank test does not reject (Hollander, Wolfe
/// and Chicken 2014, section 3.3), of the median of the base, `of`. `None` where
/// the rounds are too few for this `tail`, see [`pairs_for`].
pub(super) fn side_by_side(ratios: &[f64], of: u64, tail: f64) -> Option<Interval> {
    let mut means = Vec::with_capacity(ratios.len() * (ratios.len() + 1) / 2);
    for (place, one) in ratios.iter().enumerate() {
        means.extend(ratios.iter().skip(place).map(|other| (one + other) / 2.0));
    }
    means.sort_unstable_by(f64::total_cmp);
    let left_out = rank_sum_below(ratios.len(), tail).checked_sub(1)?;
    let at = |place: usize| Some(means.get(place)?.exp_m1() * of as f64);
    let middle = means.len() / 2;
    Some(Interval {
        low: at(left_out)?,
        middle: match means.len() % 2 {
            0 => f64::midpoint(at(middle - 1)?, at(middle)?),
            _ => at(middle)?,
        },
        high: at(means.len().checked_sub(left_out + 1)?)?,
    })
}

/// Pairs of rounds without which nothing can be told with this `tail`: all of
/// them lean to one side by chance with a probability of 2^-pairs.
pub(super) fn pairs_for(tail: f64) -> usize {
    let mut pairs = 1;
    while 0.5_f64.powi(pairs) >= tail {
        pairs += 1;
    }
    usize::try_from(pairs).unwrap_or(usize::MAX)
}

/// How many sums of positive ranks, from 0 on, `pairs` reach with a probability
/// below `tail` in all, where each rank is positive or negative by chance.
fn rank_sum_below(pairs: usize, tail: f64) -> usize {
    let mut probability = vec![0.0; pairs * (pairs + 1) / 2 + 1];
    probability[0] = 1.0;
    for rank in 1..=pairs {
        for sum in (0..probability.len()).rev() {
            let positive = sum.checked_sub(rank).map_or(0.0, |less| probability[less]);
            probability[sum] = f64::midpoint(probability[sum], positive);
        }
    }
    let mut below = 0.0;
    let reached = probability.iter().position(|probability| {
        below += probability;
        below >= tail
    });
    reached.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAIL: f64 = 0.005;

    #[test]
    fn the_same_rounds_do_not_differ() {
        let rounds = [100, 120, 90, 105, 99, 140, 101];
        let interval = apart(&rounds, &rounds, TAIL).expect("rounds");
        assert!(interval.contains_zero());
        assert_eq!(median(&rounds), Some(101));
        assert_eq!(apart(&[], &rounds, TAIL), None);
    }

    #[test]
    fn rounds_that_lie_apart_do() {
        let interval = apart(&[100, 101, 99, 100, 102], &[120, 119, 121, 118, 122], TAIL);
        let interval = interval.expect("rounds");
        assert!(interval.low > 10.0 && interval.high < 30.0, "{interval:?}");
    }

    #[test]
    fn one_bad_round_of_many_is_no_difference() {
        let interval = apart(
            &[100, 101, 99, 100, 102, 98],
            &[100, 101, 5000, 100, 99, 102],
            TAIL,
        );
        assert!(interval.expect("rounds").contains_zero());
    }

    #[test]
    fn the_rank_sums_are_those_of_the_tables() {
        // Critical values of the signed-rank test, one-sided: the largest sum
        // that is still significant, and so one less than what is below.
        for (pairs, tail, critical) in [(10, 0.005, 3), (12, 0.01, 9), (20, 0.005, 37)] {
            assert_eq!(rank_sum_below(pairs, tail), critical + 1, "{pairs}");
        }
        assert_eq!(rank_sum_below(7, TAIL), 0);
        assert_eq!(pairs_for(TAIL), 8);
        assert!(side_by_side(&[0.7; 7], 100, TAIL).is_none());
    }

    #[test]
    fn turns_tell_what_the_drift_within_a_pair_hides_and_favour_no_side() {
        let base = [100, 900, 300, 500];
        let new = [110, 990, 330, 5_000];
        let turns = || base.into_iter().zip(new);
        let there = ratio_of_turns(turns()).expect("turns");
        assert!((there - 1.1f64.ln()).abs() < 0.001, "{there}");
        let back = ratio_of_turns(turns().map(|(base, new)| (new, base)));
        assert_eq!(back, Some(-there));
        assert_eq!(ratio_of_turns([].into_iter()), None);
    }

    #[test]
    fn pairs_tell_a_difference_that_the_machines_drift_hides() {
        let base: Vec<u64> = (0..20).map(|round| 50_000 + 5_000 * round).collect();
        let new: Vec<u64> = base.iter().map(|value| value * 110 / 100).collect();
        let middle = median(&base).expect("rounds");
        let side_by_side = |new: &[u64]| {
            let pairs = base.iter().zip(new);
            let ratios: Vec<f64> = pairs.map(|(&base, &new)| ratio(base, new)).collect();
            side_by_side(&ratios, middle, TAIL).expect("enough rounds")
        };
        let interval = side_by_side(&new);
        let percent = interval.middle / middle as f64 * 100.0;
        assert!((9.9..10.1).contains(&percent), "{percent}");
        assert!(interval.low > 0.0, "{interval:?}");
        assert!(apart(&base, &new, TAIL).expect("rounds").contains_zero());
        assert!(side_by_side(&base).contains_zero());
    }
}
