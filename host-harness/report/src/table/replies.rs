// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Several results with replies: a line each for the way there, the way back,
//! and both.

use std::fmt::Write;

use irqbed_results::{
    result::{RunResult, StageStats},
    stages::Stage,
    units::{Unit, thousands},
};

use super::{comparison::SHOWN, figures};

/// Writes the lines of each stage, at most 100 columns wide.
pub(super) fn write(text: &mut String, results: &[&RunResult], unit: Unit) {
    let (stages, unit) = match unit {
        Unit::Nanoseconds => (
            [Stage::IsrToUser, Stage::ReplyToDevice, Stage::RaiseToDevice].as_slice(),
            "µs",
        ),
        Unit::Instructions => (
            [Stage::IsrToUser, Stage::ReplyToCommand].as_slice(),
            "instr.",
        ),
    };
    for (index, stage) in stages.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        lines(text, results, *stage, unit);
    }
}

fn lines(text: &mut String, results: &[&RunResult], stage: Stage, unit: &str) {
    let title = format!("{stage}, {unit}");
    // Writing to a string cannot fail.
    let _ = write!(text, "{title:39}");
    for (_, heading) in SHOWN {
        let _ = write!(text, "{heading:>10}");
    }
    text.push_str("  seen\n");
    let all: Vec<Option<&StageStats>> = results
        .iter()
        .map(|result| result.stages.get(&stage))
        .collect();
    let largest = all.iter().flatten().map(|stats| stats.max).max();
    for (result, stats) in results.iter().zip(all) {
        let (by, seen) = match &result.replies {
            Some(replies) => (&*replies.by, replies.account.delivered),
            None => ("-", 0),
        };
        let context = result.context_in_short();
        let _ = write!(text, "{:19}{context:10}{by:10}", result.mechanism);
        let cells = stats.map(|stats| figures(stats, largest.unwrap_or(0)));
        for (column, _) in SHOWN {
            let cell = cells.as_ref().map_or("-", |cells| &cells[column]);
            let _ = write!(text, "{cell:>10}");
        }
        let _ = writeln!(text, "  {}", thousands(seen));
    }
}
