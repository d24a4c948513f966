// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Debian archive by hand: `irqbed-archive --store FOLDER --suites 'main/trixie ...'
//! COMMAND` prints what [`Archive`] answers.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Result;
use clap::{Parser, Subcommand};
use irqbed_archive::{
    archive::{Archive, say},
    fetch,
    mirror::{self, Kind, Suite},
};

#[derive(Parser)]
struct Arguments {
    /// Where lists and packages are kept
    #[arg(long, default_value = ".")]
    store: PathBuf,
    /// The suites to look in, as `main/trixie security/trixie-security`
    #[arg(long, value_delimiter = ' ')]
    suites: Vec<Suite>,
    /// A keyring to trust, in place of Debian's
    #[arg(long)]
    keys: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print where packages come from
    Mirror { kind: Kind },
    /// Print VERSION where an archive has it, else the newest, and say so; nothing where there
    /// is none
    Pinned {
        part: String,
        package: String,
        version: String,
        suite: Option<String>,
    },
    /// The same of a kernel: FIXED NUMBER REST of its release, of which a newer one has another
    /// number
    PinnedKernel {
        fixed: String,
        number: String,
        /// May begin with a dash
        #[arg(allow_hyphen_values = true)]
        rest: String,
    },
    /// Print packages and all that they need, NAME=VERSION each
    Closure {
        /// The suite whose versions go first
        preferred: String,
        #[arg(required = true)]
        packages: Vec<String>,
    },
    /// Print what packages take when they are unpacked, MiB
    Size { packages: Vec<String> },
    /// Fetch packages, and unpack them into a folder
    Unpack {
        part: String,
        into: PathBuf,
        #[arg(required = true)]
        packages: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(answer) if answer.is_empty() || writeln!(io::stdout(), "{answer}").is_ok() => {
            ExitCode::SUCCESS
        }
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {}", fetch::explained(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<String> {
    let Arguments { store, suites, .. } = arguments;
    let archive = || Archive::new(store, suites, arguments.keys.as_deref());
    Ok(match &arguments.command {
        Command::Mirror { kind } => mirror::of(*kind)?.url,
        Command::Pinned {
            part,
            package,
            version,
            suite,
        } => archive()?
            .pinned(part, package, version, suite.as_deref())?
            .unwrap_or_default(),
        Command::PinnedKernel {
            fixed,
            number,
            rest,
        } => archive()?
            .pinned_kernel(fixed, number, rest)?
            .unwrap_or_default(),
        Command::Closure {
            preferred,
            packages,
        } => archive()?.closure(preferred, packages)?.join("\n"),
        Command::Size { packages } => archive()?.size(packages)?.to_string(),
        Command::Unpack {
            part,
            into,
            packages,
        } => {
            archive()?.unpack(part, into, packages)?;
            String::new()
        }
    })
}
