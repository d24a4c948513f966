// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A bench that follows orders, so that it can take turns with another one. Both
//! guests are up, and the one who compares them says whose turn it is: a line of
//! JSON for each order, and one for each answer. Between two turns nothing of a
//! side runs but what its idle guest does by itself.

use std::{
    cell::RefCell,
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    time::Instant,
};

use irqbed_machine::{
    lines::{LineError, Lines},
    progress::Progress,
    session::Session,
};
use irqbed_results::{
    placement::Placement,
    result::{RunResult, TurnMedians},
    stages::StageHistograms,
    units::{Nanos, Unit},
};
use serde::{Deserialize, Serialize};

use crate::{
    bench::{Bench, BenchError, Recorded, stamps::sample},
    measure::{self, Run},
    pin::Pin,
};

/// The option of a bench that takes turns.
pub const OPTION: &str = "--in-turns";

/// What the one who compares wants done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Calibrate the clock and be ready, where the other side is ready already
    /// with its threads at the same place.
    Begin(Option<Placement>),
    /// Take a turn.
    Turn,
    /// Calibrate again; that was all of this bench.
    End,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The guest is up and the driver has the device. Answers nothing: it comes
    /// once for each bench.
    Prepared,
    /// Answer to [`Order::Begin`]: where the threads are.
    Ready(Option<Placement>),
    /// Answer to [`Order::Turn`].
    Taken,
    /// Answer to [`Order::End`].
    Ended,
    /// There is no further bench; what follows to the end is the document.
    Document,
}

/// Orders that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum TurnError {
    /// Whoever gives the orders is gone, or the user wants to stop.
    #[error("no order came: {0}")]
    Line(#[from] LineError),
    /// There is no more to come.
    #[error("the orders have ended early")]
    End,
    /// Something else than what comes next.
    #[error("{0:?} is no order that can be followed now")]
    Order(String),
    /// An answer was not taken.
    #[error("cannot answer: {0}")]
    Answer(#[source] io::Error),
}

/// The side that takes turns, by standard input and output.
#[derive(Debug)]
pub struct Turns {
    orders: RefCell<Lines<File>>,
    /// Turns that the events of a bench are divided into.
    count: u64,
}

impl Turns {
    /// Takes turns, so many for all the events of a bench.
    ///
    /// # Errors
    /// When there is no standard input.
    pub fn by_standard_input(count: u32) -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        Ok(Self {
            orders: RefCell::new(Lines::new(input.into())),
            count: u64::from(count.max(1)),
        })
    }

    fn order(&self) -> Result<Order, TurnError> {
        let line = self.orders.borrow_mut().line()?.ok_or(TurnError::End)?;
        serde_json::from_str(&line).map_err(|_| TurnError::Order(line))
    }

    /// Says what was done.
    ///
    /// # Errors
    /// [`TurnError::Answer`].
    pub fn answer(&self, answer: &Answer) -> Result<(), TurnError> {
        let write = || -> io::Result<()> {
            let mut stdout = io::stdout().lock();
            serde_json::to_writer(&mut stdout, answer)?;
            stdout.write_all(b"\n")?;
            stdout.flush()
        };
        write().map_err(TurnError::Answer)
    }

    /// [`Bench::run`] in turns.
    ///
    /// # Errors
    /// [`BenchError`].
    pub fn run(
        &self,
        bench: &Bench,
        session: &mut Session,
        progress: &Progress,
    ) -> Result<RunResult, BenchError> {
        self.answer(&Answer::Prepared)?;
        let beside = match self.order()? {
            Order::Begin(beside) => beside,
            order => return Err(out_of_place(&order)),
        };
        let mut bench = bench.clone();
        let placement = match (&bench.pin, beside) {
            (Pin::Auto, Some(beside)) => Some(beside),
            _ => bench.pin.placement(&bench),
        };
        bench.pin = placement.as_ref().map_or(Pin::None, at);
        bench.plan.events = bench.plan.events.div_ceil(self.count);

        let mut lengths = Vec::new();
        let mut recorded = bench.record(session, progress, |session, _| {
            session.disturb(None)?;
            self.answer(&Answer::Ready(placement))?;
            let started = Instant::now();
            let mut all = Run::default();
            loop {
                match self.order()? {
                    Order::Turn => {}
                    Order::End => break,
                    order @ Order::Begin(_) => return Err(out_of_place(&order)),
                }
                session.disturb(bench.load)?;
                let run = measure::run(session, &bench.plan, progress)?;
                session.disturb(None)?;
                lengths.push(run.traces.len());
                all.traces.extend(run.traces);
                all.duration = started.elapsed();
                self.answer(&Answer::Taken)?;
            }
            Ok(all)
        })?;
        recorded.result.turns = Some(medians(&recorded, &lengths));
        self.answer(&Answer::Ended)?;
        Ok(recorded.result)
    }
}

/// To where another run was, or this one shall be.
fn at(placement: &Placement) -> Pin {
    let first = [placement.raise, placement.main_loop].into_iter();
    Pin::To(first.chain(placement.vcpus.iter().copied()).collect())
}

fn out_of_place(order: &Order) -> BenchError {
    TurnError::Order(format!("{order:?}")).into()
}

/// The median of each stage in each turn.
fn medians(recorded: &Recorded, lengths: &[usize]) -> TurnMedians {
    let mut medians = TurnMedians::default();
    let mut traces = recorded.run.traces.iter();
    for (turn, &length) in lengths.iter().enumerate() {
        let mut stages = StageHistograms::new(Unit::Nanoseconds);
        let of_turn = traces.by_ref().take(length);
        stages.extend(of_turn.map(|trace| sample(trace, recorded.clock.as_ref())));
        for (stage, distribution) in stages.iter() {
            let of_stage = medians
                .entry(stage)
                .or_insert_with(|| vec![None; lengths.len()]);
            if let Some(entry) = of_stage.get_mut(turn) {
                *entry = distribution.percentile(500).map(Nanos);
            }
        }
    }
    medians
}
