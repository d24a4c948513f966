// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The percentile plot on a terminal, in ASCII: a letter for each line rather
//! than a colour, so that it can be read wherever it is pasted. Libraries that
//! plot on terminals tell lines apart by colour alone.

use std::fmt::Write;

use hdrhistogram::Histogram;
use irqbed_results::{result::RunResult, stages::Stage, units::Unit};

use super::{
    percentiles::{name, named, nines_of, points},
    scale::{Log, ends, tick},
};

/// The ways that are drawn, each with its letter.
const WAYS: [(Stage, char); 3] = [
    (Stage::IsrToUser, 'o'),
    (Stage::RaiseToUser, '*'),
    (Stage::RaiseToDevice, '+'),
];
/// Columns right of the axis, and rows above the other.
const COLUMNS: usize = 66;
const ROWS: usize = 11;
/// Columns for the names of values.
const NAMES: usize = 10;

/// A plot at most 80 columns wide, ending in a line feed; `None` where there is
/// nothing to draw.
pub(crate) fn plot(result: &RunResult) -> Option<String> {
    let known = WAYS.into_iter().filter_map(|(stage, letter)| {
        // Ours, or read: either way there is a table if it cannot be drawn.
        let histogram = result.stages.get(&stage)?.histogram().ok()?;
        Some((stage, letter, histogram))
    });
    let lines: Vec<(Stage, char, Histogram<u64>)> = known.collect();
    let most = lines.iter().map(|(.., line)| line.len()).max()?;
    let values = lines.iter().flat_map(|(.., line)| ends(line));
    let axis = Log::of(values);
    let mut cells = [[' '; COLUMNS]; ROWS];
    for (_, letter, histogram) in &lines {
        draw(&mut cells, *letter, &axis, most, histogram);
    }
    Some(written(&lines, &cells, &axis, most, result.clock.unit()))
}

/// The row of a value, from the top.
fn row(axis: &Log, value: f64) -> usize {
    let part = (axis.place(value) - axis.start()) / (axis.end() - axis.start());
    let from_below = (part * (ROWS - 1) as f64).round() as usize;
    (ROWS - 1).saturating_sub(from_below)
}

/// The column of a percentile.
fn column(nines: f64, most: u64) -> usize {
    let part = nines / nines_of(most);
    ((part * (COLUMNS - 1) as f64).round() as usize).min(COLUMNS - 1)
}

/// Puts the letter in each column, and between the heights of two neighbours.
fn draw(
    cells: &mut [[char; COLUMNS]; ROWS],
    letter: char,
    axis: &Log,
    most: u64,
    histogram: &Histogram<u64>,
) {
    let points = points(histogram, COLUMNS as u32 * 2);
    let mut before: Option<(usize, usize)> = None;
    for (nines, value) in points {
        let here = (column(nines, most), row(axis, value as f64));
        let (from, level) = before.unwrap_or(here);
        // The new level begins where its point is.
        cells[level][from..here.0].fill(letter);
        cells[here.1][here.0] = letter;
        for cells in &mut cells[here.1.min(level)..here.1.max(level)] {
            cells[here.0] = letter;
        }
        before = Some(here);
    }
}

fn written(
    lines: &[(Stage, char, Histogram<u64>)],
    cells: &[[char; COLUMNS]; ROWS],
    axis: &Log,
    most: u64,
    unit: Unit,
) -> String {
    let mut names = vec![String::new(); ROWS];
    for value in axis.ticks() {
        names[row(axis, value)] = tick(unit, value);
    }
    let mut text = String::new();
    for (name, cells) in names.iter().zip(cells) {
        let mark = if name.is_empty() { '|' } else { '+' };
        let line: String = cells.iter().collect();
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name:>NAMES$} {mark}{}", line.trim_end());
    }
    let mut rule = ['-'; COLUMNS];
    let mut percentiles = String::new();
    for nines in named(nines_of(most)) {
        let at = column(nines, most);
        let name = name(nines);
        let from = at.saturating_sub(name.len() / 2);
        // A name that would touch the one before is left out, with its mark.
        if at == 0 {
            percentiles = name;
        } else if from > percentiles.len() {
            rule[at] = '+';
            percentiles = format!("{percentiles:from$}{name}");
        }
    }
    let rule: String = rule.iter().collect();
    let _ = writeln!(text, "{:>NAMES$} +{rule}", "");
    let _ = writeln!(text, "{:>NAMES$}  {percentiles}", "");
    let letters: Vec<String> = lines
        .iter()
        .rev()
        .map(|(stage, letter, _)| format!("{letter} {stage}"))
        .collect();
    let letters = letters.join("  ");
    let unit = match unit {
        Unit::Nanoseconds => "",
        Unit::Instructions => " (instructions)",
    };
    let _ = writeln!(text, "{:>NAMES$}  percentile of {letters}{unit}", "");
    text
}

#[cfg(test)]
mod tests {
    use crate::examples;

    use super::*;

    #[test]
    fn a_plot_names_its_lines_and_fits_a_terminal() {
        for (result, letters) in [
            (examples::wall(), "* raise_to_user  o isr_to_user"),
            (examples::instructions(), "o isr_to_user (instructions)"),
            (
                examples::replied(),
                "+ raise_to_device  * raise_to_user  o isr_to_user",
            ),
        ] {
            let plot = plot(&result).unwrap();
            assert!(plot.trim_end().ends_with(letters), "{plot}");
            for line in plot.lines() {
                assert!(line.chars().count() <= 80, "{line}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn a_line_goes_from_the_least_to_the_largest_value() {
        // 999 events on one path, the last one on another.
        let plot = plot(&examples::instructions()).unwrap();
        let lines: Vec<&str> = plot.lines().collect();
        let flat = lines[ROWS - 1].matches('o').count();
        assert_eq!(flat, COLUMNS, "{plot}");
        let end = lines[0].rfind('o').expect("the largest is on top");
        assert_eq!(end, NAMES + 1 + COLUMNS, "{plot}");
        assert!(plot.contains("0") && plot.contains("99.9"), "{plot}");
    }

    #[test]
    fn without_events_there_is_no_plot() {
        let mut result = examples::wall();
        result.stages = irqbed_results::result::Stages::default();
        assert_eq!(plot(&result), None);
    }
}
