// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The document as a person reads it on a terminal: per run one line that
//! says what was measured, one row per stage, the clock, and the account.

mod comparison;
mod replies;

use std::fmt::Write;

use irqbed_results::{
    account::Account,
    mechanism::InterruptType,
    result::{Clock, Delivery, Document, Listener, Lossy, RunResult, Saturation, StageStats},
    stages::Stage,
    units::{Unit, thousands},
};

use crate::terminal;

/// Columns of a terminal.
const WIDTH: usize = 80;
/// Least width of the stages' names.
const STAGE_WIDTH: usize = 14;
/// Least width of a column of figures; two more than its longest figure.
const COLUMN_WIDTH: usize = 8;
const HEADINGS: [&str; 7] = ["count", "min", "p50", "p90", "p99", "p99.9", "max"];

/// The document as text, at most 80 columns wide as long as values stay below
/// ten seconds or ten million instructions, and 100 where several runs are
/// compared; ends in a line feed.
#[must_use]
pub fn render(document: &Document) -> String {
    let mut text = String::new();
    let rounds = document.rounds();
    let shown: Vec<&RunResult> = rounds.iter().filter_map(|rounds| middle(rounds)).collect();
    match &*shown {
        [result] => run(&mut text, result),
        _ => comparison::write(&mut text, &shown),
    }
    let most = rounds.iter().map(Vec::len).max().unwrap_or(0);
    if most > 1 {
        let words = format!("{most} of each; shown is the one in the middle, by its median");
        paragraph(&mut text, "rounds: ", &words);
    }
    text.push('\n');
    for (label, words) in document.environment.parts() {
        paragraph(&mut text, &format!("{label}: "), &words);
    }
    text
}

/// The round whose median of the way to the process is the median of all.
pub(crate) fn middle<'a>(rounds: &[&'a RunResult]) -> Option<&'a RunResult> {
    let key = |result: &&RunResult| {
        let stages = &result.stages;
        let way = stages
            .get(&Stage::IsrToUser)
            .or_else(|| stages.get(&Stage::RaiseToUser));
        way.map(|stats| stats.p50)
    };
    let mut sorted = rounds.to_vec();
    sorted.sort_by_key(key);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

fn run(text: &mut String, result: &RunResult) {
    paragraph(text, "", &heading(result));
    text.push('\n');
    stages(text, result);
    for (label, words) in facts(result) {
        paragraph(text, &format!("{label}: "), &words);
    }
    for problem in result.problems() {
        paragraph(text, "INVALID: ", &problem);
    }
    if let Some(plot) = terminal::plot(result) {
        text.push('\n');
        text.push_str(&plot);
    }
}

/// What there is to say of a run beside its figures, each under a label; what
/// is wrong with it is for [`RunResult::problems`] to say.
pub(crate) fn facts(result: &RunResult) -> Vec<(String, String)> {
    let mut facts = Vec::new();
    let mut fact = |label: &str, words: String| facts.push((label.to_owned(), words));
    fact("clock", clock(&result.clock));
    if let Some(placement) = &result.parameters.pin {
        fact("pinned", placement.to_string());
    }
    fact("account", account(EVENTS, &result.account));
    for fault in &result.faults {
        fact("fault", fault.to_string());
    }
    if let Some(replies) = &result.replies {
        fact("replies", account(REPLIES, &replies.account));
    }
    let mut listeners = result.listeners.iter();
    if let Some(listener) = listeners.next().filter(|one| one.wake_ups != one.received) {
        fact("wake-ups", wake_ups(listener));
    }
    for (number, listener) in result.listeners.iter().enumerate() {
        if listener.signal_overflows > 0 {
            fact(
                "signals",
                signal_overflows(number, listener.signal_overflows),
            );
        }
    }
    if let Some(saturation) = &result.saturation {
        fact("lossless", lossless(saturation));
    }
    for (number, listener) in result.listeners.iter().enumerate() {
        if let Some(own) = &listener.account {
            fact(&format!("listener {number}"), account(EVENTS, own));
        }
    }
    for (stage, stats) in result.stages.iter().filter(|(_, stats)| stats.clamped > 0) {
        let clamped = thousands(stats.clamped);
        fact(
            "note",
            format!("{clamped} of {stage} were negative and count as 0"),
        );
    }
    for note in &result.notes {
        fact("note", note.clone());
    }
    facts
}

fn signal_overflows(listener: usize, count: u64) -> String {
    let times = if count == 1 { "time" } else { "times" };
    format!(
        "the queue of real-time signals of listener {listener} overflowed {} {times}; no event \
         is lost by it",
        thousands(count)
    )
}

/// Mechanism, context, and the rest.
fn heading(result: &RunResult) -> String {
    format!("{}, {}", result.name(), conditions(result))
}

/// Clock, type of interrupt, events, duration.
pub(crate) fn conditions(result: &RunResult) -> String {
    let parameters = &result.parameters;
    let clock = match result.clock {
        Clock::Wall { .. } => "wall clock",
        Clock::Instructions {} => "instructions",
    };
    let irq = match parameters.irq {
        InterruptType::Msix => String::new(),
        irq => format!(", {}", irq.title()),
    };
    let plural = if parameters.events == 1 { "" } else { "s" };
    let rate = match (parameters.rate_hz, parameters.poisson_seed) {
        (Some(rate), None) => format!("at {}/s", number(rate)),
        (Some(rate), Some(_)) => format!("at random {}/s", number(rate)),
        (None, _) => format!("at up to {}/s", number(achieved_rate(result))),
    };
    let together = match (parameters.burst, parameters.batch) {
        (1, 1) => String::new(),
        (burst, 1) => format!(", {burst} at once"),
        (1, batch) => format!(", up to {batch} in a message"),
        (burst, batch) => format!(", {burst} at once, up to {batch} in a message"),
    };
    let vectors = match parameters.vectors {
        1 => String::new(),
        vectors => format!(", {vectors} vectors"),
    };
    let listeners = match (result.listeners.len(), parameters.delivery) {
        (0 | 1, _) => String::new(),
        (listeners, Delivery::Unicast) => format!(", unicast to {listeners} listeners"),
        (listeners, Delivery::Broadcast) => format!(", broadcast to {listeners} listeners"),
    };
    let vcpus = match parameters.vcpus {
        1 => String::new(),
        vcpus => format!(", {vcpus} vCPUs"),
    };
    let scheduling = match parameters.scheduling.fifo {
        Some(priority) => format!(", SCHED_FIFO {priority}"),
        None => String::new(),
    } + &match parameters.scheduling.cpu {
        Some(cpu) => format!(" on CPU {cpu}"),
        None => String::new(),
    };
    let load = match parameters.load {
        Some(load) => format!(", under load ({})", load.as_str()),
        None => String::new(),
    };
    format!(
        "{clock}{irq}: {} event{plural} of {} bytes {rate} in \
         {}{together}{vectors}{listeners}{vcpus}{scheduling}{load}",
        thousands(parameters.events),
        thousands(parameters.payload_bytes.into()),
        result.duration_ns,
    )
}

fn wake_ups(listener: &Listener) -> String {
    format!(
        "{} for {} events",
        thousands(listener.wake_ups),
        thousands(listener.received)
    )
}

/// Up to which rate nothing is lost, and what is above.
fn lossless(saturation: &Saturation) -> String {
    let up_to = format!(
        "up to {} events/s, in trials of {}",
        number(saturation.lossless_hz),
        saturation.trial_ns
    );
    match &saturation.lossy {
        Some(Lossy { hz, account: lossy }) => {
            format!("{up_to}; at {}/s: {}", number(*hz), account(EVENTS, lossy))
        }
        None => format!("{up_to}; the harness raises no more"),
    }
}

/// Events a second over the whole run.
fn achieved_rate(result: &RunResult) -> f64 {
    let seconds = result.duration_ns.0 as f64 / 1e9;
    if seconds > 0.0 {
        (result.parameters.events as f64 / seconds).round()
    } else {
        0.0
    }
}

fn number(value: f64) -> String {
    if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
        thousands(value as u64)
    } else {
        value.to_string()
    }
}

fn stages(text: &mut String, result: &RunResult) {
    let unit = result.clock.unit();
    let title = match unit {
        Unit::Nanoseconds => "stage, µs",
        Unit::Instructions => "stage, instr.",
    };
    let largest = result
        .stages
        .values()
        .map(|stats| stats.max)
        .max()
        .unwrap_or(0);
    let rows: Vec<(&Stage, [String; 7])> = result
        .stages
        .iter()
        .map(|(stage, stats)| (stage, figures(stats, largest)))
        .collect();
    let widths: [usize; 7] = std::array::from_fn(|column| {
        let longest = rows
            .iter()
            .map(|(_, row)| row[column].len())
            .max()
            .unwrap_or(0);
        COLUMN_WIDTH.max(longest + 2)
    });
    let longest = rows.iter().map(|(stage, _)| stage.as_str().len()).max();
    let name_width = STAGE_WIDTH.max(longest.unwrap_or(0));
    let mut row = |name: &str, cells: [&str; 7]| {
        let mut line = format!("{name:name_width$}");
        for (cell, width) in cells.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:>width$}");
        }
        text.push_str(&line);
        text.push('\n');
    };
    row(title, HEADINGS);
    for (stage, cells) in &rows {
        row(stage.as_str(), cells.each_ref().map(String::as_str));
    }
    if rows.is_empty() {
        text.push_str("no event arrived at any stage\n");
    }
}

/// The cells of a row. All rows have the same number of decimals, as many as
/// the largest value of the table leaves room for.
fn figures(stats: &StageStats, largest: u64) -> [String; 7] {
    let value = |value: u64| match stats.unit {
        Unit::Instructions => thousands(value),
        Unit::Nanoseconds => {
            let decimals = match largest {
                0..10_000_000 => 2,
                10_000_000..100_000_000 => 1,
                _ => 0,
            };
            format!("{:.decimals$}", value as f64 / 1e3)
        }
    };
    [
        thousands(stats.count),
        value(stats.min),
        value(stats.p50),
        value(stats.p90),
        value(stats.p99),
        value(stats.p99_9),
        value(stats.max),
    ]
}

fn clock(clock: &Clock) -> String {
    match clock {
        Clock::Wall {
            error_bound_ns,
            drift_ns,
            claim_ns,
            ..
        } => format!(
            "error bound {error_bound_ns}, drift {drift_ns} (each at most {claim_ns} in a valid \
             result)"
        ),
        Clock::Instructions {} => {
            "executed guest instructions, exact; the way from the host is not counted".to_owned()
        }
    }
}

/// What an account of events calls the two sides that must be equal.
const EVENTS: [&str; 2] = ["raised", "delivered"];
/// What an account of replies calls them.
const REPLIES: [&str; 2] = ["made", "seen by the device"];

fn account([raised, delivered]: [&str; 2], account: &Account) -> String {
    let mut text = format!(
        "{raised} {} = {delivered} {} + lost {}",
        thousands(account.raised),
        thousands(account.delivered),
        thousands(account.total_lost())
    );
    if !account.lost.is_empty() {
        let named: Vec<String> = account
            .lost
            .iter()
            .map(|(name, &count)| format!("{name} {}", thousands(count)))
            .collect();
        let _ = write!(text, " ({})", named.join(", "));
    }
    match account.unexplained() {
        0 => {}
        left => {
            let sign = if left < 0 { '-' } else { '+' };
            let _ = write!(
                text,
                " {sign} unexplained {}",
                thousands(left.unsigned_abs())
            );
        }
    }
    text
}

/// Appends a paragraph whose further lines begin below its first word.
fn paragraph(text: &mut String, label: &str, words: &str) {
    let mut column = label.chars().count();
    let indent = column;
    text.push_str(label);
    for word in words.split_ascii_whitespace() {
        let length = word.chars().count();
        if column > indent && column + 1 + length > WIDTH {
            text.push('\n');
            text.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        } else if column > indent {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += length;
    }
    text.push('\n');
}

#[cfg(test)]
mod tests;
