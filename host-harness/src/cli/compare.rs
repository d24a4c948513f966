// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed compare`: a gate. Exit status 0 when nothing became worse, 1 when
//! something did, 2 when there is nothing to compare.

use std::{path::PathBuf, process::ExitCode};

use anyhow::anyhow;
use clap::{Args, ValueEnum};

use device_model::log;
use irqbed_results::{
    compare::{Comparison, Thresholds, compare, format},
    result::{Document, ReadError},
};

/// Nothing could be compared.
pub(super) const NOTHING: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What it was: a result of `irqbed bench --json`
    base: PathBuf,
    /// What it is now
    new: PathBuf,
    #[command(flatten)]
    gate: Gate,
    /// Compare wall times of different machines, and drivers of different compilers, too
    #[arg(long)]
    across_environments: bool,
    /// The rounds were taken side by side, as those of `irqbed ab --save`
    #[arg(long)]
    side_by_side: bool,
}

/// What is let through, and how that is written.
#[derive(Debug, Args)]
pub(super) struct Gate {
    /// Percent by which a figure may grow; 0.5 for instructions and 5 for wall
    /// time unless given
    #[arg(long, value_name = "PCT", value_parser = percent)]
    threshold: Option<f64>,
    /// How the comparison is written
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// A table of what changed
    Text,
    /// A table of everything, for a job's summary
    Markdown,
    /// Everything, for programs
    Json,
    /// A test case for each figure
    Junit,
    /// The new figures for github-action-benchmark, `customSmallerIsBetter`
    Gab,
    /// The new figures in Bencher Metric Format
    Bmf,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=1000.0).contains(&percent) => Ok(percent),
        _ => Err("give a percentage from 0 to 1000".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let documents = Document::read(&arguments.base)
        .and_then(|base| Document::read(&arguments.new).map(|new| (base, new)));
    match documents {
        Ok((base, new)) => arguments.gate.judge(
            (&base, &new),
            Thresholds {
                across_environments: arguments.across_environments,
                side_by_side: arguments.side_by_side,
                ..Thresholds::default()
            },
            &[],
        ),
        Err(error) => Ok(unusable(&error)),
    }
}

impl Gate {
    /// Writes what comes out of a comparison, with what else there is to note,
    /// and gives the exit status.
    pub(super) fn judge(
        &self,
        (base, new): (&Document, &Document),
        mut thresholds: Thresholds,
        notes: &[String],
    ) -> anyhow::Result<ExitCode> {
        if let Some(percent) = self.threshold {
            thresholds.instructions = percent;
            thresholds.wall = percent;
        }
        let mut comparison = compare(base, new, &thresholds);
        comparison.notes.extend_from_slice(notes);
        super::print(&written(self.format, &comparison, new)?)?;
        if !comparison.says_anything() {
            log::say(format_args!("irqbed: error: nothing could be compared"));
            return Ok(ExitCode::from(NOTHING));
        }
        let worse = comparison.regressions().count();
        if worse > 0 {
            log::say(format_args!("irqbed: error: {worse} figures became worse"));
            return Ok(ExitCode::FAILURE);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn unusable(error: &ReadError) -> ExitCode {
    log::say(format_args!("irqbed: error: {error}"));
    ExitCode::from(NOTHING)
}

fn written(format: Format, comparison: &Comparison, new: &Document) -> anyhow::Result<String> {
    Ok(match format {
        Format::Text => format::text(comparison),
        Format::Markdown => format::markdown(comparison),
        Format::Json => format::json(comparison),
        Format::Junit => format::junit(comparison)
            .map_err(|error| anyhow!("the comparison cannot be written as XML: {error}"))?,
        Format::Gab => format::github_action_benchmark(new),
        Format::Bmf => format::bencher(new),
    })
}
