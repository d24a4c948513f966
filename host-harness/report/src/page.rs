// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The page: its head, what it says first, and the order of the rest.

use irqbed_results::{result::RunResult, units::thousands};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    Source, changes, overview, scale::spoken, section, side_by_side, stacked::way, table,
    view::Pair,
};

const STYLE: &str = include_str!("style.css");
/// Pairs that are shown unfolded: a reader came for them.
const UNFOLDED: usize = 2;

pub(super) fn page(sources: &[Source], pairs: &[Pair<'_>]) -> String {
    let title = title(pairs);
    // Several documents have each pair side by side.
    let side_by_side = match sources {
        [_] => side_by_side::section(pairs),
        _ => None,
    };
    let body = html! {
        header {
            p.brand { "irqbed" span { " interrupt to process, stage by stage" } }
            h1 { (title) }
            p.lead { (lead(sources, pairs)) }
            (cards(sources, pairs))
            nav aria-label="Parts of this page" {
                @if sources.len() > 1 { a href="#changes" { "Changes" } }
                a href="#overview" { "Overview" }
                @if side_by_side.is_some() { a href="#mechanisms" { "Side by side" } }
                a href="#pairs" { "Distributions" }
                a href="#environment" { "Environment" }
                a href="#reading" { "How to read" }
            }
        }
        main #main {
            (problems(sources, pairs))
            @if sources.len() > 1 { (changes::section(sources)) }
            (overview::section(sources, pairs))
            @if let Some(plots) = &side_by_side { (plots) }
            (distributions(sources, pairs))
            (environment(sources))
            (reading())
        }
    };
    frame(&title, &body)
}

/// A whole page: what is around every body.
pub(super) fn frame(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // Whatever a name in a result may hold: nothing is loaded.
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:";
                link rel="icon" href="data:,";
                title { (title) " – irqbed" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "To the results" }
                (body)
                footer { p { "Made by irqbed " (env!("CARGO_PKG_VERSION")) "." } }
            }
        }
    };
    page.into_string()
}

/// What the page is about, in a line.
fn title(pairs: &[Pair<'_>]) -> String {
    match pairs {
        [pair] => pair.name.clone(),
        pairs => format!("{} ways from an interrupt to a process", pairs.len()),
    }
}

fn lead(sources: &[Source], pairs: &[Pair<'_>]) -> Markup {
    let first = pairs.iter().flat_map(|pair| &pair.runs).next();
    html! {
        @match (sources, first) {
            ([source], Some(run)) => {
                (table::conditions(run.result))
                @if pairs.len() > 1 { " each" }
                "; Linux " (source.document.environment.guest_kernel)
                " in QEMU " (version(&source.document.environment.qemu))
                ", " span.nowrap { (source.document.environment.date.get(..10).unwrap_or_default()) } "."
            }
            _ => {
                @for (place, source) in sources.iter().enumerate() {
                    @if place > 0 { " " }
                    span.nobreak { (document_key(place)) (source.name) }
                }
            }
        }
    }
}

/// The number of a version that may say more.
fn version(words: &str) -> &str {
    words.split(' ').next().unwrap_or(words)
}

/// The mark by which a document is known in plots and headings.
pub(super) fn document_key(place: usize) -> Markup {
    html! {
        span.docno { (place + 1) }
        (line_key(&format!("d{place}")))
    }
}

/// A piece of a line as it is drawn.
pub(super) fn line_key(class: &str) -> Markup {
    html! {
        svg.key viewBox="0 0 128 40" aria-hidden="true" {
            path class=(format!("ln {class}")) d="M4 20H124" {}
        }
    }
}

/// A few figures that one can take in at a glance.
fn cards(sources: &[Source], pairs: &[Pair<'_>]) -> Markup {
    let results = || {
        pairs
            .iter()
            .flat_map(|pair| &pair.runs)
            .flat_map(|run| &run.rounds)
    };
    let raised = results().fold(0_u64, |sum, result| {
        sum.saturating_add(result.account.raised)
    });
    let lost = results().fold(0_u64, |sum, result| {
        sum.saturating_add(result.account.total_lost())
    });
    let invalid = results()
        .filter(|result| !result.problems().is_empty())
        .count();
    html! {
        ul.cards {
            @match (sources, pairs) {
                ([_], [pair]) => @if let Some(run) = pair.runs.last() { (of_a_run(run.result)) },
                ([_], pairs) => (extremes(pairs)),
                _ => li { span.big { (sources.len()) } span { "documents, " (pairs.len()) " pairs" } }
            }
            li {
                span.big { (thousands(raised)) }
                span { "events raised, " @if lost == 0 { "none lost" } @else { strong { (thousands(lost)) " lost" } } }
            }
            li.bad[invalid > 0] {
                span.big { @if invalid == 0 { "✓ valid" } @else { "✗ " (invalid) } }
                span { @if invalid == 0 { "clocks and accounts" } @else { "of the runs are not valid" } }
            }
        }
    }
}

fn of_a_run(result: &RunResult) -> Markup {
    let stats = way(result).and_then(|way| Some((way, result.stages.get(&way)?)));
    html! {
        @if let Some((way, stats)) = stats {
            @for (name, value) in [("median", stats.p50), ("99 % within", stats.p99)] {
                li { span.big { (spoken(stats.unit, value)) } span { (name) ", " (way) } }
            }
        }
    }
}

/// The pairs with the least and the largest median.
fn extremes(pairs: &[Pair<'_>]) -> Markup {
    let median = |pair: &Pair<'_>| {
        let result = pair.runs.last()?.result;
        let stats = result.stages.get(&way(result)?)?;
        Some((stats.unit, stats.p50))
    };
    let known = || pairs.iter().filter_map(|pair| Some((pair, median(pair)?)));
    // Time and instructions have no order.
    let first = known().next().map(|(_, (unit, _))| unit);
    let alike = || known().filter(|(_, (unit, _))| Some(*unit) == first);
    let least = alike().min_by_key(|(_, (_, value))| *value);
    let most = alike().max_by_key(|(_, (_, value))| *value);
    html! {
        @for (words, found) in [("least median", least), ("largest median", most)] {
            @if let Some((pair, (unit, value))) = found {
                li {
                    span.big { (spoken(unit, value)) }
                    span { (words) ": " a href=(format!("#{}", pair.id)) { (pair.name) } }
                }
            }
        }
    }
}

/// What must not be overlooked, before everything else.
fn problems(sources: &[Source], pairs: &[Pair<'_>]) -> Markup {
    let of = |pair: &Pair<'_>| {
        let runs = pair.runs.iter();
        let rounds = runs.flat_map(|run| run.rounds.iter().map(move |round| (run.source, round)));
        rounds
            .flat_map(|(source, round)| {
                let name = &sources[source].name;
                let problems = round.problems().into_iter();
                problems.map(move |problem| format!("{name}: {problem}"))
            })
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = pairs.iter().map(|pair| (pair, of(pair))).collect();
    html! {
        @if all.iter().any(|(_, problems)| !problems.is_empty()) {
            section.problems aria-labelledby="problems" {
                h2 #problems { "✗ These figures must not be believed" }
                ul {
                    @for (pair, problems) in &all {
                        @for problem in problems {
                            li { a href=(format!("#{}", pair.id)) { (pair.name) } ": " (problem) }
                        }
                    }
                }
            }
        }
    }
}

fn distributions(sources: &[Source], pairs: &[Pair<'_>]) -> Markup {
    let unfolded = pairs.len() <= UNFOLDED;
    html! {
        section #pairs aria-labelledby="pairs-title" {
            h2 #pairs-title { "Distributions" }
            @if !unfolded { p.hint { "Unfold a pair for its percentiles, its run over time, and its account." } }
            @for (place, pair) in pairs.iter().enumerate() {
                @if place == 0 || pairs[place - 1].mechanism != pair.mechanism {
                    h3 { (pair.mechanism) }
                }
                (section::section(sources, pair, unfolded))
            }
        }
    }
}

fn environment(sources: &[Source]) -> Markup {
    html! {
        section #environment aria-labelledby="environment-title" {
            h2 #environment-title { "Environment" }
            div.columns {
                @for (place, source) in sources.iter().enumerate() {
                    div {
                        h3 { @if sources.len() > 1 { (document_key(place)) } (source.name) }
                        dl {
                            @for (label, words) in source.document.environment.parts() {
                                dt { (label) } dd { (words) }
                            }
                            dt { "command" }
                            dd { code { (source.document.environment.command_line.join(" ")) } }
                        }
                    }
                }
            }
        }
    }
}

fn reading() -> Markup {
    html! {
        section #reading aria-labelledby="reading-title" {
            h2 #reading-title { "How to read this" }
            dl.reading {
                dt { "Stages" }
                dd {
                    code { "raise_to_isr" } " ends at the first line of the interrupt handler, "
                    code { "isr_to_notify" } " where the driver tells, " code { "notify_to_user" }
                    " in the process. " code { "isr_to_user" } " and " code { "raise_to_user" }
                    " are sums, taken event by event."
                }
                dt { "Percentile plot" }
                dd {
                    "How long the slowest events took: at 99 the height that 99 % of the events do "
                    "not exceed, and each further step to the right is a tenth of those that are left. "
                    "A flat line is a path that is always the same."
                }
                dt { "Over the run" }
                dd {
                    "Each column is a slice of the run, each cell the events of that slice that took as "
                    "long as its height says; the darker (in the dark: the lighter), the more. Empty slices "
                    "had no event."
                }
                dt { "Medians do not add up" }
                dd {
                    "The bars stack the medians of the stages; the line across is the median of the whole "
                    "way, which is another event's. So the two lie a little apart."
                }
                dt { "Account" }
                dd { "Each event that was raised was delivered or is named with the place where it was lost. A run with an unexplained rest is not valid." }
            }
        }
    }
}
