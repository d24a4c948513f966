// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What changed from the first document to each other one, as `irqbed compare`
//! judges it.

use std::collections::BTreeMap;

use irqbed_results::{
    compare::{Comparison, Row, Thresholds, Verdict, compare},
    units::Unit,
};
use maud::{Markup, html};

use super::{
    Source,
    page::document_key,
    scale::{cell, cell_unit},
};

pub(super) fn section(sources: &[Source]) -> Markup {
    html! {
        section #changes aria-labelledby="changes-title" {
            h2 #changes-title { "What changed" }
            @if let [base, others @ ..] = sources {
                @for (place, new) in others.iter().enumerate() {
                    @let comparison = compare(&base.document, &new.document, &Thresholds::default());
                    h3 {
                        "From " (document_key(0)) (base.name) " to " (document_key(place + 1)) (new.name)
                    }
                    (verdicts(&comparison))
                }
            }
        }
    }
}

fn verdicts(comparison: &Comparison) -> Markup {
    let of = |is: fn(&Verdict) -> bool| -> Vec<&Row> {
        comparison
            .rows
            .iter()
            .filter(|row| is(&row.verdict))
            .collect()
    };
    let worse = of(|verdict| *verdict == Verdict::Worse);
    let better = of(|verdict| *verdict == Verdict::Better);
    let same = of(|verdict| *verdict == Verdict::Same);
    let mut silent: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for row in &comparison.rows {
        if let Verdict::NotComparable { why } = &row.verdict {
            silent.entry(why).or_default().push(row);
        }
    }
    let silent_rows: usize = silent.values().map(Vec::len).sum();
    html! {
        ul.cards {
            @for (symbol, rows, words, bad) in [
                ("▲", worse.len(), "worse", true),
                ("▼", better.len(), "better", false),
                ("=", same.len(), "the same", false),
                ("?", silent_rows, "not comparable", false),
            ] {
                li.bad[bad && rows > 0] { span.big { (symbol) " " (rows) } span { (words) } }
            }
        }
        @for note in &comparison.notes { p.hint { (note) } }
        @let moved: Vec<&Row> = worse.iter().chain(&better).copied().collect();
        @if !moved.is_empty() { (rows("Medians that changed", &moved)) }
        @if !same.is_empty() {
            details.table {
                summary { "Medians that stayed the same" }
                (rows("Medians that stayed the same", &same))
            }
        }
        @if !silent.is_empty() {
            details.table open[moved.is_empty() && same.is_empty()] {
                summary { "Not comparable, and why" }
                ul {
                    @for (why, rows) in &silent {
                        li { strong { (why) } ": " (names(rows)) }
                    }
                }
            }
        }
    }
}

/// Each pair once.
fn names(rows: &[&Row]) -> String {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        let name = format!("{} in {}", row.mechanism, row.context);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

fn rows(title: &str, rows: &[&Row]) -> Markup {
    let figure = |unit: Unit, value: Option<u64>| {
        value.map_or("–".to_owned(), |value| {
            format!("{} {}", cell(unit, value), short(unit))
        })
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label=(title) {
            table {
                caption { (title) }
                thead {
                    tr {
                        @for heading in ["pair", "stage", "base", "new", "change", "verdict"] {
                            th scope="col" { (heading) }
                        }
                    }
                }
                tbody {
                    @for row in rows {
                        tr class=(row.verdict.as_str()) {
                            th scope="row" { (row.mechanism) " in " (row.context) }
                            td { (row.stage.map_or("–", |stage| stage.as_str())) }
                            td { (figure(row.unit, row.base)) }
                            td { (figure(row.unit, row.new)) }
                            td { (row.change().map_or("–".to_owned(), |change| format!("{change:+.2} %"))) }
                            td { (symbol(&row.verdict)) " " (row.verdict.as_str()) }
                        }
                    }
                }
            }
        }
    }
}

const fn short(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instr.",
        Unit::Nanoseconds => cell_unit(unit),
    }
}

const fn symbol(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "▼",
        Verdict::Worse => "▲",
        Verdict::Same => "=",
        Verdict::NotComparable { .. } => "?",
    }
}
