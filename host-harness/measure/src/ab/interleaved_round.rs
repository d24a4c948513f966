// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A round in which both guests are up and take turns, so that both see the same
//! moments of the machine. While one is measured the other is idle; chance says,
//! each time, which goes first.

use std::array;

use irqbed_machine::lines::LineError;
use irqbed_results::result::Document;

use super::{
    AbError, Plan, Side, boots,
    child::{Bench, Ended},
};
use crate::bench_orders::{Answer, OPTION, Order};

/// What became of a round.
pub(super) enum Round {
    /// It was taken; of each side its document.
    Taken(Box<[Document; 2]>),
    /// A side failed, by its place.
    Failed(usize, AbError),
    /// A side does not know of turns, or cannot take them, which it says.
    NoTurns(usize, String),
}

/// Boots both sides, and measures them in so many turns.
pub(super) fn measure(sides: [&Side; 2], plan: &Plan, turns: u32) -> Result<Round, AbError> {
    let started = sides.map(|side| {
        let mut command = boots::command(side, plan);
        let what = format!("cannot run {}", side.program().display());
        let bench = Bench::start(command.args([OPTION.to_owned(), turns.to_string()]));
        bench.map_err(AbError::io(what))
    });
    let [base, new] = started;
    let mut benches = [base?, new?];
    match together(&mut benches, turns) {
        Ok(()) => {}
        Err(Stop::Line(LineError::Interrupted(error))) => return Err(error.into()),
        Err(Stop::Line(LineError::Io(error))) => {
            return Err(AbError::io("cannot talk to the bench of a side")(error));
        }
        Err(Stop::NotTheSame) => {
            let why = "they do not measure the same things in the same order";
            return Err(AbError::Incomparable(why.to_owned()));
        }
        Err(Stop::By(which)) => {
            let [base, new] = benches;
            let [failed, other] = if which == 0 { [base, new] } else { [new, base] };
            let ended = end(failed)?;
            drop(other);
            let error = match boots::document(sides[which], &ended) {
                Err(AbError::Refused { message, .. }) if message.contains(OPTION) => {
                    return Ok(Round::NoTurns(which, message));
                }
                Err(error) => error,
                Ok(_) => AbError::Bench {
                    side: sides[which].to_string(),
                    how: ended.status.to_string(),
                    message: "it did not take the turns that it was told to".to_owned(),
                },
            };
            return Ok(Round::Failed(which, error));
        }
    }
    let mut documents = [None, None];
    for (which, bench) in benches.into_iter().enumerate() {
        match boots::document(sides[which], &end(bench)?) {
            Ok(document) => documents[which] = Some(document),
            Err(error) => return Ok(Round::Failed(which, error)),
        }
    }
    match documents {
        [Some(base), Some(new)] => Ok(Round::Taken(Box::new([base, new]))),
        _ => Err(AbError::Incomparable("there was no round".to_owned())),
    }
}

fn end(bench: Bench) -> Result<Ended, AbError> {
    match bench.end() {
        Ok(Some(ended)) => Ok(ended),
        Ok(None) => Err(irqbed_machine::interrupt::Interrupted.into()),
        Err(LineError::Interrupted(error)) => Err(error.into()),
        Err(LineError::Io(error)) => Err(AbError::io("cannot wait for a bench")(error)),
    }
}

/// Why a round does not go on.
enum Stop {
    /// One of the two has ended, or does something else.
    By(usize),
    /// One of them has more to measure than the other.
    NotTheSame,
    Line(LineError),
}

impl From<LineError> for Stop {
    fn from(error: LineError) -> Self {
        Self::Line(error)
    }
}

fn together(benches: &mut [Bench; 2], turns: u32) -> Result<(), Stop> {
    loop {
        // Both boot at the same time.
        let mut answers = [None, None];
        for (which, bench) in benches.iter_mut().enumerate() {
            answers[which] = bench.answer()?;
            if !matches!(answers[which], Some(Answer::Prepared | Answer::Document)) {
                return Err(Stop::By(which));
            }
        }
        match answers {
            [Some(Answer::Document), Some(Answer::Document)] => return Ok(()),
            [Some(Answer::Prepared), Some(Answer::Prepared)] => {}
            _ => return Err(Stop::NotTheSame),
        }
        let mut at = None;
        for which in by_chance() {
            match ask(&mut benches[which], &Order::Begin(at.take()))? {
                Some(Answer::Ready(placement)) => at = placement,
                _ => return Err(Stop::By(which)),
            }
        }
        for _ in 0..turns {
            for which in by_chance() {
                let answer = ask(&mut benches[which], &Order::Turn)?;
                if answer != Some(Answer::Taken) {
                    return Err(Stop::By(which));
                }
            }
        }
        for which in by_chance() {
            if ask(&mut benches[which], &Order::End)? != Some(Answer::Ended) {
                return Err(Stop::By(which));
            }
        }
    }
}

fn ask(bench: &mut Bench, order: &Order) -> Result<Option<Answer>, LineError> {
    bench.tell(order);
    bench.answer()
}

/// Both places, in an order of chance.
pub(super) fn by_chance() -> [usize; 2] {
    let first = fastrand::usize(..2);
    array::from_fn(|place| if place == 0 { first } else { 1 - first })
}
