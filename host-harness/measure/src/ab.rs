// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Two states of the sources side by side: each is built by itself, and their
//! own benches are measured in turns, so that whatever the machine does
//! meanwhile happens to both. Chance says which of a pair goes first.

mod boots;
mod build;
mod child;
mod interleaved_round;
mod side;

use std::{io, path::PathBuf, time::Instant};

use irqbed_machine::{
    host::program::ProgramError, interrupt::Interrupted, progress::Progress, qemu::ClockKind,
};
use irqbed_results::{
    compare::incomparable,
    result::{Document, ReadError},
};

pub use build::build;
pub use side::{Side, Sources};

use interleaved_round::{Round, by_chance};

/// Boots that fail, or whose clock is not good enough, are made again at least
/// so often, for all the rounds together, or once for each round: a machine that
/// is busy may do that to them.
const AGAIN: usize = 10;
/// Boots of a side that fail one after the other are its own fault.
const FAILURES: u32 = 2;

/// Why a boot is made again.
const BAD_CLOCK: &str = "its clock was not good enough";

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
    /// Turns that the guests of a round take; `None` for one after the other.
    pub turns: Option<u32>,
    /// What the guest's clock counts.
    pub clock: ClockKind,
    /// More arguments for the bench of each side.
    pub arguments: Vec<String>,
}

/// What was measured.
#[derive(Debug, Default)]
pub struct Measured {
    /// Rounds that are whole.
    pub rounds: u32,
    /// Of each side, with a result of every round; the first round of one was
    /// taken beside the first of the other. `None` without any round.
    pub documents: Option<[Document; 2]>,
    /// Boots that were made again, and why, and what else there is to say, one
    /// sentence each.
    pub notes: Vec<String>,
    /// Boots that were made again.
    again: usize,
}

/// Measures both sides in turns, and adds each round to what was `measured`.
///
/// # Errors
/// [`AbError`]; nothing is left running, and the rounds that were whole are kept.
pub fn run(
    sides: [&Side; 2],
    plan: &Plan,
    progress: &Progress,
    measured: &mut Measured,
) -> Result<(), AbError> {
    for side in sides {
        if !side.program().is_file() {
            let (side, program) = (side.to_string(), side.program());
            return Err(AbError::NotBuilt { side, program });
        }
    }
    let mut turns = plan.turns;
    let started = Instant::now();
    progress.rounds("measure", u64::from(plan.rounds));
    while measured.rounds < plan.rounds {
        let pair = match turns {
            Some(count) => match in_turns(sides, plan, count, measured)? {
                Some(pair) => pair,
                None => {
                    turns = None;
                    continue;
                }
            },
            None => one_after_the_other(sides, plan, measured)?,
        };
        measured.take(pair);
        progress.rounds_at(u64::from(measured.rounds), started.elapsed());
        // Better said now than after all the rounds.
        if let Some([base, new]) = &measured.documents
            && let Some(why) = incomparable(base, new, plan.rounds as usize)
        {
            let busy = match measured.again {
                0 => String::new(),
                boots => format!(" ({boots} boots were made again: is the machine too busy?)"),
            };
            return Err(AbError::Incomparable(why + &busy));
        }
    }
    Ok(())
}

impl Measured {
    fn take(&mut self, pair: [Document; 2]) {
        self.rounds += 1;
        match &mut self.documents {
            Some(documents) => {
                for (document, round) in documents.iter_mut().zip(pair) {
                    document.results.extend(round.results);
                }
            }
            none => *none = Some(pair),
        }
    }

    /// Whether a boot that was in vain must not be made again.
    fn is_last(&self, plan: &Plan) -> bool {
        self.again >= AGAIN.max(plan.rounds as usize)
    }

    fn again(&mut self, side: &Side, why: &str) {
        tracing::info!("a boot of the {side} is made again: {why}");
        self.again += 1;
        self.notes
            .push(format!("a boot of the {side} was made again: {why}"));
    }
}

/// A round whose guests take turns; `None` where a side cannot.
fn in_turns(
    sides: [&Side; 2],
    plan: &Plan,
    turns: u32,
    measured: &mut Measured,
) -> Result<Option<[Document; 2]>, AbError> {
    let mut failures = [0; 2];
    loop {
        let last = measured.is_last(plan);
        match interleaved_round::measure(sides, plan, turns)? {
            Round::Taken(pair) => {
                match pair.iter().position(|document| !has_good_clock(document)) {
                    Some(which) if !last => measured.again(sides[which], BAD_CLOCK),
                    _ => return Ok(Some(*pair)),
                }
            }
            Round::Failed(which, error @ AbError::Bench { .. }) => {
                failures[which] += 1;
                if last || failures[which] == FAILURES {
                    return Err(error);
                }
                measured.again(sides[which], &error.to_string());
            }
            Round::Failed(_, error) => return Err(error),
            Round::NoTurns(which, message) => {
                measured.notes.push(format!(
                    "the guests did not take turns, one boot followed the other: the bench of the \
                     {} says, {message}",
                    sides[which]
                ));
                return Ok(None);
            }
        }
    }
}

/// A round of boots one after the other.
fn one_after_the_other(
    sides: [&Side; 2],
    plan: &Plan,
    measured: &mut Measured,
) -> Result<[Document; 2], AbError> {
    let mut pair = [None, None];
    for which in by_chance() {
        pair[which] = Some(alone(sides[which], plan, measured)?);
    }
    match pair {
        [Some(base), Some(new)] => Ok([base, new]),
        _ => Err(AbError::Incomparable("there was no round".to_owned())),
    }
}

/// One boot of a side.
fn alone(side: &Side, plan: &Plan, measured: &mut Measured) -> Result<Document, AbError> {
    let mut failures = 0;
    loop {
        let last = measured.is_last(plan);
        match boots::run(side, plan) {
            Ok(document) if last || has_good_clock(&document) => return Ok(document),
            Ok(_) => measured.again(side, BAD_CLOCK),
            Err(error @ AbError::Bench { .. }) if !last && failures + 1 < FAILURES => {
                failures += 1;
                measured.again(side, &error.to_string());
            }
            Err(error) => return Err(error),
        }
    }
}

fn has_good_clock(document: &Document) -> bool {
    let mut results = document.results.iter();
    results.all(|result| result.clock.is_valid())
}
