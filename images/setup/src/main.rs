// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed-setup [COMMAND]`: fetches and builds what guests are made of. It is the first that
//! is compiled, so that downloads run while the rest is. `images/setup.sh` compiles and
//! starts it.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use irqbed_archive::{archive::say, fetch};
use irqbed_setup::{Setup, stop_with_what_runs};

#[derive(Parser)]
struct Arguments {
    /// The sources
    #[arg(long, value_name = "FOLDER")]
    root: PathBuf,
    /// Build only, from what is there
    #[arg(long)]
    no_fetch: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Make tools available that the system does not have
    Tools {
        /// Also where it has them
        #[arg(long)]
        ours: bool,
        names: Vec<String>,
    },
    /// Fetch or build the kernel of a name, and driver and initial file system for it; without
    /// a name only the guest's own kernel
    Kernel {
        name: Option<String>,
        /// Print the names there are
        #[arg(long, conflicts_with = "name")]
        list: bool,
    },
    /// Build the driver; with arguments of make (W=1, C=2) anew and elsewhere, to hear what make
    /// says of it
    Driver(Make),
    /// Build somebody's own modules, and print where they are
    Modules {
        folder: PathBuf,
        #[command(flatten)]
        make: Make,
    },
    /// Print the linker of the guest's programs, or nothing where the system's is to be used
    Linker,
    /// Fetch Chromium without a window, unless the system has one
    Chromium,
    /// Fetch the tools of LLVM for coverage, and print where they are
    Llvm { major: u32 },
}

#[derive(Args)]
struct Make {
    /// The kernel they are for, by its name
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(answer) if io::stdout().write_all(answer.as_bytes()).is_ok() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {}", fetch::explained(&error)));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<String> {
    // As a shell says it.
    stop_with_what_runs(|signal| 128 + signal).context("cannot install a handler of signals")?;
    let setup = Setup::new(&arguments.root, None)?;
    let printed = |paths: &[PathBuf]| -> String {
        paths
            .iter()
            .map(|path| format!("{}\n", path.display()))
            .collect()
    };
    let mut answer = String::new();
    match &arguments.command {
        None => setup.everything(!arguments.no_fetch)?,
        Some(Command::Tools { ours, names }) => {
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            setup.tools(&names, *ours)?;
        }
        Some(Command::Kernel { list: true, .. }) => answer = setup.kernels(),
        Some(Command::Kernel { name: None, .. }) => setup.kernel_alone(None)?,
        Some(Command::Kernel {
            name: Some(name), ..
        }) => setup.kernel(name)?,
        Some(Command::Driver(make)) => setup.driver(make.kernel.as_deref(), &make.arguments)?,
        Some(Command::Modules { folder, make }) => {
            let kernel = make.kernel.as_deref();
            answer = printed(&setup.modules(kernel, folder, &make.arguments)?);
        }
        Some(Command::Linker) => answer = printed(setup.linker()?.as_slice()),
        Some(Command::Chromium) => setup.chromium()?,
        Some(Command::Llvm { major }) => answer = printed(&[setup.llvm(*major)?]),
    }
    Ok(answer)
}
