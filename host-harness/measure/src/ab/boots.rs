// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bench of a side by itself, from its boot to its end.

use std::{path::PathBuf, process::Command};

use irqbed_machine::qemu::ClockKind;
use irqbed_results::result::Document;

use super::{
    AbError, Plan, Side,
    child::{self, Ended},
};

/// The bench of a side, whose result comes by standard output.
pub(super) fn command(side: &Side, plan: &Plan) -> Command {
    let mut command = Command::new(side.program());
    command
        .current_dir(side.root())
        .args(["bench", "--clock"])
        .arg(match plan.clock {
            ClockKind::Wall => "wall",
            ClockKind::Instructions => "instructions",
        })
        .args(&plan.arguments)
        .args(side.arguments());
    command
}

/// Runs it.
pub(super) fn run(side: &Side, plan: &Plan) -> Result<Document, AbError> {
    let what = format!("cannot run {}", side.program().display());
    let ended = child::run(command(side, plan).args(["--json", "-"]), what)?;
    document(side, &ended)
}

/// What a bench has written. One that has found a fault in its figures has
/// written them all the same.
pub(super) fn document(side: &Side, ended: &Ended) -> Result<Document, AbError> {
    let side = || side.to_string();
    let message = || {
        let mut lines = ended.stderr.lines().map(str::trim);
        let errors = ["irqbed: error: ", "error: "];
        let line = lines.find_map(|line| errors.iter().find_map(|mark| line.strip_prefix(mark)));
        line.unwrap_or("it said nothing").to_owned()
    };
    match ended.status.code() {
        Some(0) => {}
        Some(1) if !ended.stdout.is_empty() => {}
        Some(2) => {
            let (side, message) = (side(), message());
            return Err(AbError::Refused { side, message });
        }
        _ => {
            return Err(AbError::Bench {
                side: side(),
                how: ended.status.to_string(),
                message: message(),
            });
        }
    }
    let name = PathBuf::from(format!("the result of the {}", side()));
    Ok(Document::from_json(&name, ended.stdout.as_bytes())?)
}
