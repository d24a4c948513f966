// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every pair at a glance: its median by stage, a plot for each context, all to
//! one scale.

use irqbed_results::{
    account::Account,
    result::StageStats,
    stages::Stage,
    units::{Unit, thousands},
};
use maud::{Markup, PreEscaped, html};

use super::{
    Source,
    page::document_key,
    scale::{cell, cell_unit, spoken},
    stacked::{self, Bar, LEGS, way},
    view::{Pair, Run},
};

/// Figures of the whole way.
const SHOWN: [fn(&StageStats) -> u64; 4] = [|s| s.p50, |s| s.p90, |s| s.p99, |s| s.max];

/// A pair in one document.
type Shown<'a, 'b> = (&'b Pair<'a>, &'b Run<'a>);

pub(super) fn section(sources: &[Source], pairs: &[Pair<'_>]) -> Markup {
    html! {
        section #overview aria-labelledby="overview-title" {
            h2 #overview-title { "Where the time goes" }
            div.columns[sources.len() > 1] {
            @for (place, source) in sources.iter().enumerate() {
                div {
                @let runs = pairs.iter().flat_map(|pair| pair.runs.iter().map(move |run| (pair, run)));
                @let shown: Vec<Shown> = runs.filter(|(_, run)| run.source == place).collect();
                @if sources.len() > 1 { h3 { (document_key(place)) (source.name) } }
                @for unit in [Unit::Nanoseconds, Unit::Instructions] {
                    @let of_unit: Vec<Shown> = shown
                        .iter()
                        .copied()
                        .filter(|(_, run)| run.result.clock.unit() == unit)
                        .collect();
                    @if !of_unit.is_empty() { (figures(unit, &of_unit, longest(pairs, unit))) }
                }
                }
            }
            }
        }
    }
}

/// The longest bar of all documents: they are drawn to one scale.
fn longest(pairs: &[Pair<'_>], unit: Unit) -> u64 {
    let runs = pairs.iter().flat_map(|pair| &pair.runs);
    let alike = runs.filter(|run| run.result.clock.unit() == unit);
    let bars = alike.filter_map(|run| Bar::of(run.result));
    bars.map(|bar| bar.length()).max().unwrap_or(0)
}

fn figures(unit: Unit, shown: &[Shown<'_, '_>], longest: u64) -> Markup {
    let mut contexts: Vec<&str> = Vec::new();
    for (pair, _) in shown {
        if !contexts.contains(&&*pair.context) {
            contexts.push(&pair.context);
        }
    }
    let bars = |context: &str| -> Vec<Bar<'_>> {
        let here = shown.iter().filter(|(pair, _)| pair.context == context);
        here.filter_map(|(_, run)| Bar::of(run.result)).collect()
    };
    let mut drawn: Vec<Stage> = Vec::new();
    for (stage, _) in contexts
        .iter()
        .flat_map(|context| bars(context))
        .flat_map(|bar| bar.parts)
    {
        if !drawn.contains(&stage) {
            drawn.push(stage);
        }
    }
    drawn.sort_unstable();
    html! {
        (key(&drawn))
        div.plots {
            @for context in &contexts {
                @let bars = bars(context);
                @if !bars.is_empty() {
                    figure {
                        figcaption { "from " strong { (context) } }
                        (PreEscaped(stacked::plot(unit, &bars, longest, &words(context, unit, &bars))))
                    }
                }
            }
        }
        details.table {
            summary { "These figures as a table" }
            (table(unit, shown))
        }
    }
}

fn key(stages: &[Stage]) -> Markup {
    html! {
        ul.legend {
            @for &stage in stages {
                li {
                    svg.key viewBox="0 0 128 40" aria-hidden="true" {
                        path class=(format!("bar s{}", stage as u8)) d="M0 4h128v32h-128z" {}
                    }
                    (stage)
                    @if !LEGS.contains(&stage) { " (not known by stage)" }
                }
            }
            li {
                svg.key viewBox="0 0 128 40" aria-hidden="true" { path class="median" d="M64 0v40" {} }
                "median of the whole way"
            }
        }
    }
}

/// A plot in words.
fn words(context: &str, unit: Unit, bars: &[Bar<'_>]) -> String {
    let each: Vec<String> = bars
        .iter()
        .map(|bar| format!("{} {}", bar.name, spoken(unit, bar.median)))
        .collect();
    format!("Medians from {context}: {}", each.join(", "))
}

fn table(unit: Unit, shown: &[Shown<'_, '_>]) -> Markup {
    let unit_name = cell_unit(unit);
    let legs = LEGS
        .iter()
        .filter(|stage| !(stage.needs_wall() && unit == Unit::Instructions));
    html! {
        div.scroll tabindex="0" role="region" aria-label="Medians of every pair" {
            table {
                caption { "Medians by stage, and percentiles of the whole way, " (unit_name) }
                thead {
                    tr {
                        th scope="col" { "pair" }
                        @for stage in legs.clone() { th scope="col" { (stage) } }
                        @for heading in ["p50", "p90", "p99", "max", "delivered"] { th scope="col" { (heading) } }
                    }
                }
                tbody {
                    @for (pair, run) in shown {
                        @let stages = &run.result.stages;
                        tr {
                            th scope="row" { a href=(format!("#{}", pair.id)) { (pair.name) } }
                            @for stage in legs.clone() {
                                td { (stages.get(stage).map_or("–".to_owned(), |stats| cell(unit, stats.p50))) }
                            }
                            @let whole = way(run.result).and_then(|way| stages.get(&way));
                            @for value in SHOWN {
                                td { (whole.map_or("–".to_owned(), |stats| cell(unit, value(stats)))) }
                            }
                            td { (delivered(&run.result.account)) }
                        }
                    }
                }
            }
        }
    }
}

/// In a few words.
pub(super) fn delivered(account: &Account) -> String {
    if account.delivered == account.raised {
        format!("all {}", thousands(account.delivered))
    } else {
        format!(
            "{} of {}",
            thousands(account.delivered),
            thousands(account.raised)
        )
    }
}
