// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several results as one table: a line each, what did not go well below it.

use std::{collections::BTreeSet, fmt::Write};

use irqbed_results::{
    account::Account,
    result::{Clock, RunResult},
    stages::Stage,
    units::thousands,
};

use super::{EVENTS, REPLIES, account, clock, conditions, figures, paragraph, replies};

/// Which of the figures of a stage are shown, and under what heading.
pub(super) const SHOWN: [(usize, &str); 5] =
    [(1, "min"), (2, "p50"), (3, "p90"), (4, "p99"), (6, "max")];

/// Writes the table, at most 100 columns wide.
pub(super) fn write(text: &mut String, results: &[&RunResult]) {
    let Some(first) = results.first() else {
        return;
    };
    // What all have in common, said once.
    let what = conditions(first);
    let saturated = results.iter().any(|result| result.saturation.is_some());
    if saturated {
        let payload = thousands(first.parameters.payload_bytes.into());
        let words = format!(
            "{} pairs, the highest rate without a loss: events of {payload} bytes",
            results.len()
        );
        paragraph(text, "", &words);
    } else {
        paragraph(text, "", &format!("{} pairs, {what} each", results.len()));
    }
    text.push('\n');
    if results.iter().any(|result| result.replies.is_some()) {
        replies::write(text, results, first.clock.unit());
    } else {
        forward(text, results, first, saturated);
    }
    paragraph(text, "clock: ", &clock(&first.clock));
    for result in results {
        let label = format!("{}: ", result.name());
        if result.account.delivered != result.account.raised {
            paragraph(text, &label, &account(EVENTS, &result.account));
        }
        for fault in &result.faults {
            paragraph(text, &label, &fault.to_string());
        }
        match &result.replies {
            Some(replies) if replies.account.delivered != replies.account.raised => {
                paragraph(text, &label, &account(REPLIES, &replies.account));
            }
            _ => {}
        }
        for problem in result.problems() {
            paragraph(text, &format!("INVALID: {label}"), &problem);
        }
    }
    paragraph(text, "account: ", &account(EVENTS, &total(results)));
    let notes: BTreeSet<&String> = results.iter().flat_map(|result| &result.notes).collect();
    for note in notes {
        paragraph(text, "note: ", note);
    }
}

/// The way from the handler to the process.
fn forward(text: &mut String, results: &[&RunResult], first: &RunResult, saturated: bool) {
    let compared = compared(results);
    let unit = match first.clock {
        Clock::Wall { .. } => "µs",
        Clock::Instructions {} => "instr.",
    };
    // Writing to a string cannot fail.
    let _ = write!(text, "{:29}", format!("{compared}, {unit}"));
    for (_, heading) in SHOWN {
        let _ = write!(text, "{heading:>10}");
    }
    let last = if saturated { "events/s" } else { "delivered" };
    let _ = writeln!(text, "{:>9}  {last}", "wake-ups");
    let largest = results
        .iter()
        .filter_map(|result| result.stages.get(&compared))
        .map(|stats| stats.max)
        .max();
    for result in results {
        let _ = write!(
            text,
            "{:20}{:9}",
            result.mechanism,
            result.context_in_short()
        );
        let stats = result.stages.get(&compared);
        let cells = stats.map(|stats| figures(stats, largest.unwrap_or(0)));
        for (column, _) in SHOWN {
            let cell = cells.as_ref().map_or("-", |cells| &cells[column]);
            let _ = write!(text, "{cell:>10}");
        }
        let wake_ups = result.listeners.first().map_or(0, |first| first.wake_ups);
        let _ = write!(text, "{:>9}  ", thousands(wake_ups));
        let _ = match &result.saturation {
            Some(saturation) => writeln!(text, "{}", thousands(saturation.lossless_hz as u64)),
            None => writeln!(text, "{}", delivered(&result.account)),
        };
    }
}

/// In a cell.
fn delivered(account: &Account) -> String {
    if account.delivered == account.raised {
        format!("all {}", thousands(account.delivered))
    } else {
        let missing = account.raised.saturating_sub(account.delivered);
        format!("{} lost", thousands(missing))
    }
}

/// The accounts of all results as one.
fn total(results: &[&RunResult]) -> Account {
    let mut total = Account::default();
    for Account {
        raised,
        delivered,
        lost,
    } in results.iter().map(|result| &result.account)
    {
        total.raised = total.raised.saturating_add(*raised);
        total.delivered = total.delivered.saturating_add(*delivered);
        for (name, count) in lost {
            let known = total.lost.entry(name.clone()).or_default();
            *known = known.saturating_add(*count);
        }
    }
    total
}

/// The stage that can be compared: from the interrupt on, unless there is a
/// result that knows only the way as a whole.
fn compared(results: &[&RunResult]) -> Stage {
    let only_whole = |result: &&RunResult| {
        let knows = |stage| result.stages.get(&stage).is_some();
        knows(Stage::RaiseToUser) && !knows(Stage::IsrToUser)
    };
    if results.iter().any(only_whole) {
        Stage::RaiseToUser
    } else {
        Stage::IsrToUser
    }
}
