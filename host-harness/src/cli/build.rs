// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed build`: builds somebody's modules for a guest's kernel, by the kernel's
//! makefiles and the compiler that built the kernel. Exit status 2 when there is
//! nothing to build.

use std::{fmt::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use irqbed_setup::Setup;

use super::{artefacts, bad_input, print, stop_with_what_runs};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder with the sources and a Kbuild file or Makefile (`obj-m := mydriver.o`)
    #[arg(value_name = "FOLDER", default_value = ".")]
    folder: PathBuf,
    /// The kernel they are for, by its name
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Arguments of make, such as W=1
    #[arg(last = true, value_name = "ARGUMENT")]
    make: Vec<String>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if !arguments.folder.is_dir() {
        return Err(bad_input(NoFolder(arguments.folder.clone())));
    }
    let kernel = arguments.kernel.as_deref();
    let parts = artefacts(kernel)?;
    let setup = Setup::new(parts.sources(), Some(&parts.fetched))?;
    stop_with_what_runs()?;
    let built = setup.modules(kernel, &arguments.folder, &arguments.make)?;
    let mut text = String::new();
    for module in built {
        writeln!(text, "{}", module.display())?;
    }
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

#[derive(Debug, thiserror::Error)]
#[error("there is no folder {0}: give the one with the module's sources")]
struct NoFolder(PathBuf);
