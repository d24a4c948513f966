// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When the next events are due. The thread that raises sleeps here.

use std::time::{Duration, Instant};

use device_model::event::{EventSource, Seq};

use super::{Plan, QUIET, has_verdict};
use crate::{
    idle::Processors,
    interrupt::{self, Interrupted},
    session::{Session, SessionError},
};

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
    /// So many a second, evenly, on a schedule that waits for nobody: what is
    /// late is raised at once.
    Schedule(f64),
    /// So many a second on average, each independent of the others: the gaps
    /// are distributed exponentially. On a schedule, too.
    Poisson {
        /// Events a second.
        hertz: f64,
        /// Of the random numbers; the same gives the same gaps.
        seed: u64,
    },
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

impl Rate {
    /// Events a second, where that is what limits it.
    #[must_use]
    pub const fn hertz(self) -> Option<f64> {
        match self {
            Self::Hertz(hertz)
            | Self::Schedule(hertz)
            | Self::Poisson { hertz, .. }
            | Self::WhenIdle(hertz)
            | Self::OneByOne(hertz) => Some(hertz),
            Self::Max { .. } => None,
        }
    }
}

/// Says when the next events are due.
pub(super) struct Pace {
    rate: Rate,
    processors: Option<Processors>,
    random: fastrand::Rng,
    due: Option<Instant>,
    /// Every event up to this one has a verdict, or never will.
    received: u64,
}

impl Pace {
    pub(super) fn new(plan: &Plan, session: &Session) -> Result<Self, SessionError> {
        let processors = match plan.rate {
            Rate::WhenIdle(_) => Some(Processors::of(session.qemu_id())?),
            _ => None,
        };
        let seed = match plan.rate {
            Rate::Poisson { seed, .. } => seed,
            _ => 0,
        };
        Ok(Self {
            rate: plan.rate,
            processors,
            random: fastrand::Rng::with_seed(seed),
            due: None,
            received: 0,
        })
    }

    /// Sleeps until the next `count` events are due, which come at once. `last`
    /// is the last one raised, 0 for none.
    pub(super) fn wait(
        &mut self,
        source: &EventSource,
        last: u64,
        count: u64,
    ) -> Result<(), Interrupted> {
        let even = |hertz: f64| Duration::from_secs_f64(count as f64 / hertz);
        match self.rate {
            Rate::Hertz(hertz) => self.wait_for_time(source, even(hertz), false),
            Rate::Schedule(hertz) => self.wait_for_time(source, even(hertz), true),
            Rate::Poisson { hertz, .. } => {
                // The random number is below 1, so its logarithm is finite.
                let gap = -(1.0 - self.random.f64()).ln();
                self.wait_for_time(source, even(hertz).mul_f64(gap), true)
            }
            Rate::OneByOne(hertz) => {
                self.wait_for_window(source, last, 1)?;
                self.wait_for_time(source, even(hertz), false)
            }
            Rate::WhenIdle(hertz) => {
                self.wait_for_window(source, last, 1)?;
                self.wait_for_time(source, even(hertz), false)?;
                self.processors
                    .as_ref()
                    .map_or(Ok(()), |all| all.wait_until_idle(IDLE))
            }
            Rate::Max { window } => self.wait_for_window(source, last, window),
        }
    }

    /// Sleeps until the moment is there, or the driver or its guest is gone.
    /// The next one is `gap` later: later than planned, or, where there is no
    /// schedule to `keep`, than this one was.
    fn wait_for_time(
        &mut self,
        source: &EventSource,
        gap: Duration,
        keep: bool,
    ) -> Result<(), Interrupted> {
        let now = Instant::now();
        let due = self.due.unwrap_or(now);
        while Instant::now() < due && source.is_ready() {
            interrupt::sleep_until(due.min(Instant::now() + LOOK_UP))?;
        }
        self.due = Some(if keep { due } else { due.max(now) } + gap);
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
