// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What every plot has around it: axes whose ticks are known beforehand, their
//! names, and a grid.

use std::ops::Range;

use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
    },
    prelude::*,
};

use super::svg::{LETTERS, Role, SCALE, Svg};

/// Pixels of a plot.
pub(super) const SIZE: (u32, u32) = (400, 250);
/// Room for the names of values on the left.
pub(super) const VALUES: u32 = 66;
/// Drawing into a text does not fail.
pub(super) const NEVER: &str = "a text takes everything";

/// An axis with its ticks.
pub(super) struct Axis {
    pub(super) range: Range<f64>,
    pub(super) ticks: Vec<f64>,
}

impl Ranged for Axis {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (low, high): (i32, i32)) -> i32 {
        let length = (self.range.end - self.range.start).max(f64::MIN_POSITIVE);
        let part = (value - self.range.start) / length;
        low + (part * f64::from(high - low)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // There are no lines between the ticks.
        if hint.weight().allow_light_points() {
            Vec::new()
        } else {
            self.ticks.clone()
        }
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

pub(super) type Area<'a> = DrawingArea<Svg<'a>, Shift>;
pub(super) type Chart<'a, 'b> = ChartContext<'a, Svg<'b>, Cartesian2d<Axis, Axis>>;
/// What a tick is called.
type Name<'a> = &'a dyn Fn(&f64) -> String;

/// An empty plot with so many pixels for the names on its left. Words stand
/// below the axis that goes to the right.
pub(super) fn frame<'a, 'b>(
    area: &'a Area<'b>,
    left: u32,
    (x, words, x_name): (Axis, &str, Name<'_>),
    (y, y_name): (Axis, Name<'_>),
) -> Chart<'a, 'b> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(8 * SCALE)
        .margin_right(24 * SCALE)
        .margin_bottom(2 * SCALE)
        .x_label_area_size(36 * SCALE)
        .y_label_area_size(left * SCALE)
        .build_cartesian_2d(x, y)
        .expect(NEVER);
    let color = Role::LABEL.color();
    let label = TextStyle::from(("sans-serif", LETTERS)).color(&color);
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(Role::GRID.color())
        .axis_style(Role::AXIS.color())
        .label_style(label.clone())
        .axis_desc_style(label)
        .set_all_tick_mark_size(4 * SCALE)
        .x_desc(words)
        .x_label_formatter(&x_name)
        .y_label_formatter(&y_name)
        .draw()
        .expect(NEVER);
    chart
}
