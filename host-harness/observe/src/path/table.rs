// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The path as a person reads it on a terminal.

use std::fmt::Write;

use irqbed_results::units::thousands;

use super::{PathDocument, Row};

/// The document as text; in the order of time too, if asked for.
#[must_use]
pub fn render(document: &PathDocument, stays: bool) -> String {
    let mut text = String::new();
    let legs = &document.legs;
    let shown = legs.isr_to_user.unwrap_or(legs.entry_to_verdict);
    let what = match legs.isr_to_user {
        Some(_) => "isr_to_user",
        None => "interrupt to verdict",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{} in {}, {what}: {} instructions, the median of {} events of {} bytes\n",
        document.mechanism,
        document.context,
        thousands(shown),
        thousands(document.events),
        thousands(document.payload_bytes.into()),
    );
    let _ = writeln!(text, "  instr.  share   before    after  function");
    for row in &document.functions {
        line(&mut text, row, shown);
    }
    let sum = |part: fn(&Row) -> u64| document.functions.iter().map(part).sum();
    let sums = Row {
        name: "all".to_owned(),
        instructions: sum(|row| row.instructions),
        before: sum(|row| row.before),
        after: sum(|row| row.after),
    };
    line(&mut text, &sums, shown);
    text.push('\n');
    if let (Some(logged), Some(stamped)) = (legs.isr_to_user, legs.stamped) {
        let _ = match i128::from(stamped) - i128::from(logged) {
            0 => writeln!(
                text,
                "stamps: {} instructions, the same",
                thousands(stamped)
            ),
            more => writeln!(
                text,
                "stamps: {} instructions, {more} more than were logged",
                thousands(stamped)
            ),
        };
    }
    let _ = writeln!(
        text,
        "whole way, from the entry of the interrupt to the verdict: {} instructions",
        thousands(legs.entry_to_verdict)
    );
    if stays {
        let _ = writeln!(text, "\n  instr.  function, in the order of time");
        for stay in &document.stays {
            let _ = writeln!(text, "{:>8}  {}", thousands(stay.instructions), stay.name);
        }
    }
    text
}

fn line(text: &mut String, row: &Row, all: u64) {
    let share = 100.0 * row.instructions as f64 / all.max(1) as f64;
    let _ = writeln!(
        text,
        "{:>8} {share:>5.1}% {:>8} {:>8}  {}",
        thousands(row.instructions),
        thousands(row.before),
        thousands(row.after),
        row.name
    );
}
