// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stages of an event's journey, and one distribution for each.
//!
//! Values are counted one by one rather than in buckets: a path length has to
//! be right to the instruction, so each percentile is a value that occurred.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::units::Unit;

/// A part of the journey from the device to the receiving process, and back
/// where the process replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Device to interrupt handler; crosses from host to guest.
    RaiseToIsr,
    /// Interrupt handler to notifier.
    IsrToNotify,
    /// Notifier to receiving process.
    NotifyToUser,
    /// Interrupt handler to receiving process.
    IsrToUser,
    /// Device to receiving process; crosses from host to guest.
    RaiseToUser,
    /// Replying process to driver.
    ReplyToCommand,
    /// Driver to device, with the reply; crosses from guest to host.
    CommandToDevice,
    /// Replying process to device; crosses from guest to host.
    ReplyToDevice,
    /// Device to receiving process and back; begins and ends on the host.
    RaiseToDevice,
}

impl Stage {
    /// Every stage, in the order of the journey, sums last: there, and back.
    pub const ALL: [Self; 9] = [
        Self::RaiseToIsr,
        Self::IsrToNotify,
        Self::NotifyToUser,
        Self::IsrToUser,
        Self::RaiseToUser,
        Self::ReplyToCommand,
        Self::CommandToDevice,
        Self::ReplyToDevice,
        Self::RaiseToDevice,
    ];

    /// The name in tables and JSON documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RaiseToIsr => "raise_to_isr",
            Self::IsrToNotify => "isr_to_notify",
            Self::NotifyToUser => "notify_to_user",
            Self::IsrToUser => "isr_to_user",
            Self::RaiseToUser => "raise_to_user",
            Self::ReplyToCommand => "reply_to_command",
            Self::CommandToDevice => "command_to_device",
            Self::ReplyToDevice => "reply_to_device",
            Self::RaiseToDevice => "raise_to_device",
        }
    }

    /// Whether it begins or ends on the host, so that only the wall clock knows
    /// it.
    #[must_use]
    pub const fn needs_wall(self) -> bool {
        !matches!(
            self,
            Self::IsrToNotify | Self::NotifyToUser | Self::IsrToUser | Self::ReplyToCommand
        )
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The legs of one event's journey, in the unit of the run; `None` where a
/// stamp is missing. A leg may be negative by the clock's error, or when the
/// event was taken by a handler that an earlier interrupt had started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sample {
    /// [`Stage::RaiseToIsr`].
    pub raise_to_isr: Option<i64>,
    /// [`Stage::IsrToNotify`].
    pub isr_to_notify: Option<i64>,
    /// [`Stage::NotifyToUser`].
    pub notify_to_user: Option<i64>,
    /// [`Stage::RaiseToUser`] of an event that no driver stamped on its way.
    pub unstamped: Option<i64>,
    /// [`Stage::ReplyToCommand`].
    pub reply_to_command: Option<i64>,
    /// [`Stage::CommandToDevice`].
    pub command_to_device: Option<i64>,
    /// [`Stage::ReplyToDevice`]: no sum, since a reply may need no driver.
    pub reply_to_device: Option<i64>,
    /// [`Stage::RaiseToDevice`]: no sum, since it is of one clock.
    pub raise_to_device: Option<i64>,
}

impl Sample {
    /// Length of a stage; a sum needs each of its legs.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<i64> {
        match stage {
            Stage::RaiseToIsr => self.raise_to_isr,
            Stage::IsrToNotify => self.isr_to_notify,
            Stage::NotifyToUser => self.notify_to_user,
            Stage::IsrToUser => Some(self.isr_to_notify?.saturating_add(self.notify_to_user?)),
            Stage::RaiseToUser => self.unstamped.or_else(|| {
                let rest = self.stage(Stage::IsrToUser)?;
                Some(self.raise_to_isr?.saturating_add(rest))
            }),
            Stage::ReplyToCommand => self.reply_to_command,
            Stage::CommandToDevice => self.command_to_device,
            Stage::ReplyToDevice => self.reply_to_device,
            Stage::RaiseToDevice => self.raise_to_device,
        }
    }
}

/// Values and how often each occurred.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    counts: BTreeMap<u64, u64>,
    total: u64,
    clamped: u64,
}

impl Distribution {
    /// Takes a value in; a negative one counts as 0 and as clamped.
    pub fn record(&mut self, value: i64) {
        let value = u64::try_from(value).unwrap_or_else(|_| {
            self.clamped += 1;
            0
        });
        *self.counts.entry(value).or_default() += 1;
        self.total += 1;
    }

    /// Number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// Number of values that were negative.
    #[must_use]
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    /// Smallest value; `None` without values.
    #[must_use]
    pub fn min(&self) -> Option<u64> {
        self.counts.first_key_value().map(|(&value, _)| value)
    }

    /// Largest value; `None` without values.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.counts.last_key_value().map(|(&value, _)| value)
    }

    /// The smallest value that at least `per_mille` of 1000 values do not
    /// exceed (nearest rank); `None` without values.
    #[must_use]
    pub fn percentile(&self, per_mille: u16) -> Option<u64> {
        let rank = (u128::from(self.total) * u128::from(per_mille))
            .div_ceil(1000)
            .max(1);
        let mut seen = 0;
        for (&value, &count) in &self.counts {
            seen += u128::from(count);
            if seen >= rank {
                return Some(value);
            }
        }
        self.max()
    }

    /// Each value with the number of times it occurred, smallest first.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter().map(|(&value, &count)| (value, count))
    }
}

/// One distribution per stage, all in the same unit.
#[derive(Debug, Clone)]
pub struct StageHistograms {
    unit: Unit,
    stages: BTreeMap<Stage, Distribution>,
}

impl StageHistograms {
    /// No values yet.
    #[must_use]
    pub fn new(unit: Unit) -> Self {
        Self {
            unit,
            stages: BTreeMap::new(),
        }
    }

    /// The unit of all values.
    #[must_use]
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Takes one event in. Where instructions are counted the stages that
    /// begin or end on the host do not exist, and their legs are left out.
    pub fn record(&mut self, sample: &Sample) {
        for stage in Stage::ALL {
            if stage.needs_wall() && self.unit == Unit::Instructions {
                continue;
            }
            if let Some(value) = sample.stage(stage) {
                self.stages.entry(stage).or_default().record(value);
            }
        }
    }

    /// The distribution of a stage; `None` when no event went through it.
    #[must_use]
    pub fn get(&self, stage: Stage) -> Option<&Distribution> {
        self.stages.get(&stage)
    }

    /// The stages that have values, in the order of the journey.
    pub fn iter(&self) -> impl Iterator<Item = (Stage, &Distribution)> {
        self.stages
            .iter()
            .map(|(&stage, distribution)| (stage, distribution))
    }
}

impl Extend<Sample> for StageHistograms {
    fn extend<I: IntoIterator<Item = Sample>>(&mut self, samples: I) {
        samples.into_iter().for_each(|sample| self.record(&sample));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(raise_to_isr: i64, isr_to_notify: i64, notify_to_user: i64) -> Sample {
        Sample {
            raise_to_isr: Some(raise_to_isr),
            isr_to_notify: Some(isr_to_notify),
            notify_to_user: Some(notify_to_user),
            ..Sample::default()
        }
    }

    #[test]
    fn a_way_that_no_driver_stamped_is_known_as_a_whole() {
        let mut stages = StageHistograms::new(Unit::Nanoseconds);
        stages.record(&Sample {
            unstamped: Some(70),
            ..Sample::default()
        });
        let seen: Vec<Stage> = stages.iter().map(|(stage, _)| stage).collect();
        assert_eq!(seen, [Stage::RaiseToUser]);
    }

    #[test]
    fn sums_are_made_from_the_legs_of_the_same_event() {
        let mut stages = StageHistograms::new(Unit::Nanoseconds);
        stages.extend([sample(100, 10, 1), sample(200, 20, 2)]);
        let max = |stage| stages.get(stage).and_then(Distribution::max);
        assert_eq!(max(Stage::IsrToUser), Some(22));
        assert_eq!(max(Stage::RaiseToUser), Some(222));
    }

    #[test]
    fn a_negative_leg_counts_as_zero_but_the_sum_keeps_its_sign() {
        let mut stages = StageHistograms::new(Unit::Nanoseconds);
        stages.record(&sample(-30, 10, 100));
        let raise_to_isr = stages.get(Stage::RaiseToIsr).unwrap();
        assert_eq!((raise_to_isr.min(), raise_to_isr.clamped()), (Some(0), 1));
        let raise_to_user = stages.get(Stage::RaiseToUser).unwrap();
        assert_eq!(
            (raise_to_user.min(), raise_to_user.clamped()),
            (Some(80), 0)
        );
    }

    #[test]
    fn an_event_that_never_arrived_counts_for_the_stages_it_went_through() {
        let mut stages = StageHistograms::new(Unit::Nanoseconds);
        stages.record(&Sample {
            notify_to_user: None,
            ..sample(100, 10, 0)
        });
        let seen: Vec<Stage> = stages.iter().map(|(stage, _)| stage).collect();
        assert_eq!(seen, [Stage::RaiseToIsr, Stage::IsrToNotify]);
    }

    #[test]
    fn instructions_know_nothing_of_the_host() {
        let mut stages = StageHistograms::new(Unit::Instructions);
        stages.record(&Sample {
            reply_to_command: Some(8),
            command_to_device: Some(9),
            reply_to_device: Some(17),
            raise_to_device: Some(35),
            ..sample(5, 6, 7)
        });
        assert!(stages.iter().all(|(stage, _)| !stage.needs_wall()));
        assert_eq!(stages.iter().count(), 4);
    }

    #[test]
    fn percentiles_of_large_values_are_exact() {
        let mut distribution = Distribution::default();
        (0..1000).for_each(|_| distribution.record(6_967_123_457));
        distribution.record(6_967_123_458);
        assert_eq!(distribution.percentile(999), Some(6_967_123_457));
        assert_eq!(distribution.percentile(1000), Some(6_967_123_458));
    }

    #[test]
    fn names_in_json_are_the_names_in_tables() {
        for stage in Stage::ALL {
            assert_eq!(serde_json::to_value(stage).unwrap(), stage.as_str());
        }
    }

    proptest! {
        #[test]
        fn a_percentile_is_the_value_at_its_nearest_rank(
            mut values in prop::collection::vec(0i64..500, 1..300),
            per_mille in 0u16..=1000,
        ) {
            let mut distribution = Distribution::default();
            values.iter().for_each(|&value| distribution.record(value));
            values.sort_unstable();
            let rank = (values.len() * usize::from(per_mille)).div_ceil(1000).max(1);
            let expected = u64::try_from(values[rank - 1]).ok();
            prop_assert_eq!(distribution.percentile(per_mille), expected);
        }
    }
}
