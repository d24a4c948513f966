// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a stage changed over the run: one distribution for each part of it.

use std::ops::RangeInclusive;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::histogram::{self, HistogramError};
use crate::{
    stages::{Distribution, Stage},
    units::{Nanos, Unit},
};

/// Slices of a run that has events enough.
const SLICES: usize = 50;
/// Slices that are read.
const READ: RangeInclusive<usize> = 1..=1000;
/// Significant digits of a slice: 1 %, finer than a plot can show.
const DIGITS: u8 = 2;

/// The longest stage the clock knows, in slices of the run that are equally
/// long. An event belongs to the slice in which it was raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Timeline {
    /// The stage.
    pub stage: Stage,
    /// Length of a slice, wall time whatever the unit of the stage.
    pub slice_ns: Nanos,
    slices: Vec<String>,
}

impl Timeline {
    /// The stage that a timeline shows: the whole way to the process, or what
    /// of it is counted in instructions.
    #[must_use]
    pub const fn stage_of(unit: Unit) -> Stage {
        match unit {
            Unit::Nanoseconds => Stage::RaiseToUser,
            Unit::Instructions => Stage::IsrToUser,
        }
    }

    /// From when each event was raised, in cycles of whatever length, and how long its stage was; `None` where
    /// no event went through it.
    #[must_use]
    pub fn new(unit: Unit, duration: Nanos, events: &[(u64, Option<i64>)]) -> Option<Self> {
        let raised = || events.iter().map(|(raised, _)| *raised);
        let (first, last) = (raised().min()?, raised().max()?);
        let count = events.len().min(SLICES);
        let mut slices = vec![Distribution::default(); count];
        for (raised, value) in events {
            let place = u128::from(raised - first) * count as u128 / (u128::from(last - first) + 1);
            if let (Some(value), Some(slice)) = (value, slices.get_mut(place as usize)) {
                slice.record(*value);
            }
        }
        let slice = |slice: &Distribution| match slice.count() {
            0 => String::new(),
            _ => histogram::encode(DIGITS, slice),
        };
        slices.iter().any(|slice| slice.count() > 0).then(|| Self {
            stage: Self::stage_of(unit),
            slice_ns: Nanos(duration.0 / count as u64),
            slices: slices.iter().map(slice).collect(),
        })
    }

    /// The distribution of each slice, to 1 %; `None` where no event was raised
    /// that went through the stage.
    ///
    /// # Errors
    /// [`HistogramError`] when the document holds one that cannot be read.
    pub fn slices(&self) -> Result<Vec<Option<Histogram<u64>>>, HistogramError> {
        let decoded = |text: &String| match text.as_str() {
            "" => Ok(None),
            text => histogram::decode(text).map(Some),
        };
        self.slices.iter().map(decoded).collect()
    }
}

/// A [`Timeline`] from outside.
#[derive(Deserialize)]
struct Unchecked {
    stage: Stage,
    slice_ns: Nanos,
    slices: Vec<String>,
}

impl TryFrom<Unchecked> for Timeline {
    type Error = String;

    fn try_from(
        Unchecked {
            stage,
            slice_ns,
            slices,
        }: Unchecked,
    ) -> Result<Self, String> {
        if READ.contains(&slices.len()) {
            Ok(Self {
                stage,
                slice_ns,
                slices,
            })
        } else {
            let (least, most) = READ.into_inner();
            let found = slices.len();
            Err(format!(
                "a timeline has {found} slices, not {least} to {most}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn counts(timeline: &Timeline) -> Vec<u64> {
        let slices = timeline.slices().unwrap();
        slices
            .iter()
            .map(|slice| slice.as_ref().map_or(0, Histogram::len))
            .collect()
    }

    #[test]
    fn an_event_counts_in_the_slice_in_which_it_was_raised() {
        // Every 10 cycles, but for a pause of half the run.
        let moments = (0..100).chain(200..300).map(|event| 7_000 + 10 * event);
        let events: Vec<_> = moments
            .map(|moment| (moment, Some(moment as i64)))
            .collect();
        let timeline = Timeline::new(Unit::Nanoseconds, Nanos(5_000), &events).unwrap();
        assert_eq!(timeline.stage, Stage::RaiseToUser);
        assert_eq!(timeline.slice_ns, Nanos(100));
        let counts = counts(&timeline);
        assert_eq!(counts.len(), SLICES);
        assert_eq!(counts.iter().sum::<u64>(), 200);
        assert!(counts[18..32].iter().all(|&count| count == 0), "{counts:?}");
        let slices = timeline.slices().unwrap();
        let first = slices[0].as_ref().unwrap();
        assert!(first.min() <= 7_000 && first.max() < 7_200, "{first:?}");
    }

    #[test]
    fn few_events_have_few_slices_and_one_has_one() {
        let timeline = |count| {
            let events: Vec<_> = (0..count).map(|at| (at, Some(-5))).collect();
            Timeline::new(Unit::Instructions, Nanos(30), &events)
        };
        assert_eq!(timeline(0), None);
        assert_eq!(counts(&timeline(1).unwrap()), [1]);
        assert_eq!(counts(&timeline(3).unwrap()), [1, 1, 1]);
        assert_eq!(timeline(3).unwrap().stage, Stage::IsrToUser);
    }

    #[test]
    fn events_that_all_got_lost_have_no_timeline() {
        let events = [(1, None), (2, None)];
        assert_eq!(Timeline::new(Unit::Nanoseconds, Nanos(1), &events), None);
    }

    #[test]
    fn slices_of_no_number_and_of_foreign_content_are_refused() {
        let read = |slices: &[&str]| {
            let json = json!({ "stage": "isr_to_user", "slice_ns": 1, "slices": slices });
            serde_json::from_value::<Timeline>(json)
        };
        assert!(read(&[]).unwrap_err().to_string().contains("0 slices"));
        assert!(read(&[""; 1001]).is_err());
        assert!(read(&["", "HIST"]).unwrap().slices().is_err());
    }
}
