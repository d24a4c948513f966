// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The commands of `irqbed`. What the user asked for goes to standard output,
//! everything else to standard error.
//!
//! Exit status: 0 when all went well, 1 when it did not, 2 for a command line, or
//! a scenario, that makes no sense, 130 after Ctrl-C.

mod ab;
mod bench;
mod bench_mmio;
mod build;
mod compare;
mod control;
mod coverage;
mod doctor;
mod failure;
mod fault;
mod guest;
mod kernel;
mod new;
mod options;
mod path;
mod plug;
mod raise;
mod report;
mod run_vm;
mod store;
mod test;
mod trace;

use std::{
    error::Error,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::Context;
use clap::{Parser, Subcommand};
use device_model::log;
use irqbed_machine::{
    artefacts::{ArtefactError, Artefacts},
    interrupt,
};
use irqbed_results::result::JsonTarget;

/// A QEMU-emulated testbed that measures how long an interrupt takes to reach
/// a process.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    /// Say more: -v what the harness does, -vv the guest's console too; IRQBED_LOG says
    /// it in more detail (docs/logging.md)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Boot the guest, raise events, print how long each stage took
    Bench(bench::Arguments),
    /// Measure how long a register access takes at any vfio-user server
    BenchMmio(bench_mmio::Arguments),
    /// Measure two states of the sources in turns, and compare them
    Ab(ab::Arguments),
    /// Compare two results of `bench`, and fail where something became worse
    Compare(compare::Arguments),
    /// Show results of `bench` as a page of HTML
    Report(report::Arguments),
    /// Boot the guest, log what it executes for an event, print it by function
    Path(path::Arguments),
    /// Record one timeline of host and guest, or say what a slow event waited for
    Trace(trace::Arguments),
    /// Boot the guest with device and driver, and give a shell in it
    RunVm(run_vm::Arguments),
    /// Make the device of a running `run-vm` interrupt
    Raise(raise::Arguments),
    /// Have something go wrong with the device of a running `run-vm`
    Fault(fault::Arguments),
    /// Plug a device into a running `run-vm` or `test` with `--ports N`
    Plug(plug::Plug),
    /// Pull the device in a port of a running `run-vm`
    Unplug(plug::Place),
    /// Boot a guest with devices and drivers of your own, run a program in it,
    /// and say whether all went well
    Test(test::Arguments),
    /// Build modules of your own for a guest's kernel
    Build(build::Arguments),
    /// Fetch another kernel for `--kernel NAME`, or say which there are
    Kernel(kernel::Arguments),
    /// Say what was fetched and built and how large it is, or remove some of it
    Store(store::Arguments),
    /// Begin a project of your own: a device, its driver, and a test of both
    New(new::Arguments),
    /// Tie a project that `new` began to the library and the program on this machine
    Link(new::LinkArguments),
    /// Say what this machine has, what will be used, and what to do
    Doctor(doctor::Arguments),
}

/// Runs the program: parses, calls, reports.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.verbose);
    let outcome = interrupt::install()
        .map_err(anyhow::Error::from)
        .and_then(|()| match cli.command {
            Command::Bench(arguments) => bench::run(&arguments),
            Command::BenchMmio(arguments) => bench_mmio::run(&arguments),
            Command::Ab(arguments) => ab::run(&arguments),
            Command::Compare(arguments) => compare::run(&arguments),
            Command::Report(arguments) => report::run(&arguments),
            Command::Path(arguments) => path::run(&arguments),
            Command::Trace(arguments) => trace::run(&arguments),
            Command::RunVm(arguments) => run_vm::run(&arguments),
            Command::Raise(arguments) => raise::run(&arguments),
            Command::Fault(arguments) => fault::run(&arguments),
            Command::Plug(arguments) => plug::plug(&arguments),
            Command::Unplug(arguments) => plug::unplug(&arguments),
            Command::Test(arguments) => test::run(&arguments),
            Command::Build(arguments) => build::run(&arguments),
            Command::Kernel(arguments) => kernel::run(&arguments),
            Command::Store(arguments) => store::run(&arguments),
            Command::New(arguments) => new::run(&arguments),
            Command::Link(arguments) => new::link(&arguments),
            Command::Doctor(arguments) => doctor::run(&arguments),
        });
    outcome.unwrap_or_else(|error| failure::report(&error))
}

fn log_to_stderr(verbose: u8) {
    let default = match verbose {
        0 => "warn,device_model=error,irqbed_fault=error,irqbed_pci=error,irqbed_vfio_user=error",
        1 => "info",
        _ => "debug",
    };
    log::to_stderr(default);
}

/// What runs while something is fetched or built ends when the user wants to stop.
fn stop_with_what_runs() -> io::Result<()> {
    irqbed_setup::stop_with_what_runs(|_| {
        log::say(format_args!("irqbed: {}", interrupt::Interrupted));
        failure::INTERRUPTED.into()
    })
}

/// The parts of a guest, with the kernel that the user wants.
fn artefacts(kernel: Option<&str>) -> anyhow::Result<Artefacts> {
    match Artefacts::locate()?.or_of_kernel(kernel) {
        Err(error @ ArtefactError::UnknownKernel(_)) => Err(bad_input(error)),
        artefacts => Ok(artefacts?),
    }
}

/// What was given makes no sense: the command ends with another status than where it fails.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct BadInput(Box<dyn Error + Send + Sync>);

/// Makes an error one of what was given.
fn bad_input(error: impl Error + Send + Sync + 'static) -> anyhow::Error {
    BadInput(Box::new(error)).into()
}

/// Makes sure that these can be written, before anything is done for them.
fn ensure_writable<'a>(targets: impl IntoIterator<Item = &'a JsonTarget>) -> anyhow::Result<()> {
    let mut targets = targets.into_iter();
    targets.try_for_each(|target| target.ensure_writable().map_err(bad_input))
}

/// What the user asked for, on standard output. Who reads no further, as `head` does, has
/// all that was wanted.
fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes());
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("cannot write to standard output"),
    }
}

#[cfg(test)]
mod tests {
    use std::any::TypeId;

    use clap::{Arg, CommandFactory, builder::ArgAction, error::ErrorKind};

    use super::*;

    /// The bounds in a help text: `(1 to 64)`.
    fn range(help: &str) -> Option<(u64, u64)> {
        let ranges = help.split('(').filter_map(|rest| rest.split(')').next());
        let mut ranges = ranges.filter_map(|range| range.split_once(" to "));
        ranges.find_map(|(low, high)| Some((low.parse().ok()?, high.parse().ok()?)))
    }

    fn is_number(arg: &Arg) -> bool {
        let numbers = [
            TypeId::of::<u8>(),
            TypeId::of::<u16>(),
            TypeId::of::<u32>(),
            TypeId::of::<u64>(),
        ];
        let kind = arg.get_value_parser().type_id();
        matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
            && !arg.is_hide_set()
            // They are listed.
            && arg.get_possible_values().is_empty()
            // Any word of a register, and any place.
            && !["write", "offset"].contains(&arg.get_id().as_str())
            && numbers.iter().any(|number| kind == *number)
    }

    #[test]
    fn the_help_gives_the_range_of_each_number_and_keeps_to_it() {
        let mut numbers = 0;
        for command in Cli::command().get_subcommands() {
            for arg in command.get_arguments().filter(|arg| is_number(arg)) {
                let name = format!("{} --{}", command.get_name(), arg.get_id());
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let (low, high) = range(&help).unwrap_or_else(|| panic!("{name}: {help}"));
                let refused = |value: String| {
                    let option = format!("--{}={value}", arg.get_long().expect("an option"));
                    let parsed = Cli::try_parse_from(["irqbed", command.get_name(), &option]);
                    parsed.is_err_and(|error| error.kind() == ErrorKind::ValueValidation)
                };
                for value in [low, high] {
                    assert!(!refused(value.to_string()), "{name}: {value} is refused");
                }
                let below = i128::from(low) - 1;
                for value in [below, i128::from(high) + 1] {
                    assert!(refused(value.to_string()), "{name}: {value} is taken");
                }
                numbers += 1;
            }
        }
        assert!(numbers > 20, "{numbers}");
    }
}
