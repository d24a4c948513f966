// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs events through a session and reads what they left in their trace slots.
//!
//! Nothing of ours spins while an event is in flight: the thread that raises
//! sleeps between events. The slots are read when all events are through; in a
//! run that needs more slots than there are, those of the chunk before the last
//! one raised, by which time its events are through too, and the rate goes on.

mod faulty;
mod pace;
mod run;

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use device_model::event::{EventSource, Payload, RaiseError, Seq, Vector};
use irqbed_abi::{
    ring::MAX_PAYLOAD,
    trace::{SLOTS, VERDICT_NONE},
};
use irqbed_machine::{
    interrupt::Interrupted,
    progress::Progress,
    session::{Session, SessionError},
    span::span,
};
use irqbed_results::units::Nanos;

pub(crate) use faulty::take_late;
pub use pace::Rate;
pub use run::{Run, Trace};

use crate::clock::WallClock;
use faulty::{is_faulty, recovers};
use pace::{Pace, Watch};

/// Events between two readings of the slots: the slots that are read are
/// never those in use.
const CHUNK: u64 = SLOTS as u64 / 2;
/// How often the end of a chunk is looked for.
const POLL: Duration = Duration::from_millis(2);
/// A chunk with no news for so long, and empty rings, is through: the events
/// that did not arrive never will.
const QUIET: Duration = Duration::from_secs(1);
/// Rings that are not drained for so long belong to a guest that hangs.
const STUCK: Duration = Duration::from_secs(20);

/// What to run. The default is what `irqbed bench` does without arguments.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Events, at least 1.
    pub events: u64,
    /// How fast.
    pub rate: Rate,
    /// Payload of each, bytes, at most [`MAX_PAYLOAD`].
    pub payload: u32,
    /// Vectors that take turns, 1 to 32.
    pub vectors: u32,
    /// Events that come at once, with one interrupt, at least 1. The rate
    /// counts events, so bursts are as many times rarer.
    pub burst: u32,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            events: 2000,
            rate: Rate::Hertz(1000.0),
            payload: 16,
            vectors: 1,
            burst: 1,
        }
    }
}

/// A limit for a run in a guest whose kernel [traces
/// itself](Session::start_trace): the first event that takes longer from the
/// device to the process ends the run, and freezes the trace.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    /// What is known of the clocks by now.
    pub clock: WallClock,
    /// How long an event may take.
    pub raise_to_user: Nanos,
    /// Events at the begin that may take as long as they like: they find a guest
    /// in which each piece of code runs for the first time.
    pub warm_up: u64,
}

/// Why a run could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The device refused an event.
    #[error("the device refused an event: {0}")]
    Raise(#[from] RaiseError),
    /// The driver no longer takes records.
    #[error("the driver has left {0} records in its rings for {stuck}: the guest hangs", stuck = span(STUCK))]
    Stuck(u32),
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// Raises the events of a plan and collects their traces.
///
/// # Errors
/// [`MeasureError`]; what was measured until then is lost.
pub fn run(session: &mut Session, plan: &Plan, progress: &Progress) -> Result<Run, MeasureError> {
    run_until(session, plan, None, progress)
}

/// [`run`] that ends early where an event exceeds a limit.
///
/// # Errors
/// [`MeasureError`]; what was measured until then is lost.
pub fn run_until(
    session: &mut Session,
    plan: &Plan,
    limit: Option<Limit>,
    progress: &Progress,
) -> Result<Run, MeasureError> {
    debug_assert!(plan.payload <= MAX_PAYLOAD);
    // Sleeps end when they should, not up to 50 us later.
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        tracing::debug!("timer slack stays as it is: {error}");
    }
    progress.phase_of("measure", plan.events);
    let mut traces = Vec::with_capacity(usize::try_from(plan.events).unwrap_or(0));
    let mut pace = Pace::new(plan, session)?;
    pace.watch = limit.map(|limit| Watch::from_now(limit, session.source()));
    let started = Instant::now();
    let mut ended = started;
    let mut done = 0;
    let mut earlier = None;
    let mut refused = None;
    while done < plan.events && pace.stopped_by().is_none() && refused.is_none() {
        let count = CHUNK.min(plan.events - done);
        session.alive()?;
        let (chunk, why) = raise_chunk(session.source(), plan, done, count, &mut pace, progress)?;
        if let Some(why) = why {
            // A device without a guest refuses too; then the guest is the news.
            if let Some(gone) = session.gone() {
                return Err(gone.into());
            }
            if !is_faulty(session.source()) {
                return Err(why.into());
            }
            refused = Some(why);
        }
        ended = Instant::now();
        done += count;
        let Some(chunk) = chunk else {
            break;
        };
        if let Some(earlier) = earlier.replace(chunk) {
            // What came later has arrived: so has all before it that ever will.
            if !any_arrived(session.source(), chunk) {
                settle(session, earlier)?;
            }
            traces.extend(read_traces(session.source(), earlier));
        }
    }
    if let Some(slow) = pace.stopped_by() {
        // What happened until it arrived belongs to the trace, and no more.
        let slow = slow.get();
        settle(
            session,
            Chunk {
                first: slow,
                last: slow,
            },
        )?;
        session.freeze_trace()?;
    }
    if let Some(last) = earlier {
        settle(session, last)?;
        traces.extend(read_traces(session.source(), last));
    }
    Ok(Run {
        traces,
        duration: ended.duration_since(started),
        stopped_by: pace.stopped_by(),
        refused,
        late: 0,
    })
}

fn read_traces(source: &EventSource, chunk: Chunk) -> impl Iterator<Item = Trace> {
    chunk.sequence().map(|seq| Trace::of(source, seq))
}

/// Events raised one after the other.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    first: u64,
    last: u64,
}

impl Chunk {
    fn sequence(self) -> impl DoubleEndedIterator<Item = Seq> {
        (self.first..=self.last).filter_map(Seq::new)
    }
}

/// Raises events one after the other, fewer where a limit is exceeded or the
/// device takes no more, and why; `None` for none at all.
fn raise_chunk(
    source: &EventSource,
    plan: &Plan,
    done: u64,
    count: u64,
    pace: &mut Pace,
    progress: &Progress,
) -> Result<(Option<Chunk>, Option<RaiseError>), MeasureError> {
    let mut first = None;
    let mut last = 0;
    let mut index = done;
    let mut refused = None;
    while index < done + count {
        let burst = u64::from(plan.burst).min(done + count - index);
        pace.wait(source, last, burst)?;
        if pace.stopped_by().is_some() {
            break;
        }
        let turn = index / u64::from(plan.burst) % u64::from(plan.vectors);
        let vector = Vector::new(turn as u32).unwrap_or_default();
        let known = source.last_seq().map_or(0, Seq::get);
        match source.raise_burst(vector, Payload::Pattern(plan.payload), burst as u32) {
            Ok(raised) => {
                if raised.overflows > 0 {
                    tracing::trace!(?raised, "ring overflow");
                }
                last = raised.last.get();
                first.get_or_insert(raised.first.get());
            }
            Err(error) => {
                // What has a number was raised.
                let newest = source.last_seq().map_or(0, Seq::get);
                if newest > known {
                    last = newest;
                    first.get_or_insert(known + 1);
                }
                if !recovers(source)? {
                    refused = Some(error);
                    break;
                }
            }
        }
        index += burst;
        progress.at(index);
    }
    Ok((first.map(|first| Chunk { first, last }), refused))
}

/// One event of so many is looked at to see whether a chunk moves.
const SAMPLE: usize = 64;

/// Waits until the events of a chunk have arrived, and the replies to them, or
/// never will.
fn settle(session: &mut Session, chunk: Chunk) -> Result<(), MeasureError> {
    let mut news = Instant::now();
    let mut known = (0, 0, 0);
    loop {
        session.alive()?;
        let source = session.source();
        let arrived = arrived(source, chunk);
        let waiting = Vector::all().map(|vector| source.in_flight(vector)).sum();
        let all = arrived == chunk.last - chunk.first + 1;
        // Each event has to be looked at: not while they come.
        let replies = if all {
            replies_under_way(source, chunk)
        } else {
            0
        };
        if all && replies == 0 {
            return Ok(());
        }
        if (arrived, waiting, replies) != known {
            known = (arrived, waiting, replies);
            news = Instant::now();
        }
        // A record that a fault has spoilt may lie there for ever.
        if news.elapsed() > QUIET && (waiting == 0 || is_faulty(session.source())) {
            return Ok(());
        }
        if news.elapsed() > STUCK {
            return Err(MeasureError::Stuck(waiting));
        }
        std::thread::sleep(POLL);
    }
}

/// Events of a chunk that have a verdict. Verdicts come in order, so the last
/// one usually answers for all.
fn arrived(source: &EventSource, chunk: Chunk) -> u64 {
    let has_verdict = |seq: &Seq| has_verdict(source, *seq);
    match Seq::new(chunk.last) {
        Some(last) if has_verdict(&last) => chunk.sequence().filter(has_verdict).count() as u64,
        // Until then a sample tells whether anything moves, and those behind
        // the last of it whether anything moves slowly.
        _ => {
            let sample = chunk.sequence().step_by(SAMPLE).filter(has_verdict);
            let (count, newest) = sample.fold((0, chunk.first), |(count, _), seq| {
                (count + 1, seq.get() + 1)
            });
            let behind = Chunk {
                first: newest,
                last: chunk.last,
            };
            count + behind.sequence().take(SAMPLE).filter(has_verdict).count() as u64
        }
    }
}

fn any_arrived(source: &EventSource, chunk: Chunk) -> bool {
    chunk.sequence().rev().any(|seq| has_verdict(source, seq))
}

/// Replies that were made and that the device has not seen: a write to it is
/// posted, the process does not wait for its arrival.
fn replies_under_way(source: &EventSource, chunk: Chunk) -> u64 {
    let under_way = |seq: &Seq| {
        let slot = source.instrument().event(*seq);
        slot.is_some_and(|slot| slot.reply != 0) && source.replied(*seq).is_none()
    };
    chunk.sequence().filter(under_way).count() as u64
}

fn has_verdict(source: &EventSource, seq: Seq) -> bool {
    source
        .instrument()
        .event(seq)
        .is_some_and(|slot| slot.verdict != VERDICT_NONE)
}
