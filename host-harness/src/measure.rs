// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs events through a session and reads what they left in their trace slots.
//!
//! Nothing of ours spins while an event is in flight: the thread that raises
//! sleeps between events, and the slots are read when a chunk of events is
//! through.

use std::{
    num::NonZeroU64,
    time::{Duration, Instant},
};

use device_model::{
    GuestTsc, HostTsc,
    event::{EventSource, Outcome, Payload, RaiseError, Seq, Vector},
};
use irqbed_abi::{
    ring::MAX_PAYLOAD,
    trace::{SLOTS, TraceSlot, VERDICT_BAD_PAYLOAD, VERDICT_NONE, VERDICT_OUT_OF_ORDER},
};

use crate::{
    idle::Processors,
    interrupt::{self, Interrupted},
    progress::Progress,
    session::{Session, SessionError},
};

/// Events between two readings of the slots: the slots that are read are
/// never those in use.
const CHUNK: u64 = SLOTS as u64 / 2;
/// How often the end of a chunk is looked for.
const POLL: Duration = Duration::from_millis(2);
/// A chunk with no news for so long, and empty rings, is through: the events
/// that did not arrive never will.
const QUIET: Duration = Duration::from_millis(300);
/// Rings that are not drained for so long belong to a guest that hangs.
const STUCK: Duration = Duration::from_secs(20);
/// How often a long wait for the next event looks whether there is a guest.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Sleep of the thread that raises when the guest has enough to do.
const BACK_OFF: Duration = Duration::from_micros(50);

/// A guest that has done nothing for so long finds each event in the same
/// state.
const IDLE: Duration = Duration::from_millis(2);

/// How fast events are raised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rate {
    /// So many a second, evenly; a late event does not hurry the next.
    Hertz(f64),
    /// So many a second at most, and each only when the one before has arrived
    /// and the guest is idle: every event finds the guest in the same state.
    WhenIdle(f64),
    /// So many a second at most, and each only when the one before has arrived:
    /// for guests that are never idle.
    OneByOne(f64),
    /// As fast as the guest takes them, at most `window` not yet received.
    Max {
        /// Events, at least 1.
        window: u64,
    },
}

/// What to run.
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
}

/// What became of one event.
#[derive(Debug, Clone, Copy)]
pub struct Trace {
    /// When the device raised it; `None` when its ring was full.
    pub raise: Option<HostTsc>,
    /// When the handler took it; `None` when it did not.
    pub isr: Option<GuestTsc>,
    /// When the notifier took it.
    pub notify: Option<GuestTsc>,
    /// When the receiving process had it.
    pub user: Option<GuestTsc>,
    /// What the receiver found, `VERDICT_*`.
    pub verdict: u32,
}

/// What a run left.
#[derive(Debug)]
pub struct Run {
    /// One entry per event raised, in order.
    pub traces: Vec<Trace>,
    /// From the first event to the last.
    pub duration: Duration,
}

impl Run {
    /// Events that the measuring listener received intact and in order.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.count(|trace| trace.verdict == irqbed_abi::trace::VERDICT_OK)
    }

    /// Events whose payload was not what was sent.
    #[must_use]
    pub fn bad_payload(&self) -> u64 {
        self.count(|trace| trace.verdict == VERDICT_BAD_PAYLOAD)
    }

    /// Events that came after a later one of the same vector.
    #[must_use]
    pub fn out_of_order(&self) -> u64 {
        self.count(|trace| trace.verdict == VERDICT_OUT_OF_ORDER)
    }

    fn count(&self, is: impl Fn(&Trace) -> bool) -> u64 {
        self.traces.iter().filter(|trace| is(trace)).count() as u64
    }
}

/// Why a run could not be finished.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The device refused an event.
    #[error("the device refused an event: {0}")]
    Raise(#[from] RaiseError),
    /// The driver no longer takes records.
    #[error("the driver has left {0} records in its rings for {STUCK:?}: the guest hangs")]
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
    debug_assert!(plan.payload <= MAX_PAYLOAD);
    // Sleeps end when they should, not up to 50 us later.
    if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
        tracing::debug!("timer slack stays as it is: {error}");
    }
    progress.phase_of("measure", plan.events);
    let mut traces = Vec::with_capacity(usize::try_from(plan.events).unwrap_or(0));
    let mut pace = Pace::new(plan.rate, session)?;
    let started = Instant::now();
    let mut ended = started;
    let mut done = 0;
    while done < plan.events {
        let count = CHUNK.min(plan.events - done);
        session.alive()?;
        let chunk = match raise_chunk(session.source(), plan, done, count, &mut pace, progress) {
            // A device without a guest refuses too; then the guest is the news.
            Err(error @ MeasureError::Raise(_)) => {
                return Err(session.gone().map_or(error, MeasureError::Session));
            }
            chunk => chunk?,
        };
        ended = Instant::now();
        settle(session, chunk)?;
        let instrument = session.source().instrument();
        traces.extend(chunk.sequence().map(|seq| Trace::of(instrument.event(seq))));
        done += count;
        pace.rest();
    }
    Ok(Run {
        traces,
        duration: ended.duration_since(started),
    })
}

/// Events raised one after the other.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    first: u64,
    last: u64,
}

impl Chunk {
    fn sequence(self) -> impl Iterator<Item = Seq> {
        (self.first..=self.last).filter_map(Seq::new)
    }
}

fn raise_chunk(
    source: &EventSource,
    plan: &Plan,
    done: u64,
    count: u64,
    pace: &mut Pace,
    progress: &Progress,
) -> Result<Chunk, MeasureError> {
    let mut first = None;
    let mut last = 0;
    for index in done..done + count {
        pace.wait(source, last)?;
        let vector = Vector::new((index % u64::from(plan.vectors)) as u32).unwrap_or_default();
        let raised = source.raise(vector, Payload::Pattern(plan.payload))?;
        if raised.outcome == Outcome::RingOverflow {
            tracing::trace!(seq = raised.seq.get(), "ring overflow");
        }
        last = raised.seq.get();
        first.get_or_insert(last);
        progress.at(index + 1);
    }
    Ok(Chunk {
        first: first.unwrap_or(last),
        last,
    })
}

/// Says when the next event is due.
struct Pace {
    rate: Rate,
    processors: Option<Processors>,
    due: Option<Instant>,
    /// Every event up to this one has a verdict.
    received: u64,
}

impl Pace {
    fn new(rate: Rate, session: &Session) -> Result<Self, SessionError> {
        let processors = match rate {
            Rate::WhenIdle(_) => Some(Processors::of(session.qemu_id())?),
            _ => None,
        };
        Ok(Self {
            rate,
            processors,
            due: None,
            received: 0,
        })
    }

    /// The slots were read: the schedule begins anew.
    fn rest(&mut self) {
        self.due = None;
    }

    fn wait(&mut self, source: &EventSource, last: u64) -> Result<(), Interrupted> {
        match self.rate {
            Rate::Hertz(hertz) => self.wait_for_time(source, hertz),
            Rate::OneByOne(hertz) => {
                self.wait_for_window(source, last, 1)?;
                self.wait_for_time(source, hertz)
            }
            Rate::WhenIdle(hertz) => {
                self.wait_for_window(source, last, 1)?;
                self.wait_for_time(source, hertz)?;
                self.processors
                    .as_ref()
                    .map_or(Ok(()), |all| all.wait_until_idle(IDLE))
            }
            Rate::Max { window } => self.wait_for_window(source, last, window),
        }
    }

    /// Sleeps until the next event is due, or the driver or its guest is gone.
    fn wait_for_time(&mut self, source: &EventSource, hertz: f64) -> Result<(), Interrupted> {
        let now = Instant::now();
        let due = self.due.unwrap_or(now);
        while Instant::now() < due && source.is_ready() {
            interrupt::sleep_until(due.min(Instant::now() + LOOK_UP))?;
        }
        self.due = Some(due.max(now) + Duration::from_secs_f64(1.0 / hertz));
        Ok(())
    }

    /// Sleeps while `window` events are on their way. Events arrive in order,
    /// so one that has a verdict settles all before it, lost ones too.
    fn wait_for_window(
        &mut self,
        source: &EventSource,
        last: u64,
        window: u64,
    ) -> Result<(), Interrupted> {
        let oldest_known = last.saturating_sub(window);
        let mut news = Instant::now();
        while last > 0 && last.saturating_sub(self.received) >= window {
            let newest = (self.received.max(oldest_known) + 1..=last)
                .rev()
                .find(|seq| Seq::new(*seq).is_some_and(|seq| has_verdict(source, seq)));
            match newest {
                Some(newest) => {
                    self.received = newest;
                    news = Instant::now();
                }
                None if news.elapsed() > QUIET => self.received = last,
                None => {
                    interrupt::check()?;
                    std::thread::sleep(BACK_OFF);
                }
            }
        }
        Ok(())
    }
}

/// Waits until the events of a chunk have arrived, or never will.
fn settle(session: &mut Session, chunk: Chunk) -> Result<(), MeasureError> {
    let mut news = Instant::now();
    let mut known = (0, 0);
    loop {
        session.alive()?;
        let source = session.source();
        let arrived = arrived(source, chunk);
        let waiting = Vector::all().map(|vector| source.in_flight(vector)).sum();
        if arrived == chunk.last - chunk.first + 1 {
            return Ok(());
        }
        if (arrived, waiting) != known {
            known = (arrived, waiting);
            news = Instant::now();
        }
        if waiting == 0 && news.elapsed() > QUIET {
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
        // Until then a sample tells whether anything moves.
        _ => chunk.sequence().step_by(64).filter(has_verdict).count() as u64,
    }
}

fn has_verdict(source: &EventSource, seq: Seq) -> bool {
    source
        .instrument()
        .event(seq)
        .is_some_and(|slot| slot.verdict != VERDICT_NONE)
}

impl Trace {
    fn of(slot: Option<TraceSlot>) -> Self {
        let slot = slot.unwrap_or_default();
        let stamp = |tsc: u64| (tsc != 0).then_some(tsc);
        Self {
            raise: stamp(slot.raise).map(HostTsc),
            isr: stamp(slot.isr).map(GuestTsc),
            notify: stamp(slot.notify).map(GuestTsc),
            user: stamp(slot.user).map(GuestTsc),
            verdict: slot.verdict,
        }
    }
}
