// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How many times as long one thing takes as another, and between what that
//! lies. Both were measured in each round, and rounds are drawn as a whole: what
//! a round had to suffer it suffered on both sides.

/// Times that the rounds are drawn anew.
const DRAWS: usize = 2_000;
/// Part of the draws that is left out at either end: 95 % confidence.
const TAIL: f64 = 0.025;
/// The same rounds give the same interval.
const SEED: u64 = 1;

/// What was measured, nanoseconds, round by round.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rounds(pub Vec<Vec<f64>>);

/// A quantile, by the nearest rank.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// The median.
    P50,
    /// What 90 of 100 do not exceed.
    P90,
    /// What 99 of 100 do not exceed.
    P99,
}

impl Quantile {
    /// The name in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
        }
    }

    const fn part(self) -> f64 {
        match self {
            Self::P50 => 0.5,
            Self::P90 => 0.9,
            Self::P99 => 0.99,
        }
    }

    /// The quantile of these values; `None` without any.
    fn of(self, mut values: Vec<f64>) -> Option<f64> {
        let rank = (self.part() * values.len() as f64).ceil() as usize;
        let index = rank.clamp(1, values.len().max(1)) - 1;
        if index >= values.len() {
            return None;
        }
        let (_, value, _) = values.select_nth_unstable_by(index, f64::total_cmp);
        Some(*value)
    }
}

/// Between what a ratio lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// At least.
    pub low: f64,
    /// At most.
    pub high: f64,
}

/// A ratio of two quantiles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ratio {
    /// As it was measured.
    pub value: f64,
    /// With 95 % confidence.
    pub interval: Interval,
}

impl Rounds {
    /// How many events there are in all rounds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// A quantile over all rounds; `None` where nothing was measured.
    #[must_use]
    pub fn quantile(&self, quantile: Quantile) -> Option<f64> {
        quantile.of(self.0.concat())
    }

    /// How many times as long as `other` this takes (bootstrap by clusters,
    /// Davison and Hinkley 1997, chapter 3.8); `None` where a side has nothing,
    /// or not as many rounds.
    #[must_use]
    pub fn ratio(&self, other: &Self, quantile: Quantile) -> Option<Ratio> {
        let rounds = self.0.len();
        if rounds != other.0.len() {
            return None;
        }
        let all: Vec<usize> = (0..rounds).collect();
        let value = self.drawn(&all, quantile)? / other.drawn(&all, quantile)?;
        let mut random = fastrand::Rng::with_seed(SEED);
        let mut ratios = Vec::with_capacity(DRAWS);
        for _ in 0..DRAWS {
            let drawn: Vec<usize> = all.iter().map(|_| random.usize(..rounds)).collect();
            ratios.push(self.drawn(&drawn, quantile)? / other.drawn(&drawn, quantile)?);
        }
        ratios.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| ratios.get((part * (DRAWS - 1) as f64) as usize).copied();
        let interval = Interval {
            low: at(TAIL)?,
            high: at(1.0 - TAIL)?,
        };
        Some(Ratio { value, interval })
    }

    /// A quantile over these rounds.
    fn drawn(&self, rounds: &[usize], quantile: Quantile) -> Option<f64> {
        let values = rounds.iter().filter_map(|round| self.0.get(*round));
        quantile.of(values.flatten().copied().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a machine that is so many times as slow in every other round.
    fn rounds(scale: f64, slow: f64) -> Rounds {
        let round = |number: u64| {
            let mut random = fastrand::Rng::with_seed(number);
            let slow = if number.is_multiple_of(2) { 1.0 } else { slow };
            (0..100)
                .map(|_| scale * slow * (1.0 + random.f64() / 10.0))
                .collect()
        };
        Rounds((0..20).map(round).collect())
    }

    #[test]
    fn a_machine_that_changes_hits_both_sides() {
        let ratio = rounds(3.0, 2.0)
            .ratio(&rounds(2.0, 2.0), Quantile::P50)
            .expect("rounds");
        assert!((ratio.value - 1.5).abs() < 1e-9, "{ratio:?}");
        let width = ratio.interval.high - ratio.interval.low;
        assert!(width < 1e-9, "{ratio:?}");
    }

    #[test]
    fn one_bad_round_of_many_widens_the_interval_of_the_tail_only() {
        let (good, mut bad) = (rounds(1.0, 1.0), rounds(1.0, 1.0));
        bad.0[0].iter_mut().for_each(|value| *value *= 50.0);
        let median = bad.ratio(&good, Quantile::P50).expect("rounds");
        assert!(
            median.interval.low <= 1.01 && median.value < 1.2,
            "{median:?}"
        );
        let tail = bad.ratio(&good, Quantile::P99).expect("rounds");
        assert!(
            tail.interval.low < 2.0 && tail.interval.high > 10.0,
            "{tail:?}"
        );
    }

    #[test]
    fn quantiles_are_by_the_nearest_rank() {
        let values = Rounds(vec![
            (1..=50).map(f64::from).collect(),
            (51..=100).map(f64::from).collect(),
        ]);
        assert_eq!(values.quantile(Quantile::P50), Some(50.0));
        assert_eq!(values.quantile(Quantile::P99), Some(99.0));
        assert_eq!(values.count(), 100);
    }

    #[test]
    fn without_values_there_is_no_ratio() {
        let none = Rounds(vec![Vec::new()]);
        assert_eq!(none.quantile(Quantile::P50), None);
        assert_eq!(none.ratio(&none, Quantile::P50), None);
        assert_eq!(
            Rounds::default().ratio(&rounds(1.0, 1.0), Quantile::P50),
            None
        );
    }
}
