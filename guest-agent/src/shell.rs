// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The process that becomes a person's shell on the console.

use std::{fs::OpenOptions, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};
use rustix::{
    process::{ioctl_tiocsctty, setsid},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};

use crate::children::{PATH, SELF};

/// First argument of the process that becomes the shell.
pub const ROLE: &str = "shell";
/// The terminal of the person.
const TERMINAL: &str = "/dev/ttyS0";

/// The command that runs a shell.
pub fn command() -> Command {
    let mut command = Command::new(SELF);
    command.arg(ROLE);
    command
}

/// Becomes the shell, the leader of its own session on the terminal, so that
/// its job control and Ctrl-C work.
pub fn main() -> Result<()> {
    setsid().context("cannot start a session")?;
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .with_context(|| format!("cannot open {TERMINAL}"))?;
    ioctl_tiocsctty(&terminal).with_context(|| format!("cannot take {TERMINAL}"))?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    drop(terminal);
    let error = Command::new("/bin/sh")
        .arg("-i")
        .env_clear()
        .envs([
            ("PATH", PATH),
            ("PS1", "irqbed# "),
            ("HOME", "/"),
            ("TERM", "linux"),
        ])
        .exec();
    Err(error).context("cannot run /bin/sh")
}
