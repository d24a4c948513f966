// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed build`: builds somebody's modules for a guest's kernel, by the kernel's
//! makefiles and the compiler that built the kernel. Exit status 2 when there is
//! nothing to build.

use std::{
    path::PathBuf,
    process::{Command, ExitCode},
};

use anyhow::Context;
use clap::Args;

use super::{artefacts, bad_input};

/// The script that does it.
const SCRIPT: &str = "images/module.sh";

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
    let script = artefacts(arguments.kernel.as_deref())?
        .sources()
        .join(SCRIPT);
    let mut command = Command::new(&script);
    if let Some(kernel) = &arguments.kernel {
        command.args(["--kernel", kernel]);
    }
    command.arg("--dir").arg(&arguments.folder);
    let status = command
        .args(&arguments.make)
        .status()
        .with_context(|| format!("cannot run {}", script.display()))?;
    // It has said why.
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[derive(Debug, thiserror::Error)]
#[error("there is no folder {0}: give the one with the module's sources")]
struct NoFolder(PathBuf);
