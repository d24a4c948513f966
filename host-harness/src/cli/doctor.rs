// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed doctor`: what is there, what will be used, what to do.

use std::process::ExitCode;

use clap::Args;

use crate::doctor::{self, hints};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Say what of this machine moves wall times, how, and by which commands you
    /// could change it, and back; nothing is changed
    #[arg(long)]
    fix_hints: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(&doctor::artefacts());
    super::print(&doctor::render(&findings))?;
    if arguments.fix_hints {
        super::print(&format!("\n{}", hints::render(&hints::examine())))?;
    }
    Ok(if doctor::can_bench(&findings) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
