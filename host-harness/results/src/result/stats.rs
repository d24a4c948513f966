// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The figures of a stage as they stand in a document.

use std::{collections::BTreeMap, ops::Deref};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::histogram::{self, HistogramError};
use crate::{
    stages::{Distribution, Stage, StageHistograms},
    units::Unit,
};

/// The figures of one stage, each a value that occurred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct StageStats {
    /// Unit of the values.
    pub unit: Unit,
    /// Number of values, at least 1.
    pub count: u64,
    /// Smallest.
    pub min: u64,
    /// Median, by nearest rank, as all percentiles.
    pub p50: u64,
    /// 90th percentile.
    pub p90: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p99_9: u64,
    /// Largest.
    pub max: u64,
    /// Values that were negative and count as 0.
    pub clamped: u64,
    histogram: String,
}

impl StageStats {
    /// `None` when the distribution is empty.
    fn of(unit: Unit, distribution: &Distribution) -> Option<Self> {
        Some(Self {
            unit,
            count: distribution.count(),
            min: distribution.min()?,
            p50: distribution.percentile(500)?,
            p90: distribution.percentile(900)?,
            p99: distribution.percentile(990)?,
            p99_9: distribution.percentile(999)?,
            max: distribution.max()?,
            clamped: distribution.clamped(),
            histogram: histogram::encode(histogram::digits(unit), distribution),
        })
    }

    /// The whole distribution, to the precision of `docs/json.md`.
    ///
    /// # Errors
    /// [`HistogramError`] when the document holds none that can be read, or
    /// one of another number of values.
    pub fn histogram(&self) -> Result<Histogram<u64>, HistogramError> {
        let histogram = histogram::decode(&self.histogram)?;
        if histogram.len() == self.count {
            Ok(histogram)
        } else {
            Err(HistogramError::Count {
                stated: self.count,
                found: histogram.len(),
            })
        }
    }
}

/// A [`StageStats`] from outside.
#[derive(Deserialize)]
struct Unchecked {
    unit: Unit,
    count: u64,
    min: u64,
    p50: u64,
    p90: u64,
    p99: u64,
    p99_9: u64,
    max: u64,
    #[serde(default)]
    clamped: u64,
    histogram: String,
}

impl TryFrom<Unchecked> for StageStats {
    type Error = String;

    fn try_from(stats: Unchecked) -> Result<Self, String> {
        let Unchecked {
            unit,
            count,
            min,
            p50,
            p90,
            p99,
            p99_9,
            max,
            clamped,
            histogram,
        } = stats;
        if count == 0 {
            return Err("a stage has a count of 0".to_owned());
        }
        if ![min, p50, p90, p99, p99_9, max].is_sorted() {
            return Err(format!(
                "the percentiles of a stage fall: {min}, {p50}, {p90}, {p99}, {p99_9}, {max}"
            ));
        }
        Ok(Self {
            unit,
            count,
            min,
            p50,
            p90,
            p99,
            p99_9,
            max,
            clamped,
            histogram,
        })
    }
}

/// The figures of each stage that events went through, in the order of the
/// journey.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stages(BTreeMap<Stage, StageStats>);

impl From<&StageHistograms> for Stages {
    fn from(histograms: &StageHistograms) -> Self {
        let stats =
            |(stage, distribution)| Some((stage, StageStats::of(histograms.unit(), distribution)?));
        Self(histograms.iter().filter_map(stats).collect())
    }
}

impl Deref for Stages {
    type Target = BTreeMap<Stage, StageStats>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::stages::Sample;

    fn refused(change: impl Fn(&mut serde_json::Value)) -> String {
        let mut json = json!({
            "unit": "ns", "count": 3, "min": 1, "p50": 2, "p90": 3, "p99": 3, "p99_9": 3,
            "max": 3, "clamped": 0, "histogram": "",
        });
        assert!(serde_json::from_value::<StageStats>(json.clone()).is_ok());
        change(&mut json);
        serde_json::from_value::<StageStats>(json)
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn figures_and_histogram_agree() {
        let mut histograms = StageHistograms::new(Unit::Instructions);
        histograms.extend((1..=1000).map(|value| Sample {
            isr_to_notify: Some(value),
            notify_to_user: Some(5_000),
            ..Sample::default()
        }));
        let stages = Stages::from(&histograms);
        let stats = &stages[&Stage::IsrToUser];
        assert_eq!((stats.min, stats.p50, stats.max), (5_001, 5_500, 6_000));
        assert_eq!((stats.p99, stats.p99_9), (5_990, 5_999));
        let histogram = stats.histogram().unwrap();
        assert_eq!(histogram.value_at_quantile(0.5), stats.p50);
        assert_eq!(histogram.max(), stats.max);
    }

    #[test]
    fn an_empty_stage_is_refused() {
        assert!(refused(|json| json["count"] = json!(0)).contains("count of 0"));
    }

    #[test]
    fn falling_percentiles_are_refused() {
        assert!(refused(|json| json["p90"] = json!(1)).contains("fall"));
    }

    #[test]
    fn a_histogram_of_another_run_is_noticed() {
        let mut histograms = StageHistograms::new(Unit::Nanoseconds);
        histograms.record(&Sample {
            isr_to_notify: Some(1),
            ..Sample::default()
        });
        let mut stats = Stages::from(&histograms)[&Stage::IsrToNotify].clone();
        stats.count = 2;
        assert!(matches!(
            stats.histogram(),
            Err(HistogramError::Count {
                stated: 2,
                found: 1
            })
        ));
    }
}
