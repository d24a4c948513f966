// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed doctor`: what is there, what will be used, what to do.

use std::process::ExitCode;

use crate::doctor;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    let findings = doctor::examine(&doctor::artefacts());
    super::print(&doctor::render(&findings))?;
    Ok(if doctor::can_bench(&findings) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
