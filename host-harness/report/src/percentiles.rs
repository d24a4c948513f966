// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The percentile plot: which part of the events took at most how long, with a
//! logarithmic axis that gives the slow ones their room, as HdrHistogram's
//! plots have it.

use hdrhistogram::Histogram;
use irqbed_results::units::Unit;
use plotters::prelude::*;

use super::{
    frame::{Axis, NEVER, SIZE, VALUES, frame},
    scale::Log,
    svg::{Role, draw},
};

/// Points of a line, before those are left out that change nothing.
const POINTS: u32 = 160;
/// Most names on the axis of percentiles.
const NAMES: usize = 6;

/// One line.
pub(super) struct Line<'a> {
    pub(super) role: Role,
    pub(super) histogram: &'a Histogram<u64>,
}

/// The percentile at a place of the axis, where 0 is none of the events, 1 are
/// 90 %, 2 are 99 %: `0`, `90`, `99`, `99.9`.
pub(super) fn name(nines: f64) -> String {
    match nines.round() as usize {
        0 => "0".to_owned(),
        1 => "90".to_owned(),
        2 => "99".to_owned(),
        more => format!("99.{}", "9".repeat(more - 2)),
    }
}

/// The values below which the events lie, by nearest rank, up to the largest.
/// Values in between that lie on one level are left out.
pub(super) fn points(histogram: &Histogram<u64>, points: u32) -> Vec<(f64, u64)> {
    let count = histogram.len();
    let end = nines_of(count);
    let mut recorded = histogram.iter_recorded();
    let mut value = histogram.min();
    let mut seen = 0;
    let mut line: Vec<(f64, u64)> = Vec::new();
    for at in 0..=points {
        let place = end * f64::from(at) / f64::from(points.max(1));
        let part = 1.0 - 10_f64.powf(-place);
        let rank = ((part * count as f64).ceil() as u64).clamp(1, count);
        let rank = if at == points { count } else { rank };
        while seen < rank {
            let Some(step) = recorded.next() else { break };
            seen += step.count_since_last_iteration();
            value = step.value_iterated_to();
        }
        if let [.., (_, before), (last, level)] = &mut *line
            && *before == value
            && *level == value
        {
            *last = place;
        } else {
            line.push((place, value));
        }
    }
    line
}

/// The end of the axis for so many events: their largest value.
pub(super) fn nines_of(count: u64) -> f64 {
    (count.max(10) as f64).log10()
}

/// The places on it that have a name.
pub(super) fn named(end: f64) -> impl Iterator<Item = f64> {
    // A thousand events end at 99.9, however a logarithm is rounded.
    (0..=(end + 1e-9) as u32).map(f64::from)
}

/// Draws lines of one unit.
pub(super) fn plot(unit: Unit, axis: Log, lines: &[Line<'_>], words: &str) -> String {
    let shown: Vec<(Role, Vec<(f64, u64)>)> = lines
        .iter()
        .map(|line| (line.role, points(line.histogram, POINTS)))
        .collect();
    let most = lines.iter().map(|line| line.histogram.len()).max();
    let end = nines_of(most.unwrap_or(0));
    let every = 1 + end as usize / NAMES;
    let percentiles = named(end).step_by(every).collect();
    let x = Axis {
        range: 0.0..end,
        ticks: percentiles,
    };
    draw(SIZE, words, |area| {
        let percentile = |&nines: &f64| name(nines);
        let x = (x, "percentile", &percentile as _);
        let mut chart = frame(
            area,
            VALUES,
            x,
            (axis.axis(), &|&place| axis.name(unit, place)),
        );
        for (role, line) in &shown {
            let line = line.iter().map(|&(x, value)| (x, axis.place(value as f64)));
            let line = LineSeries::new(line, role.color());
            chart.draw_series(line).expect(NEVER);
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn histogram(values: impl IntoIterator<Item = u64>) -> Histogram<u64> {
        let mut histogram = Histogram::new(3).unwrap();
        for value in values {
            histogram.record(value).unwrap();
        }
        histogram
    }

    fn level(points: &[(f64, u64)], nines: f64) -> u64 {
        let from = points.iter().rev().find(|(place, _)| *place <= nines);
        from.unwrap().1
    }

    #[test]
    fn a_line_is_as_high_as_its_percentiles_and_ends_at_the_largest_value() {
        let points = points(&histogram(1..=1000), 300);
        assert_eq!(points.first(), Some(&(0.0, 1)));
        assert!(level(&points, 1.0).abs_diff(900) <= 1, "{points:?}");
        assert!(level(&points, 2.0).abs_diff(990) <= 1, "{points:?}");
        let (end, largest) = *points.last().unwrap();
        assert!((end - 3.0).abs() < 1e-9 && largest == 1000, "{points:?}");
    }

    #[test]
    fn a_flat_line_is_two_points() {
        let flat = histogram([5; 400]);
        assert_eq!(points(&flat, 160).len(), 2);
        assert_eq!(
            points(&histogram([7]), 160).last().map(|last| last.1),
            Some(7)
        );
    }

    #[test]
    fn percentiles_have_their_names() {
        let names: Vec<String> = (0..=5).map(|nines| name(f64::from(nines))).collect();
        assert_eq!(names, ["0", "90", "99", "99.9", "99.99", "99.999"]);
    }
}
