// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed-peers`: measures the event device beside what else interrupts a
//! guest, and prints the ratios.

#![forbid(unsafe_code)]

use std::{
    fs,
    io::{self, Write},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};
use clap::Parser;
use device_model::log;
use irqbed_bench::peers::{self, Plan, Report};
use irqbed_machine::{
    accel::{self, AccelRequest},
    artefacts::Artefacts,
    interrupt,
    progress::Progress,
    qemu::{ClockKind, Machine},
};
use irqbed_measure::{bench::CLAIM, environment, pin::Pin};

/// Measure the event device beside ivshmem-doorbell, edu, cyclictest and KVM
/// alone, in turns in one guest.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Rounds, in each of which everything is measured once, at least 2
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(2..=1000))]
    rounds: u64,
    /// Events of a block
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    events: u64,
    /// Where on the host the thread that raises and those of QEMU run: auto,
    /// none, or processors as 1 or 0,0,1
    #[arg(long, value_name = "CPU,...", default_value = "auto")]
    pin: Pin,
    /// Write bench/PEERS.md, too
    #[arg(long)]
    write: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = interrupt::install()
        .map_err(anyhow::Error::from)
        .and_then(|()| run(&arguments));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) if interrupt::check().is_err() => {
            log::say(format_args!("bench-peers: interrupted"));
            ExitCode::from(130)
        }
        Err(error) => {
            log::say(format_args!("bench-peers: error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let plan = Plan {
        rounds: arguments.rounds,
        events: arguments.events,
        pin: arguments.pin.clone(),
    };
    let artefacts = Artefacts::locate()?;
    let choice = accel::choose(AccelRequest::Auto)?;
    let machine = Machine::new(choice.accelerator, ClockKind::Wall);
    let measured = peers::measure(&machine, &plan, &Progress::on_terminal())?;
    let environment = environment::gather(&artefacts, &measured.kernel, &choice);
    let command = format!(
        "./just bench-peers --rounds {} --events {}{}{}",
        plan.rounds,
        plan.events,
        match plan.pin {
            Pin::Auto => String::new(),
            ref pin => format!(" --pin {pin}"),
        },
        if arguments.write { " --write" } else { "" }
    );
    let report = Report {
        measured: &measured,
        plan: &plan,
        environment: &environment,
        command: &command,
    };
    let text = report.markdown();
    io::stdout()
        .write_all(text.as_bytes())
        .context("cannot write to standard output")?;
    let wall = &measured.wall;
    if !wall.is_within(CLAIM) {
        bail!(
            "this is not valid: the clock may be off by {}, and drifted by {}; run it again on a \
             machine with less to do and two processors",
            wall.error_bound,
            wall.drift
        );
    }
    if arguments.write {
        let path = artefacts.folder.with_file_name("bench").join("PEERS.md");
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
