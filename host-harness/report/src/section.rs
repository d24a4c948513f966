// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One pair: its percentiles, its run over time, its figures and its account,
//! for each document that has it.

use hdrhistogram::Histogram;
use irqbed_results::{
    result::{RunResult, StageStats},
    stages::Stage,
    units::thousands,
};
use maud::{Markup, PreEscaped, html};

use super::{
    Source, heat,
    overview::delivered,
    page::{document_key, line_key},
    percentiles::{self, Line},
    scale::{Log, cell, cell_unit, duration, ends, in_unit, spoken},
    stacked::way,
    svg::Role,
    table,
    view::{Pair, Run, Slices},
};

/// The stages of the way there; all others are of the way back.
const THERE: [Stage; 5] = [
    Stage::RaiseToIsr,
    Stage::IsrToNotify,
    Stage::NotifyToUser,
    Stage::IsrToUser,
    Stage::RaiseToUser,
];

pub(super) fn section(sources: &[Source], pair: &Pair<'_>, unfolded: bool) -> Markup {
    html! {
        details.pair id=(pair.id) open[unfolded] {
            summary {
                h4 { (pair.context) span.of { " " (pair.mechanism) } }
                (gist(pair))
            }
            @if pair.runs.len() > 1 { (side_by_side(sources, pair)) }
            @for run in &pair.runs {
                @if sources.len() > 1 {
                    h5 { (document_key(run.source)) (sources[run.source].name) }
                }
                (one(pair, run))
            }
        }
    }
}

/// What the folded line says: of several documents the medians alone.
fn gist(pair: &Pair<'_>) -> Markup {
    let whole = |result: &RunResult| way(result).and_then(|way| result.stages.get(&way).cloned());
    let invalid = pair
        .runs
        .iter()
        .flat_map(|run| &run.rounds)
        .any(|round| !round.problems().is_empty());
    html! {
        span.gist {
            @match &*pair.runs {
                [run] => @if let Some(stats) = whole(run.result) {
                    @for (name, value) in [("p50", stats.p50), ("p99", stats.p99), ("max", stats.max)] {
                        span { small { (name) " " } (spoken(stats.unit, value)) }
                    }
                },
                runs => @for run in runs {
                    @if let Some(stats) = whole(run.result) {
                        span { (document_key(run.source)) small { "p50 " } (spoken(stats.unit, stats.p50)) }
                    }
                },
            }
            @if invalid { strong.bad { "✗ not valid" } }
            @else if pair.runs.iter().any(|run| run.result.account.total_lost() > 0) { strong { "events lost" } }
        }
    }
}

/// The longest way that documents have in common, a line each.
fn side_by_side(sources: &[Source], pair: &Pair<'_>) -> Markup {
    let Some(first) = pair.runs.first().map(|run| run.result) else {
        return html! {};
    };
    let (unit, stage) = (first.clock.unit(), way(first));
    let alike = |run: &&Run<'_>| run.result.clock.unit() == unit && way(run.result) == stage;
    let lines: Vec<(usize, &Histogram<u64>)> = pair
        .runs
        .iter()
        .filter(alike)
        .filter_map(|run| Some((run.source, run.stages.get(&stage?)?)))
        .collect();
    let Some(stage) = stage else {
        return html! {};
    };
    let words: Vec<String> = lines
        .iter()
        .map(|(source, histogram)| {
            format!("{} {}", sources[*source].name, summary(first, histogram))
        })
        .collect();
    let words = format!("{stage} of {} by document: {}", pair.name, words.join("; "));
    let drawn: Vec<Line<'_>> = lines
        .iter()
        .map(|&(source, histogram)| Line {
            role: Role::document(source),
            histogram,
        })
        .collect();
    html! {
        @if lines.len() > 1 {
            div.plots {
                figure {
                    figcaption { strong { (stage) } ", document by document" (in_unit(unit)) }
                    (PreEscaped(percentiles::plot(unit, axis(&drawn), &drawn, &words)))
                    ul.legend {
                        @for (source, _) in &lines { li { (document_key(*source)) (sources[*source].name) } }
                    }
                }
            }
        }
        @if lines.len() < pair.runs.len() {
            p.hint { "Time and instructions cannot be drawn in one plot." }
        }
    }
}

/// A line of a plot in words.
fn summary(result: &RunResult, histogram: &Histogram<u64>) -> String {
    let unit = result.clock.unit();
    let at = |part| spoken(unit, histogram.value_at_quantile(part));
    format!(
        "median {}, 99 % within {}, at most {}",
        at(0.5),
        at(0.99),
        spoken(unit, histogram.max())
    )
}

fn one(pair: &Pair<'_>, run: &Run<'_>) -> Markup {
    let result = run.result;
    let back = |stage: &&Stage| !THERE.contains(stage);
    html! {
        p.conditions { (table::conditions(result)) "." }
        @for problem in result.problems() { p.problem { "✗ not valid: " (problem) } }
        @if result.stages.is_empty() { p.problem { "No event arrived at any stage." } }
        div.plots {
            (percentile_figure("Percentiles", pair, run, &THERE))
            @if run.stages.keys().any(|stage| back(&stage)) {
                @let stages: Vec<Stage> = run.stages.keys().filter(back).copied().collect();
                (percentile_figure("Percentiles of the way back", pair, run, &stages))
            }
            @if let Some(timeline) = &run.timeline { (heat_figure(pair, run, timeline)) }
        }
        (figures(result))
        @if let Some(timeline) = &run.timeline { (slices(result, timeline)) }
        @else if !result.stages.is_empty() { p.hint { "This result has no timeline: an older irqbed wrote it." } }
        (facts(run))
    }
}

fn percentile_figure(title: &str, pair: &Pair<'_>, run: &Run<'_>, stages: &[Stage]) -> Markup {
    let unit = run.result.clock.unit();
    let known = stages
        .iter()
        .filter_map(|stage| run.stages.get_key_value(stage));
    let known: Vec<(&Stage, &Histogram<u64>)> = known.collect();
    let words: Vec<String> = known
        .iter()
        .map(|(stage, histogram)| format!("{stage} {}", summary(run.result, histogram)))
        .collect();
    let words = format!("{title} of {}: {}", pair.name, words.join("; "));
    let lines: Vec<Line<'_>> = known
        .iter()
        .map(|&(&stage, histogram)| Line {
            role: Role::line(stage),
            histogram,
        })
        .collect();
    html! {
        @if !lines.is_empty() {
            figure {
                figcaption { strong { (title) } " of each stage" (in_unit(unit)) }
                (PreEscaped(percentiles::plot(unit, axis(&lines), &lines, &words)))
                ul.legend {
                    @for (stage, _) in &known {
                        li { (line_key(&format!("s{}", **stage as u8))) (stage) }
                    }
                }
            }
        }
    }
}

fn heat_figure(pair: &Pair<'_>, run: &Run<'_>, timeline: &Slices) -> Markup {
    let unit = run.result.clock.unit();
    let stage = timeline.stage;
    let words = format!(
        "Heat map of {stage} of {} over {} slices of {}",
        pair.name,
        timeline.slices.len(),
        timeline.slice
    );
    let heat = heat::plot(unit, timeline.slice, &timeline.slices, &words);
    let darkest = usize::from(Role::SHADES);
    let first = darkest - heat.shades.len();
    html! {
        figure {
            figcaption { strong { (stage) } " over the run" (in_unit(unit)) }
            (PreEscaped(heat.svg))
            ul.legend.shades {
                li { "events in a cell:" }
                @for (level, (from, to)) in heat.shades.iter().enumerate() {
                    li {
                        svg.key viewBox="0 0 40 40" aria-hidden="true" {
                            path class=(format!("h{}", first + level)) d="M0 0h40v40h-40z" {}
                        }
                        (thousands(*from))
                        @if to > from { "–" (thousands(*to)) }
                    }
                }
            }
        }
    }
}

/// From the least to the largest value of some lines.
fn axis(lines: &[Line<'_>]) -> Log {
    Log::of(lines.iter().flat_map(|line| ends(line.histogram)))
}

/// The figures of each stage.
fn figures(result: &RunResult) -> Markup {
    let unit = result.clock.unit();
    let value: [fn(&StageStats) -> u64; 6] = [
        |s| s.min,
        |s| s.p50,
        |s| s.p90,
        |s| s.p99,
        |s| s.p99_9,
        |s| s.max,
    ];
    html! {
        @if !result.stages.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Figures of each stage" {
                table {
                    caption { "Each stage, " (cell_unit(unit)) }
                    thead {
                        tr {
                            @for heading in ["stage", "count", "min", "p50", "p90", "p99", "p99.9", "max"] {
                                th scope="col" { (heading) }
                            }
                        }
                    }
                    tbody {
                        @for (stage, stats) in result.stages.iter() {
                            tr {
                                th scope="row" { (stage) }
                                td { (thousands(stats.count)) }
                                @for value in value { td { (cell(unit, value(stats))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// The heat map as figures.
fn slices(result: &RunResult, timeline: &Slices) -> Markup {
    let unit = result.clock.unit();
    let at = |place: usize| duration(timeline.slice.0.saturating_mul(place as u64) as f64);
    html! {
        details.table {
            summary { (timeline.stage) " over the run as a table" }
            div.scroll tabindex="0" role="region" aria-label="Figures of each slice of the run" {
                table {
                    caption { (timeline.stage) ", to 1 %, " (cell_unit(unit)) }
                    thead {
                        tr { @for heading in ["from", "events", "min", "p50", "max"] { th scope="col" { (heading) } } }
                    }
                    tbody {
                        @for (place, slice) in timeline.slices.iter().enumerate() {
                            tr {
                                th scope="row" { (at(place)) }
                                @match slice {
                                    Some(slice) => {
                                        td { (thousands(slice.len())) }
                                        @for value in [slice.min(), slice.value_at_quantile(0.5), slice.max()] {
                                            td { (cell(unit, value)) }
                                        }
                                    }
                                    None => { td { "0" } td { "–" } td { "–" } td { "–" } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Clock, account and notes of the round that is shown, and of each other one
/// its account.
fn facts(run: &Run<'_>) -> Markup {
    let rounds = run.rounds.len();
    html! {
        dl.facts {
            @for (label, words) in table::facts(run.result) { dt { (label) } dd { (words) } }
            @if rounds > 1 {
                dt { "rounds" }
                dd {
                    (rounds) ", shown is the one in the middle by its median"
                    ol {
                        @for round in &run.rounds {
                            li {
                                @if let Some(stats) = way(round).and_then(|way| round.stages.get(&way)) {
                                    "p50 " (spoken(stats.unit, stats.p50)) ", "
                                }
                                "delivered " (delivered(&round.account))
                                @for problem in round.problems() { "; not valid: " (problem) }
                            }
                        }
                    }
                }
            }
        }
    }
}
