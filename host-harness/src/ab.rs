// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two states of the sources side by side: each is built by itself, and their
//! own benches run in turns, a boot each, so that whatever the machine does
//! meanwhile happens to both. Chance says which of a pair goes first.

mod build;
mod child;
mod side;

use std::{io, path::PathBuf, process::Command};

pub use build::build;
pub use side::{Side, Sources};

use crate::{
    compare::incomparable,
    environment::program::ProgramError,
    interrupt::Interrupted,
    progress::Progress,
    qemu::ClockKind,
    result::{Document, ReadError, RunResult},
};
use child::Ended;

/// Boots that fail, or whose clock is not good enough, are made again at least
/// so often, for all the rounds together, or once for each round: a machine that
/// is busy may do that to them.
const AGAIN: usize = 10;
/// Boots of a side that fail one after the other are its own fault.
const FAILURES: u32 = 2;

/// Why two sides could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum AbError {
    /// A folder without sources.
    #[error("{0} holds no sources of irqbed: there is no {path} in it", path = side::MARK)]
    NoSources(PathBuf),
    /// Neither a folder nor a revision.
    #[error("{name:?} is neither a folder nor a revision: {why}")]
    Unknown {
        /// What was given.
        name: String,
        /// Why it is no revision.
        why: String,
    },
    /// A revision from before there was anything to measure.
    #[error("the revision {0} holds no sources of irqbed: there is no {path} in it", path = side::MARK)]
    EmptyRevision(String),
    /// Git failed.
    #[error(transparent)]
    Git(#[from] ProgramError),
    /// A folder where nothing was fetched or built.
    #[error("{0} is not set up: run `./just setup` in it")]
    NotSetUp(PathBuf),
    /// A side that was never built.
    #[error("the {side} is not built: there is no {program}; leave out --no-build")]
    NotBuilt {
        /// Which one.
        side: String,
        /// Its own `irqbed`.
        program: PathBuf,
    },
    /// A side does not build.
    #[error("the {side} does not build; its log, {log}, ends: {end}")]
    Build {
        /// Which one.
        side: String,
        /// What the build said.
        log: PathBuf,
        /// The last lines of it.
        end: String,
    },
    /// The bench of a side refuses its arguments.
    #[error("the bench of the {side} does not take these arguments: {message}")]
    Refused {
        /// Which one.
        side: String,
        /// What it said.
        message: String,
    },
    /// The bench of a side failed.
    #[error("the bench of the {side} failed ({how}): {message}")]
    Bench {
        /// Which one.
        side: String,
        /// Its exit status.
        how: String,
        /// What it said.
        message: String,
    },
    /// The bench of a side wrote something else than a result.
    #[error(transparent)]
    Result(#[from] ReadError),
    /// The sides are different things.
    #[error("the sides cannot be compared: {0}")]
    Incomparable(String),
    /// A file or a process.
    #[error("{what}: {error}")]
    Io {
        /// What was to be done.
        what: String,
        /// Why it was not.
        error: io::Error,
    },
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl AbError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |error| Self::Io { what, error }
    }
}

/// What is measured on both sides.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Boots of each side.
    pub rounds: u32,
    /// What the guest's clock counts.
    pub clock: ClockKind,
    /// More arguments for the bench of each side.
    pub arguments: Vec<String>,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Of each side, with a result of every round; the first round of one was
    /// taken beside the first of the other.
    pub documents: [Document; 2],
    /// Boots that were made again, and why, one sentence each.
    pub notes: Vec<String>,
}

/// Measures both sides in turns.
///
/// # Errors
/// [`AbError`]; nothing is left running, and what was measured is lost.
pub fn run(sides: [&Side; 2], plan: &Plan, progress: &Progress) -> Result<Measured, AbError> {
    for side in sides {
        if !side.program().is_file() {
            let (side, program) = (side.to_string(), side.program());
            return Err(AbError::NotBuilt { side, program });
        }
    }
    progress.phase_of("measure", 2 * u64::from(plan.rounds));
    let mut documents = [None, None];
    let mut notes = Vec::new();
    for round in 0..plan.rounds {
        let first = fastrand::usize(..2);
        for (place, which) in [first, 1 - first].into_iter().enumerate() {
            let document = bench(sides[which], plan, &mut notes)?;
            merge(&mut documents[which], document);
            progress.at(2 * u64::from(round) + place as u64 + 1);
        }
        // Better said now than after all the rounds.
        if let [Some(base), Some(new)] = &documents
            && let Some(why) = incomparable(base, new, plan.rounds as usize)
        {
            let busy = match notes.len() {
                0 => String::new(),
                boots => format!(" ({boots} boots were made again: is the machine too busy?)"),
            };
            return Err(AbError::Incomparable(why + &busy));
        }
    }
    match documents {
        [Some(base), Some(new)] => Ok(Measured {
            documents: [base, new],
            notes,
        }),
        _ => Err(AbError::Incomparable("there was no round".to_owned())),
    }
}

fn merge(into: &mut Option<Document>, round: Document) {
    match into {
        Some(document) => document.results.extend(round.results),
        None => *into = Some(round),
    }
}

/// One boot of a side; notes each that was in vain.
fn bench(side: &Side, plan: &Plan, notes: &mut Vec<String>) -> Result<Document, AbError> {
    let mut failures = 0;
    loop {
        let last = notes.len() >= AGAIN.max(plan.rounds as usize);
        let mut command = Command::new(side.program());
        command
            .current_dir(side.root())
            .args(["bench", "--json", "-", "--clock"])
            .arg(match plan.clock {
                ClockKind::Wall => "wall",
                ClockKind::Instructions => "instructions",
            })
            .args(&plan.arguments)
            .args(side.arguments());
        let what = format!("cannot run {}", side.program().display());
        let ended = child::run(&mut command, what)?;
        let why = match document(side, &ended) {
            Ok(document) if last || document.results.iter().all(good_clock) => {
                return Ok(document);
            }
            Ok(_) => "its clock was not good enough".to_owned(),
            Err(error @ AbError::Bench { .. }) if !last && failures + 1 < FAILURES => {
                failures += 1;
                error.to_string()
            }
            Err(error) => return Err(error),
        };
        tracing::info!("a boot of the {side} is made again: {why}");
        notes.push(format!("a boot of the {side} was made again: {why}"));
    }
}

fn good_clock(result: &RunResult) -> bool {
    result.clock.is_valid()
}

/// What a bench has written. One that has found a fault in its figures has
/// written them all the same.
fn document(side: &Side, ended: &Ended) -> Result<Document, AbError> {
    let side = || side.to_string();
    let message = || {
        let mut lines = ended.stderr.lines().map(str::trim);
        let errors = ["irqbed: error: ", "error: "];
        let line = lines.find_map(|line| errors.iter().find_map(|mark| line.strip_prefix(mark)));
        line.unwrap_or("it said nothing").to_owned()
    };
    match ended.status.code() {
        Some(0) => {}
        Some(1) if !ended.stdout.is_empty() => {}
        Some(2) => {
            let (side, message) = (side(), message());
            return Err(AbError::Refused { side, message });
        }
        _ => {
            return Err(AbError::Bench {
                side: side(),
                how: ended.status.to_string(),
                message: message(),
            });
        }
    }
    let name = PathBuf::from(format!("the result of the {}", side()));
    Ok(Document::from_json(&name, ended.stdout.as_bytes())?)
}
