// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed kernel`: fetches a kernel, and builds driver and initial file system for it, so
//! that other commands have it by `--kernel`.

use std::process::ExitCode;

use clap::Args;
use irqbed_machine::artefacts::{ArtefactError, Artefacts};
use irqbed_setup::Setup;

use super::{bad_input, print, stop_with_what_runs};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The kernel, by its name
    #[arg(value_name = "NAME", required_unless_present = "list")]
    name: Option<String>,
    /// Print the names there are, and which of the kernels are here
    #[arg(long, conflicts_with = "name")]
    list: bool,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let parts = Artefacts::locate()?;
    let setup = Setup::new(parts.sources(), Some(&parts.fetched))?;
    let Some(name) = &arguments.name else {
        print(&setup.kernels())?;
        return Ok(ExitCode::SUCCESS);
    };
    if let Err(error @ ArtefactError::UnknownKernel(_)) = parts.with_kernel(name) {
        return Err(bad_input(error));
    }
    stop_with_what_runs()?;
    setup.kernel(name)?;
    Ok(ExitCode::SUCCESS)
}
