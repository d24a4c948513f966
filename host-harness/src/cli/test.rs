// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed test`: boots a guest with somebody's devices and drivers, runs a
//! program in it, and says whether all went well. Exit status 0 when it did, 1
//! when something failed, 2 when there was nothing to run.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, value_parser};
use device_model::log;
use irqbed_abi::control::Stream;
use irqbed_machine::{qemu::ConsoleTo, session::SessionError};
use irqbed_results::{coverage::Coverage, result::JsonTarget};
use irqbed_trial::{
    scenario::{DEFAULT_LIMIT, Description, MAX_LIMIT, Scenario, ScenarioError, Sleep},
    trial::{Case, Company, Outcome, Trial, junit},
};

use super::{
    control::{attend, check, listen},
    coverage::CoverageArguments,
    guest::GuestArguments,
};

/// The options that a scenario's file has in its place.
const OF_A_SCENARIO: [&str; 21] = [
    "device",
    "socket",
    "fault",
    "ports",
    "port_window",
    "module",
    "module_parameter",
    "file",
    "vcpus",
    "memory",
    "iommu",
    "poll_us",
    "kernel_parameter",
    "kernel",
    "agent",
    "arguments",
    "limit",
    "expect_exit",
    "allow",
    "no_bind",
    "suspend",
];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Scenarios' files (docs/test-your-driver.md), one test each, in place of
    /// the options
    #[arg(value_name = "SCENARIO.toml", conflicts_with_all = OF_A_SCENARIO)]
    scenario: Vec<PathBuf>,
    #[command(flatten)]
    guest: GuestArguments,
    /// The program to run in the guest: a static one, or a script for busybox's
    /// /bin/sh
    #[arg(long, value_name = "PATH")]
    agent: Option<PathBuf>,
    /// Arguments of the program
    #[arg(last = true, value_name = "ARGUMENT", requires = "agent")]
    arguments: Vec<String>,
    /// How long the program may take, seconds (1 to 86400)
    #[arg(long, value_name = "SECONDS", default_value_t = DEFAULT_LIMIT, value_parser = value_parser!(u64).range(1..=MAX_LIMIT))]
    limit: u64,
    /// The exit status that is expected of the program (0 to 255)
    #[arg(long, value_name = "STATUS", default_value_t = 0)]
    expect_exit: u8,
    /// A report of the kernel's that has this text in it is no failure; may be
    /// given again
    #[arg(long, value_name = "TEXT")]
    allow: Vec<String>,
    /// A probe may fail, and a device may be left without the driver that is for it
    #[arg(long)]
    no_bind: bool,
    /// Suspend the guest to idle (`freeze`) or to RAM (`mem`) and wake it, when the modules
    /// are loaded and before the program runs; with a level of pm_test (`mem:devices`) it
    /// is a test that goes no further
    #[arg(long, value_name = "STATE[:LEVEL]")]
    suspend: Option<Sleep>,
    /// Where to listen for `irqbed raise` and `irqbed fault` while the guest runs, and
    /// with --ports for `irqbed plug`
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    /// Write the verdicts as JUnit XML; `-` for standard output, which then has
    /// nothing else
    #[arg(long, value_name = "FILE")]
    junit: Option<JsonTarget>,
    #[command(flatten)]
    coverage: CoverageArguments,
}

impl Arguments {
    /// The files to write.
    fn files(&self) -> impl Iterator<Item = &JsonTarget> {
        self.junit.iter().chain(self.coverage.files())
    }

    fn descriptions(&self) -> Result<Vec<Description>, ScenarioError> {
        if !self.scenario.is_empty() {
            let files = self.scenario.iter();
            return files.map(|path| Description::from_file(path)).collect();
        }
        let mut description = Description {
            agent: self.agent.clone(),
            arguments: self.arguments.clone(),
            limit: self.limit,
            status: self.expect_exit,
            allowed: self.allow.clone(),
            bind: !self.no_bind,
            sleep: self.suspend,
            ..self.guest.description()?
        };
        description.tests_something()?;
        let agent = self.agent.as_ref().and_then(|path| path.file_stem());
        let named_by = agent.map(|stem| stem.to_string_lossy().into_owned());
        if let Some(name) = named_by.or_else(|| self.guest.first_module()) {
            description.name = name;
        }
        Ok(vec![description])
    }

    fn scenarios(&self) -> Result<Vec<Scenario>, ScenarioError> {
        // All of them before the first is run.
        let descriptions = self.descriptions()?;
        let silent = |description: &&Description| !description.can_be_asked();
        if let (Some(path), Some(description)) = (&self.control, descriptions.iter().find(silent)) {
            return Err(ScenarioError::NothingToAsk {
                control: path.clone(),
                name: description.name.clone(),
            });
        }
        descriptions.into_iter().map(Description::check).collect()
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let scenarios = arguments.scenarios().map_err(super::bad_input)?;
    super::ensure_writable(arguments.files())?;
    if let Some(socket) = &arguments.control {
        check(socket).map_err(super::bad_input)?;
    }
    let choice = arguments.coverage.accelerator(arguments.guest.accel)?;
    let covers = arguments.coverage.are_given();
    let shown = arguments
        .files()
        .all(|target| *target != JsonTarget::Stdout);
    let mut coverage = Coverage::default();
    let mut cases: Vec<Case> = Vec::new();
    for scenario in &scenarios {
        let control = arguments.control.as_deref();
        let trial = Trial::boot(scenario, choice.accelerator, ConsoleTo::Kept, covers);
        let outcome = trial.and_then(|trial| run_one(trial, scenario, control, shown));
        let outcome = match outcome {
            Err(error @ SessionError::Interrupted(_)) => return Err(error.into()),
            outcome => outcome,
        };
        say_verdict(&scenario.description.name, &outcome);
        if let Ok(outcome) = &outcome {
            coverage.add(&outcome.coverage);
        }
        let outcome = outcome.map_err(|error| error.to_string());
        cases.push((scenario.description.name.clone(), outcome));
    }
    if let Some(target) = &arguments.junit {
        target.write(junit(&cases)?.as_bytes())?;
    }
    arguments.coverage.write(&coverage)?;
    let passed = |(_, outcome): &&Case| outcome.as_ref().is_ok_and(Outcome::passed);
    let passed = cases.iter().filter(passed).count();
    if cases.len() > 1 {
        let failed = cases.len() - passed;
        log::say(format_args!("irqbed: {passed} passed, {failed} failed"));
    }
    Ok(match passed == cases.len() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}

fn run_one(
    trial: Trial,
    scenario: &Scenario,
    control: Option<&Path>,
    shown: bool,
) -> Result<Outcome, SessionError> {
    let in_words = |error: anyhow::Error| SessionError::Control(log::one_line(error.chain()));
    let asked = control.zip(trial.target());
    let asked = asked.map(|(socket, target)| listen(socket, target.clone()));
    let _asked = asked.transpose().map_err(in_words)?;
    let attend = control.map(|socket| attend(scenario.description.ports, socket));
    let mut attend = attend.transpose().map_err(in_words)?;
    let mut say = |stream, text: &str| {
        // That nobody reads it is no failure of the driver's.
        let _ = match stream {
            Stream::Stdout if shown => {
                let mut stdout = io::stdout().lock();
                let written = stdout.write_all(text.as_bytes());
                written.and_then(|()| stdout.flush())
            }
            _ => io::stderr().write_all(text.as_bytes()),
        };
    };
    let company = &mut Company {
        say: &mut say,
        attend: &mut |guest| {
            if let Some(attend) = &mut attend {
                attend(guest);
            }
        },
    };
    trial.run(scenario, company)
}

fn say_verdict(name: &str, outcome: &Result<Outcome, SessionError>) {
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            log::say(format_args!("irqbed: error: {name}: {error}"));
            return say_lines(error.console());
        }
    };
    let seconds = outcome.duration.as_secs_f64();
    if outcome.passed() {
        log::say(format_args!("irqbed: passed: {name} in {seconds:.1} s"));
    }
    for failure in &outcome.failures {
        log::say(format_args!("irqbed: failed: {name}: {failure}"));
        say_lines(failure.details());
    }
    for evidence in &outcome.evidence {
        log::say(format_args!("irqbed: {}:", evidence.title));
        say_lines(&evidence.lines);
    }
    for (index, step) in outcome.steps.iter().enumerate() {
        log::say(format_args!("irqbed: step {}: {step}", index + 1));
    }
    for fault in &outcome.faults {
        log::say(format_args!("irqbed: fault: {fault}"));
    }
    for note in &outcome.notes {
        log::say(format_args!("irqbed: note: {note}"));
    }
}

fn say_lines(lines: &[String]) {
    for line in lines {
        log::say(format_args!("    {line}"));
    }
}
