// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed store`: what was fetched and built, how large it is, and what of it can go. Exit
//! status 2 for a kernel that there is not, 1 for one that is not here.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use irqbed_machine::artefacts::{ArtefactError, Artefacts};
use irqbed_setup::{Part, Setup};

use super::{bad_input, print};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove what no kernel that is here needs, what is half done, and lists and logs
    Prune,
    /// Remove a kernel, with driver and initial file system for it
    Remove {
        /// The kernel, by its name
        #[arg(value_name = "NAME")]
        kernel: String,
    },
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let parts = Artefacts::locate()?;
    let setup = Setup::new(parts.sources(), Some(&parts.fetched))?;
    match &arguments.command {
        None => {
            let folder = setup.store_folder().display();
            print(&format!("{folder}\n{}", table(&setup.contents()?)))?;
        }
        Some(Command::Prune) => print(&format!("removed\n{}", table(&setup.prune()?)))?,
        Some(Command::Remove { kernel }) => {
            if let Err(error @ ArtefactError::UnknownKernel(_)) = parts.with_kernel(kernel) {
                return Err(bad_input(error));
            }
            let bytes = setup.remove_kernel(kernel)?;
            print(&format!("removed {kernel}, {} MB\n", megabytes(bytes)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A line for each part, and one for all.
fn table(parts: &[Part]) -> String {
    let line =
        |bytes: u64, name: &str, note: &str| format!("{:>7} MB  {name}{note}\n", megabytes(bytes));
    let lines = parts.iter().map(|part| {
        let note = part
            .idle
            .map_or_else(String::new, |why| format!(" (can go: {why})"));
        line(part.bytes, &part.name, &note)
    });
    let all = parts.iter().map(|part| part.bytes).sum();
    lines.chain([line(all, "in all", "")]).collect()
}

/// Rounded up: what is there takes room.
fn megabytes(bytes: u64) -> u64 {
    bytes.div_ceil(1_000_000)
}
