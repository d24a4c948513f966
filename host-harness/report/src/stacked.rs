// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Mechanisms side by side: of each a bar of the medians of its stages, and its
//! own median as a line across. Medians do not add up, so the two differ.

use irqbed_results::{result::RunResult, stages::Stage, units::Unit};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::{
    frame::{Axis, NEVER, frame},
    scale::{linear, spoken, tick},
    svg::{LETTERS, Role, draw},
};

const WIDTH: u32 = 400;
/// Height of a bar with the gap below it.
const ROW: u32 = 20;
/// Room for the names of mechanisms.
const NAMES: u32 = 150;
/// Room for figures right of the longest bar, as a part of it.
const FIGURES: f64 = 1.25;

/// The stages that a way consists of.
pub(super) const LEGS: [Stage; 3] = [Stage::RaiseToIsr, Stage::IsrToNotify, Stage::NotifyToUser];

/// One bar.
pub(super) struct Bar<'a> {
    pub(super) name: &'a str,
    /// Stages and their medians, in the order of the journey; the way itself
    /// where its stages are not known.
    pub(super) parts: Vec<(Stage, u64)>,
    /// The median of the way.
    pub(super) median: u64,
}

/// The longest way of a result that its clock knows.
pub(super) fn way(result: &RunResult) -> Option<Stage> {
    let way = [Stage::RaiseToUser, Stage::IsrToUser];
    way.into_iter()
        .find(|stage| result.stages.contains_key(stage))
}

impl<'a> Bar<'a> {
    pub(super) fn of(result: &'a RunResult) -> Option<Self> {
        let way = way(result)?;
        let median = |stage: Stage| Some((stage, result.stages.get(&stage)?.p50));
        let legs: Vec<_> = LEGS.into_iter().filter_map(median).collect();
        let median = result.stages.get(&way)?.p50;
        Some(Self {
            name: &result.mechanism,
            parts: if legs.is_empty() {
                vec![(way, median)]
            } else {
                legs
            },
            median,
        })
    }

    pub(super) fn length(&self) -> u64 {
        let sum = self
            .parts
            .iter()
            .fold(0_u64, |sum, (_, part)| sum.saturating_add(*part));
        sum.max(self.median)
    }
}

/// Draws bars below each other, to a scale that ends at `longest`.
pub(super) fn plot(unit: Unit, bars: &[Bar<'_>], longest: u64, words: &str) -> String {
    let rows = bars.len() as f64;
    let end = (longest.max(1) as f64) * FIGURES;
    let ticks = linear(0.0, end, 4);
    let middle = |row: usize| rows - row as f64 - 0.5;
    let height = ROW * bars.len() as u32 + 40;
    let x = Axis {
        range: 0.0..end,
        ticks,
    };
    let y = Axis {
        range: 0.0..rows,
        ticks: (0..bars.len()).map(middle).collect(),
    };
    draw((WIDTH, height), words, |area| {
        let name = |at: &f64| {
            let bar = bars.get((rows - at - 0.5).round() as usize);
            bar.map_or(String::new(), |bar| bar.name.to_owned())
        };
        let value = |&value: &f64| tick(unit, value);
        let words = match unit {
            Unit::Nanoseconds => "median",
            Unit::Instructions => "median, instructions",
        };
        let x = (x, words, &value as _);
        let mut chart = frame(area, NAMES, x, (y, &name));
        for (row, bar) in bars.iter().enumerate() {
            let (top, bottom) = (middle(row) + 0.32, middle(row) - 0.32);
            let mut from = 0.0;
            let parts = bar.parts.iter().map(|&(stage, part)| {
                let to = from + part as f64;
                let corners = [(from, bottom), (to, top)];
                from = to;
                Rectangle::new(corners, Role::bar(stage).color().filled())
            });
            chart.draw_series(parts).expect(NEVER);
            let median = bar.median as f64;
            let across = [(median, bottom - 0.1), (median, top + 0.1)];
            let line = PathElement::new(across, Role::MEDIAN.color());
            chart.draw_series([line]).expect(NEVER);
            let color = Role::FIGURE.color();
            let style = TextStyle::from(("sans-serif", LETTERS))
                .color(&color)
                .pos(Pos::new(HPos::Left, VPos::Center));
            let beside = (bar.length() as f64 + end / 40.0, middle(row));
            let figure = Text::new(spoken_short(unit, bar.median), beside, style);
            chart.draw_series([figure]).expect(NEVER);
        }
    })
}

/// Beside a bar.
fn spoken_short(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Instructions => irqbed_results::units::thousands(value),
        Unit::Nanoseconds => spoken(unit, value),
    }
}
