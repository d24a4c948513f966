// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed ab`: two states of the sources, measured in turns and compared. Exit
//! status as that of `irqbed compare`; 2 too where a side cannot be measured.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::{Args, error::ErrorKind, value_parser};

use super::compare::{Gate, NOTHING};
use device_model::log;
use irqbed_machine::{interrupt, progress::Progress, qemu::ClockKind};
use irqbed_measure::{
    ab::{self, Measured, Plan, Side, Sources},
    bench_orders,
};
use irqbed_results::{compare::Thresholds, result::JsonTarget};

/// Boots of each side, where time is measured.
const ROUNDS: u32 = 24;
/// Events of each boot, where time is measured.
const EVENTS: u32 = 1200;
/// Turns that they are divided into.
const TURNS: u32 = 24;
/// What is not for each bench by itself.
const OURS: [&str; 6] = [
    "--json",
    "--rounds",
    "--clock",
    "--saturate",
    "--help",
    bench_orders::OPTION,
];

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What it was: a revision of this repository, or a folder with sources
    #[arg(long, value_name = "REV|DIR")]
    base: String,
    /// What it is now; the sources you stand in unless given
    #[arg(long, value_name = "REV|DIR")]
    new: Option<String>,
    /// Boots of each side; 30 unless given, or 1 with `--clock instructions` (1 to 200)
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=200))]
    rounds: Option<u32>,
    /// Turns that the two guests of a round take, where time is measured; the
    /// events are divided among them (1 to 10000)
    #[arg(long, value_name = "N", default_value_t = TURNS, value_parser = value_parser!(u32).range(1..=10_000))]
    turns: u32,
    /// What the guest's clock counts: time, or executed instructions
    #[arg(long, value_enum, default_value_t = ClockKind::Wall)]
    clock: ClockKind,
    /// Word for the bench of the base alone; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    base_argument: Vec<String>,
    /// Word for the bench of the new side alone; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    new_argument: Vec<String>,
    /// Take the sides as they were built last
    #[arg(long)]
    no_build: bool,
    /// Keep what was measured there, as base.json and new.json
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    #[command(flatten)]
    gate: Gate,
    /// Words for the bench of both sides, behind `--`
    #[arg(last = true, value_name = "BENCH ARGUMENT")]
    arguments: Vec<String>,
}

impl Arguments {
    /// An option that we give each bench by ourselves, or that it cannot have.
    fn ours(&self) -> Option<&str> {
        let words = self.arguments.iter();
        let words = words.chain(&self.base_argument).chain(&self.new_argument);
        words
            .map(|word| word.split('=').next().unwrap_or_default())
            .find(|word| OURS.contains(word))
    }

    fn plan(&self) -> Plan {
        let wall = self.clock == ClockKind::Wall;
        let mut arguments = Vec::new();
        if wall
            && !self
                .arguments
                .iter()
                .any(|word| word.starts_with("--events"))
        {
            arguments.push(format!("--events={EVENTS}"));
        }
        arguments.extend_from_slice(&self.arguments);
        Plan {
            rounds: self.rounds.unwrap_or(if wall { ROUNDS } else { 1 }),
            turns: wall.then_some(self.turns),
            clock: self.clock,
            arguments,
        }
    }

    /// Where the results go: of the base, and of the new side.
    fn targets(&self) -> anyhow::Result<Option<[JsonTarget; 2]>> {
        let Some(folder) = &self.save else {
            return Ok(None);
        };
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let targets = ["base.json", "new.json"].map(|name| JsonTarget::File(folder.join(name)));
        super::ensure_writable(&targets)?;
        Ok(Some(targets))
    }

    fn run(&self) -> anyhow::Result<ExitCode> {
        let artefacts = super::artefacts(None)?;
        let sources = Sources::find(&artefacts)?;
        let base = sources.side("base", Some(&self.base), &self.base_argument)?;
        let new = sources.side("new side", self.new.as_deref(), &self.new_argument)?;
        artefacts.check()?;
        let targets = self.targets()?;
        let plan = self.plan();

        let progress = Progress::on_terminal();
        if !self.no_build {
            for side in distinct(&base, &new) {
                progress.phase(&format!("build {side}"));
                ab::build(side, &sources)?;
            }
        }
        let mut measured = Measured::default();
        let outcome = ab::run([&base, &new], &plan, &progress, &mut measured);
        drop(progress);
        // Whatever has ended it: each round took its time.
        if let (Some(documents), Some(targets)) = (&measured.documents, &targets) {
            for (document, target) in documents.iter().zip(targets) {
                document.write(target)?;
            }
        }
        if let Err(error) = outcome {
            self.early(&measured, plan.rounds);
            return Err(error.into());
        }
        let [before, after] = measured.documents.context("there was no round")?;
        let thresholds = Thresholds {
            side_by_side: true,
            ..Thresholds::default()
        };
        let mut notes = measured.notes;
        notes.push(format!("{base} against {new}"));
        self.gate.judge((&before, &after), thresholds, &notes)
    }
}

impl Arguments {
    /// Says what there is of a run that ended early.
    fn early(&self, measured: &Measured, planned: u32) {
        let rounds = measured.rounds;
        for note in &measured.notes {
            log::say(format_args!("irqbed: {note}"));
        }
        let kept = match &self.save {
            _ if rounds == 0 => return,
            Some(folder) => format!("they are kept in {}", folder.display()),
            None => "--save DIR would have kept them".to_owned(),
        };
        log::say(format_args!(
            "irqbed: {rounds} of {planned} rounds were measured: {kept}"
        ));
    }
}

/// One, where both are built in the same folder.
fn distinct<'a>(base: &'a Side, new: &'a Side) -> Vec<&'a Side> {
    if base.root() == new.root() {
        vec![base]
    } else {
        vec![base, new]
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(word) = arguments.ours() {
        let why = format!("{word} is not for the bench of a side: see `irqbed ab --help`\n");
        clap::Error::raw(ErrorKind::ArgumentConflict, why).exit();
    }
    match arguments.run() {
        // 1 would be a finding.
        Err(error) if interrupt::check().is_ok() => {
            super::failure::report(&error);
            Ok(ExitCode::from(NOTHING))
        }
        outcome => outcome,
    }
}
