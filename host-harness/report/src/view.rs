// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Documents as a report shows them: by pair, with every histogram that is
//! drawn read and checked before the first line is written.

use std::collections::{BTreeMap, BTreeSet};

use hdrhistogram::Histogram;
use irqbed_results::{
    result::{HistogramError, RunResult},
    stages::Stage,
    units::Nanos,
};

use super::{ReportError, Source, table};

/// One mechanism in one context, and one way to reply, in each document that
/// has it.
pub(super) struct Pair<'a> {
    pub(super) name: String,
    /// Unlike that of any other pair, for links.
    pub(super) id: String,
    pub(super) mechanism: &'a str,
    pub(super) context: String,
    pub(super) runs: Vec<Run<'a>>,
}

/// The rounds of a pair in one document.
pub(super) struct Run<'a> {
    /// Place of the document.
    pub(super) source: usize,
    pub(super) rounds: Vec<&'a RunResult>,
    /// The round that is shown: the one in the middle.
    pub(super) result: &'a RunResult,
    pub(super) stages: BTreeMap<Stage, Histogram<u64>>,
    pub(super) timeline: Option<Slices>,
}

/// A timeline that was read.
pub(super) struct Slices {
    pub(super) stage: Stage,
    pub(super) slice: Nanos,
    pub(super) slices: Vec<Option<Histogram<u64>>>,
}

/// The pairs of all documents, in the order of the first that has each.
pub(super) fn pairs(sources: &[Source]) -> Result<Vec<Pair<'_>>, ReportError> {
    let mut pairs: Vec<Pair<'_>> = Vec::new();
    for (place, source) in sources.iter().enumerate() {
        for rounds in source.document.rounds() {
            let Some(result) = table::middle(&rounds) else {
                continue;
            };
            let run = read(place, source, rounds, result)?;
            let name = result.name();
            match pairs.iter_mut().find(|pair| pair.name == name) {
                Some(pair) => pair.runs.push(run),
                None => pairs.push(Pair {
                    id: String::new(),
                    mechanism: &result.mechanism,
                    context: result.context_and_reply(),
                    runs: vec![run],
                    name,
                }),
            }
        }
    }
    let mut taken = BTreeSet::new();
    for pair in &mut pairs {
        let id = slug(&pair.name);
        let more = (2..).map(|number| format!("{id}-{number}"));
        let free = [id.clone()]
            .into_iter()
            .chain(more)
            .find(|id| !taken.contains(id));
        pair.id = free.unwrap_or(id);
        taken.insert(pair.id.clone());
    }
    Ok(pairs)
}

/// A name as part of an address.
fn slug(name: &str) -> String {
    let letter = |letter: char| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_ascii_lowercase(),
        _ => '-',
    };
    format!("pair-{}", name.chars().map(letter).collect::<String>())
}

fn read<'a>(
    place: usize,
    source: &Source,
    rounds: Vec<&'a RunResult>,
    result: &'a RunResult,
) -> Result<Run<'a>, ReportError> {
    let unreadable = |what: &str, error: HistogramError| ReportError::Histogram {
        document: source.name.clone(),
        pair: result.name(),
        what: what.to_owned(),
        error,
    };
    let mut stages = BTreeMap::new();
    for (&stage, stats) in result.stages.iter() {
        let histogram = stats
            .histogram()
            .map_err(|error| unreadable(stage.as_str(), error))?;
        stages.insert(stage, histogram);
    }
    let timeline = match &result.timeline {
        None => None,
        Some(timeline) => {
            let wrong = |error| unreadable("the timeline", error);
            let slices = timeline.slices().map_err(wrong)?;
            let lengths = slices.iter().flatten().map(Histogram::len);
            let found = lengths.fold(0, u64::saturating_add);
            let stated = result
                .stages
                .get(&timeline.stage)
                .map_or(0, |stats| stats.count);
            if found != stated {
                return Err(wrong(HistogramError::Count { stated, found }));
            }
            Some(Slices {
                stage: timeline.stage,
                slice: timeline.slice_ns,
                slices,
            })
        }
    };
    Ok(Run {
        source: place,
        rounds,
        result,
        stages,
        timeline,
    })
}

#[cfg(test)]
mod tests {
    use irqbed_results::{result::Timeline, units::Unit};

    use super::*;
    use crate::examples;

    fn source(results: Vec<RunResult>) -> Source {
        let mut document = examples::document(examples::wall());
        document.results = results;
        Source {
            name: "result.json".to_owned(),
            document,
        }
    }

    #[test]
    fn the_same_pair_of_two_documents_is_one() {
        let other = RunResult {
            context: "bh".to_owned(),
            ..examples::wall()
        };
        let sources = [
            source(vec![examples::wall(), examples::wall()]),
            source(vec![other, examples::wall()]),
        ];
        let pairs = pairs(&sources).unwrap();
        let shape: Vec<_> = pairs
            .iter()
            .map(|pair| {
                (
                    pair.id.as_str(),
                    pair.runs
                        .iter()
                        .map(|run| (run.source, run.rounds.len()))
                        .collect::<Vec<_>>(),
                )
            })
            .collect();
        assert_eq!(
            shape,
            [
                ("pair-netlink-in-hardirq", vec![(0, 2), (1, 1)]),
                ("pair-netlink-in-bh", vec![(1, 1)])
            ]
        );
    }

    #[test]
    fn names_that_look_alike_have_addresses_of_their_own() {
        let named = |mechanism: &str| RunResult {
            mechanism: mechanism.to_owned(),
            ..examples::wall()
        };
        let sources = [source(vec![named("a_b"), named("a-b"), named("a b")])];
        let pairs = pairs(&sources).unwrap();
        let ids: BTreeSet<_> = pairs.iter().map(|pair| &pair.id).collect();
        assert_eq!(ids.len(), 3, "{ids:?}");
    }

    #[test]
    fn a_timeline_of_another_run_is_refused() {
        let mut result = examples::wall();
        let events = [(1, Some(5)), (2, Some(6))];
        result.timeline = Timeline::new(Unit::Nanoseconds, Nanos(10), &events);
        let error = pairs(&[source(vec![result])])
            .err()
            .map(|error| error.to_string());
        assert_eq!(
            error.as_deref(),
            Some(
                "result.json: netlink in hardirq: the timeline: the histogram holds 2 values where \
                 1000 are stated; measure again"
            )
        );
    }
}
