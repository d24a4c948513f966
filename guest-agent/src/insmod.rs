// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Loads and unloads modules that may do anything: each in a process of its
//! own, so that a module that hangs, or makes the kernel kill who loads it, does
//! not take PID 1 along.

use std::{
    ffi::CString,
    fs::{self, File},
    path::Path,
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use irqbed_abi::control::{Ending, Process, Reply};
use rustix::{
    io::Errno,
    system::{delete_module, finit_module},
};

use crate::{
    children::{Children, SELF},
    inspect::Inspector,
    module::{self, FOLDER},
    supervise,
};

/// First argument of the process that does it.
pub const ROLE: &str = "module";
const INSERT: &str = "insert";
const REMOVE: &str = "remove";

/// How long a module may take to begin or to end.
const LIMIT: Duration = Duration::from_secs(20);

/// Loads the module of a file.
pub fn insert(
    children: &mut Children,
    inspector: &mut Inspector,
    path: &str,
    parameters: &str,
) -> Result<()> {
    in_a_process(children, inspector, &[INSERT, path, parameters])
        .with_context(|| format!("{} does not load", file_name(path)))
}

/// Unloads a module.
pub fn remove(children: &mut Children, inspector: &mut Inspector, name: &str) -> Result<()> {
    in_a_process(children, inspector, &[REMOVE, name])
        .with_context(|| format!("{name} does not unload"))
}

fn in_a_process(
    children: &mut Children,
    inspector: &mut Inspector,
    arguments: &[&str],
) -> Result<()> {
    let mut why = String::new();
    let ending = supervise::run(
        children,
        inspector,
        Command::new(SELF).arg(ROLE).args(arguments),
        LIMIT,
        &mut |reply| {
            if let Reply::Said { text, .. } = reply {
                why += &text;
            }
            Ok(())
        },
    )?;
    match ending {
        Ending::Exited { status: 0 } => Ok(()),
        Ending::Exited { .. } => bail!(why.trim().to_owned()),
        Ending::Signalled { .. } => bail!("the kernel killed the process that was in it"),
        Ending::Limit { processes } => {
            bail!("it takes longer than {LIMIT:?}{}", place(&processes))
        }
        Ending::Stuck { processes } if processes.iter().any(runs) => {
            bail!("it spins: it has the processor and does not come back")
        }
        Ending::Stuck { processes } => bail!("it hangs{}", place(&processes)),
    }
}

fn runs(process: &Process) -> bool {
    process.state == "R"
}

/// Where in the kernel the first process is that is anywhere.
fn place(processes: &[Process]) -> String {
    let stacks = processes.iter().map(|process| &process.stack);
    let stack = stacks.into_iter().find(|stack| !stack.is_empty());
    stack.map_or_else(String::new, |stack| format!(" in {}", stack.join(" < ")))
}

/// The process that loads or unloads: what fails is said on standard error.
pub fn main(arguments: &[String]) -> ! {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        [INSERT, path, parameters] => insert_here(path, parameters),
        [REMOVE, name] => remove_here(name),
        _ => Err(anyhow::anyhow!("no such request: {arguments:?}")),
    };
    let status = done.map_or_else(
        |error| {
            eprintln!("{error:#}");
            1
        },
        |()| 0,
    );
    std::process::exit(status)
}

fn insert_here(path: &str, parameters: &str) -> Result<()> {
    let line = CString::new(parameters)?;
    let image = fs::read(path).with_context(|| format!("cannot read {path}"))?;
    for name in module::dependencies(&image) {
        if !is_loaded(name) && !Path::new(FOLDER).join(format!("{name}.ko")).exists() {
            bail!("it needs the module {name}, which is not in the guest: load that one before it");
        }
        module::load_stock(&[name])?;
    }
    let file = File::open(path).with_context(|| format!("cannot open {path}"))?;
    match finit_module(&file, &line, 0) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => bail!("a module of this name is loaded already"),
        Err(Errno::NOENT) => bail!("it uses what no module here offers, or refuses with ENOENT"),
        Err(error) => Err(error.into()),
    }
}

fn remove_here(name: &str) -> Result<()> {
    match delete_module(&CString::new(name)?, libc::O_NONBLOCK) {
        Ok(()) => Ok(()),
        Err(Errno::NOENT) => bail!("it is not loaded"),
        Err(Errno::BUSY) if !has_exit(name) => bail!("it has no exit function"),
        Err(Errno::WOULDBLOCK | Errno::BUSY) => {
            let read = |what| {
                let text = fs::read_to_string(format!("/sys/module/{name}/{what}"));
                text.unwrap_or_default().trim().to_owned()
            };
            let holders = fs::read_dir(format!("/sys/module/{name}/holders"))
                .into_iter()
                .flatten()
                .filter_map(|holder| Some(holder.ok()?.file_name().to_string_lossy().into_owned()));
            let holders: Vec<String> = holders.collect();
            let by = match holders[..] {
                [] => String::new(),
                _ => format!(", among them {}", holders.join(", ")),
            };
            bail!("it is in use, so often: {}{by}", read("refcnt"))
        }
        Err(error) => Err(error.into()),
    }
}

fn is_loaded(name: &str) -> bool {
    // The kernel makes no difference between the two.
    Path::new("/sys/module")
        .join(name.replace('-', "_"))
        .exists()
}

/// Whether a module can be unloaded at all: one that cannot stands as
/// `[permanent]` in `/proc/modules`.
fn has_exit(name: &str) -> bool {
    let modules = fs::read_to_string("/proc/modules").unwrap_or_default();
    let line = modules
        .lines()
        .find(|line| line.split(' ').next() == Some(name));
    !line.is_some_and(|line| line.contains("[permanent]"))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
