// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A comparison as people and programs read it.

use std::fmt::Write;

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::{Comparison, Row, Verdict};
use crate::{
    result::Document,
    units::{Unit, thousands},
};

/// Columns of a table: heading, and whether figures stand at its right.
const COLUMNS: [(&str, bool); 7] = [
    ("mechanism", false),
    ("context", false),
    ("stage", false),
    ("base", true),
    ("new", true),
    ("change", true),
    ("verdict", false),
];

fn figure(unit: Unit, value: Option<u64>) -> String {
    match (unit, value) {
        (_, None) => "-".to_owned(),
        (Unit::Instructions, Some(value)) => thousands(value),
        (Unit::Nanoseconds, Some(value)) => format!("{:.2} µs", value as f64 / 1e3),
    }
}

fn cells(row: &Row) -> [String; 7] {
    let verdict = match &row.verdict {
        Verdict::NotComparable { why } => format!("not comparable: {why}"),
        verdict => verdict.as_str().to_owned(),
    };
    let stage = row.stage.map_or("-", |stage| stage.as_str());
    [
        row.mechanism.clone(),
        row.context.clone(),
        stage.to_owned(),
        figure(row.unit, row.base),
        figure(row.unit, row.new),
        row.change()
            .map_or_else(|| "-".to_owned(), |change| format!("{change:+.2} %")),
        verdict,
    ]
}

/// One line that counts.
fn summary(comparison: &Comparison) -> String {
    let count = |is: fn(&Verdict) -> bool| {
        let rows = comparison.rows.iter();
        rows.filter(|row| is(&row.verdict)).count()
    };
    format!(
        "{} worse, {} better, {} the same, {} not comparable",
        count(|verdict| *verdict == Verdict::Worse),
        count(|verdict| *verdict == Verdict::Better),
        count(|verdict| *verdict == Verdict::Same),
        count(|verdict| matches!(verdict, Verdict::NotComparable { .. })),
    )
}

/// For a terminal: what changed or cannot be compared, and a line that counts.
#[must_use]
pub fn text(comparison: &Comparison) -> String {
    let shown: Vec<[String; 7]> = comparison
        .rows
        .iter()
        .filter(|row| row.verdict != Verdict::Same)
        .map(cells)
        .collect();
    let mut text = String::new();
    if !shown.is_empty() {
        let width = |column: usize, heading: &str| {
            let cells = shown.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0).max(heading.len())
        };
        let widths: Vec<usize> = (0..)
            .zip(COLUMNS)
            .map(|(column, (heading, _))| width(column, heading))
            .collect();
        let headings = COLUMNS.map(|(heading, _)| heading.to_owned());
        for row in std::iter::once(&headings).chain(&shown) {
            let mut line = String::new();
            for ((cell, (_, right)), width) in row.iter().zip(COLUMNS).zip(&widths) {
                // Writing to a string cannot fail.
                let _ = if right {
                    write!(line, "{cell:>width$}  ")
                } else {
                    write!(line, "{cell:width$}  ")
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "note: {note}");
    }
    let _ = writeln!(text, "{}", summary(comparison));
    text
}

/// For a job's summary or a pull request: every row.
#[must_use]
pub fn markdown(comparison: &Comparison) -> String {
    let mut text = format!("**irqbed: {}**\n\n", summary(comparison));
    let headings = COLUMNS.map(|(heading, _)| heading).join(" | ");
    let rules = COLUMNS.map(|(_, right)| if right { "---:" } else { "---" });
    let _ = writeln!(text, "| {headings} |\n| {} |", rules.join(" | "));
    for row in &comparison.rows {
        let mut cells = cells(row);
        if row.verdict == Verdict::Worse {
            cells[6] = "**worse**".to_owned();
        }
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for note in &comparison.notes {
        let _ = writeln!(text, "\n{note}");
    }
    text
}

/// The comparison as it is.
#[must_use]
pub fn json(comparison: &Comparison) -> String {
    #[derive(Serialize)]
    struct Versioned<'a> {
        schema: &'static str,
        #[serde(flatten)]
        comparison: &'a Comparison,
    }
    let schema = "irqbed-compare/1";
    pretty(&Versioned { schema, comparison })
}

/// A test case for each row, which fails where it became worse.
///
/// # Errors
/// None that is known: it is written to memory.
pub fn junit(comparison: &Comparison) -> Result<String, quick_junit::SerializeError> {
    let mut suite = TestSuite::new("irqbed compare");
    for row in &comparison.rows {
        let mut status = TestCaseStatus::success();
        let words = cells(row).join(", ");
        match &row.verdict {
            Verdict::Worse => {
                status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(words);
            }
            Verdict::NotComparable { why } => {
                status = TestCaseStatus::skipped();
                status.set_message(why.clone());
            }
            Verdict::Better | Verdict::Same => {}
        }
        let mut case = TestCase::new(name(row), status);
        case.set_classname(row.mechanism.clone());
        suite.add_test_case(case);
    }
    let mut report = Report::new("irqbed");
    report.add_test_suite(suite);
    report.to_string()
}

fn name(row: &Row) -> String {
    let stage = row.stage.map_or("all stages", |stage| stage.as_str());
    format!("{} in {}: {stage}", row.mechanism, row.context)
}

/// Each median of a document under a name of its own.
fn figures(document: &Document) -> impl Iterator<Item = (String, &'static str, u64)> {
    document.results.iter().flat_map(|result| {
        result.stages.iter().map(|(stage, stats)| {
            let unit = match stats.unit {
                Unit::Nanoseconds => "ns",
                Unit::Instructions => "instructions",
            };
            let context = result.context_and_reply();
            let name = format!("{}/{context}/{stage}/p50", result.mechanism);
            (name, unit, stats.p50)
        })
    })
}

/// As github-action-benchmark reads it, `customSmallerIsBetter`.
#[must_use]
pub fn github_action_benchmark(document: &Document) -> String {
    #[derive(Serialize)]
    struct Entry {
        name: String,
        unit: &'static str,
        value: u64,
    }
    let entries: Vec<Entry> = figures(document)
        .map(|(name, unit, value)| Entry { name, unit, value })
        .collect();
    pretty(&entries)
}

/// As Bencher reads it: Bencher Metric Format.
#[must_use]
pub fn bencher(document: &Document) -> String {
    let entries: serde_json::Map<_, _> = figures(document)
        .map(|(name, unit, value)| {
            let measure = if unit == "ns" { "latency" } else { unit };
            (name, serde_json::json!({ measure: { "value": value } }))
        })
        .collect();
    pretty(&entries)
}

fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain data with string keys");
    text.push('\n');
    text
}
