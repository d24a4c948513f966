// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The heat map: when in the run how many events took how long.

use hdrhistogram::Histogram;
use irqbed_results::units::{Nanos, Unit};
use plotters::prelude::*;

use super::{
    frame::{Axis, NEVER, SIZE, VALUES, frame},
    scale::{Log, duration, ends, linear},
    svg::{Role, draw},
};

/// Rows of cells.
const ROWS: usize = 28;

/// How many events a shade stands for, at least and at most.
pub(super) type Shade = (u64, u64);

/// A heat map and what its shades mean, the lightest first.
pub(super) struct Heat {
    pub(super) svg: String,
    pub(super) shades: Vec<Shade>,
}

/// The shades for counts of 1 to `most`: each begins where the one before ends,
/// in equal ratios.
fn shades(most: u64) -> Vec<Shade> {
    let levels = u64::from(Role::SHADES).min(most);
    let mut from = 1;
    let mut shades = Vec::new();
    for level in 1..=levels {
        let left = f64::from((levels - level + 1) as u32);
        let ratio = ((most as f64 + 1.0) / from as f64).powf(1.0 / left);
        let below = ((from as f64 * ratio).round() as u64).max(from + 1);
        let to = if level == levels { most } else { below - 1 };
        shades.push((from, to));
        from = to + 1;
    }
    shades
}

/// Draws the slices of a run.
pub(super) fn plot(
    unit: Unit,
    slice: Nanos,
    slices: &[Option<Histogram<u64>>],
    words: &str,
) -> Heat {
    let filled = || slices.iter().flatten();
    let axis = Log::of(filled().flat_map(ends));
    let (start, end) = (axis.start(), axis.end());
    let height = (end - start) / ROWS as f64;
    let mut cells = vec![[0_u64; ROWS]; slices.len()];
    for (row, slice) in cells.iter_mut().zip(slices) {
        for step in slice.iter().flat_map(|slice| slice.iter_recorded()) {
            let place = (axis.place(step.value_iterated_to() as f64) - start) / height;
            if let Some(cell) = row.get_mut((place as usize).min(ROWS - 1)) {
                *cell += step.count_at_value();
            }
        }
    }
    let most = cells.iter().flatten().copied().max().unwrap_or(0);
    let shades = shades(most);
    let seconds = slice.0 as f64 * slices.len() as f64;
    let moments = linear(0.0, seconds, 4);
    let moments = moments
        .iter()
        .map(|moment| moment / seconds.max(1.0) * slices.len() as f64);
    let x = Axis {
        range: 0.0..slices.len() as f64,
        ticks: moments.collect(),
    };
    let svg = draw(SIZE, words, |area| {
        let moment = |&at: &f64| duration((at * slice.0 as f64).round());
        let x = (x, "time since the first event", &moment as _);
        let mut chart = frame(
            area,
            VALUES,
            x,
            (axis.axis(), &|&place| axis.name(unit, place)),
        );
        // One shade after the other: each is one path.
        for (level, &(from, to)) in shades.iter().enumerate() {
            // Few events have the strong shades, too.
            let role = Role::shade(Role::SHADES - shades.len() as u8 + level as u8);
            let in_shade = |count: &u64| (from..=to).contains(count);
            let rectangles = cells.iter().enumerate().flat_map(|(at, column)| {
                let shaded = column
                    .iter()
                    .enumerate()
                    .filter(|(_, count)| in_shade(count));
                shaded.map(move |(row, _)| {
                    let low = start + height * row as f64;
                    let x = at as f64;
                    Rectangle::new([(x, low), (x + 1.0, low + height)], role.color().filled())
                })
            });
            chart.draw_series(rectangles).expect(NEVER);
        }
    });
    Heat { svg, shades }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_cover_every_count_once() {
        for most in [0, 1, 2, 5, 6, 7, 40, 1000, u64::MAX / 2] {
            let shades = shades(most);
            assert_eq!(shades.len() as u64, most.min(u64::from(Role::SHADES)));
            let mut next = 1;
            for &(from, to) in &shades {
                assert!(from == next && to >= from, "{most}: {shades:?}");
                next = to + 1;
            }
            assert_eq!(next, most + 1, "{most}: {shades:?}");
        }
    }

    #[test]
    fn empty_slices_are_empty_columns() {
        let mut slice = Histogram::new(2).unwrap();
        slice.record(6_000).unwrap();
        let heat = plot(
            Unit::Instructions,
            Nanos(10),
            &[None, Some(slice), None],
            "words",
        );
        assert_eq!(heat.shades, [(1, 1)]);
        assert_eq!(heat.svg.matches("class=\"h5\"").count(), 1, "{}", heat.svg);
    }
}
