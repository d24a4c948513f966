// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Pairs side by side: small plots to one scale, a line for each context of a
//! mechanism, or for each mechanism where there is one context.

use irqbed_results::units::Unit;
use maud::{Markup, PreEscaped, html};

use super::{
    page::line_key,
    percentiles::{self, Line},
    scale::{Log, ends, in_unit, spoken},
    stacked::way,
    svg::Role,
    view::{Pair, Run},
};

/// A plot: what its lines have in common, and each with its name.
type Group<'a, 'b> = (String, Vec<(&'b str, &'b Run<'a>)>);

/// The plots; `None` where no plot would have two lines.
pub(super) fn section(pairs: &[Pair<'_>]) -> Option<Markup> {
    let unit = first_unit(pairs);
    let groups = groups(pairs, unit);
    if groups.iter().all(|(_, lines)| lines.len() < 2) {
        return None;
    }
    let values = groups
        .iter()
        .flat_map(|(_, lines)| lines)
        .flat_map(|(_, run)| {
            let histogram = way(run.result).and_then(|way| run.stages.get(&way));
            histogram.map(ends)
        });
    let axis = Log::of(values.flatten());
    Some(html! {
        section #mechanisms aria-labelledby="mechanisms-title" {
            h2 #mechanisms-title { "Side by side" }
            p.hint {
                "Percentiles of the whole way to the process" (in_unit(unit)) ", all to one scale. "
                "The figures stand in the table above."
            }
            div.plots.small {
                @for (title, lines) in &groups { (figure(unit, axis, title, lines)) }
            }
        }
    })
}

fn first_unit(pairs: &[Pair<'_>]) -> Unit {
    let mut runs = pairs.iter().flat_map(|pair| &pair.runs);
    runs.next()
        .map_or(Unit::Nanoseconds, |run| run.result.clock.unit())
}

fn groups<'a, 'b>(pairs: &'b [Pair<'a>], unit: Unit) -> Vec<Group<'a, 'b>> {
    let by = |title: fn(&Pair<'_>) -> String, name: fn(&'b Pair<'a>) -> &'b str| {
        let mut groups: Vec<Group<'a, 'b>> = Vec::new();
        for pair in pairs {
            let alike =
                |run: &&Run<'_>| run.result.clock.unit() == unit && way(run.result).is_some();
            let Some(run) = pair.runs.iter().find(alike) else {
                continue;
            };
            let line = (name(pair), run);
            let title = title(pair);
            // A plot cannot tell apart any number of lines.
            let place = groups.iter_mut().rev().find(|(other, _)| *other == title);
            match place {
                Some((_, lines)) if lines.len() < Role::DOCUMENTS => lines.push(line),
                _ => groups.push((title, vec![line])),
            }
        }
        groups
    };
    let by_mechanism = by(|pair| pair.mechanism.to_owned(), |pair| &pair.context);
    if by_mechanism.iter().any(|(_, lines)| lines.len() > 1) {
        by_mechanism
    } else {
        by(
            |pair| format!("from {}", pair.context),
            |pair| pair.mechanism,
        )
    }
}

fn figure(unit: Unit, axis: Log, title: &str, lines: &[(&str, &Run<'_>)]) -> Markup {
    let known = lines.iter().enumerate().filter_map(|(place, (name, run))| {
        let histogram = run.stages.get(&way(run.result)?)?;
        Some((place, *name, histogram))
    });
    let known: Vec<_> = known.collect();
    let words: Vec<String> = known
        .iter()
        .map(|(_, name, histogram)| {
            let at = |part| spoken(unit, histogram.value_at_quantile(part));
            format!("{name} median {}, 99 % within {}", at(0.5), at(0.99))
        })
        .collect();
    let words = format!("Percentiles, {title}: {}", words.join("; "));
    let drawn: Vec<Line<'_>> = known
        .iter()
        .map(|&(place, _, histogram)| Line {
            role: Role::document(place),
            histogram,
        })
        .collect();
    html! {
        figure {
            figcaption { strong { (title) } }
            (PreEscaped(percentiles::plot(unit, axis, &drawn, &words)))
            ul.legend {
                @for (place, name, _) in &known {
                    li { (line_key(&format!("d{place}"))) (name) }
                }
            }
        }
    }
}
