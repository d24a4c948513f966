// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When the next events are due. The thread that raises sleeps here.

use std::time::{Duration, Instant};

use device_model::{
    GuestTsc, HostTsc,
    event::{EventSource, Seq},
};
use irqbed_machine::{
    interrupt::{self, Interrupted},
    session::{Session, SessionError},
};

use super::{Limit, Plan, QUIET, has_verdict, is_faulty};
use crate::idle::Processors;

/// How often a long wait for the next event looks whether there is a guest.
const LOOK_UP: Duration = Duration::from_millis(100);
/// Sleep of the thread that raises when the guest has enough to do.
const BACK_OFF: Duration = Duration::from_micros(50);
/// A guest that has done nothing for so long finds each event in the same
/// state.
const IDLE: Duration = Duration::from_millis(2);
/// How long an event is waited for that a fault may keep back: the next one
/// brings it.
const QUIET_OF_FAULTS: Duration = Duration::from_millis(50);

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
    /// How long events may not come until they are not waited for.
    patience: Duration,
    /// Looks out for an event that exceeds a limit.
    pub(super) watch: Option<Watch>,
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
            patience: match plan.rate {
                Rate::WhenIdle(_) | Rate::Max { .. } if is_faulty(session.source()) => {
                    QUIET_OF_FAULTS
                }
                _ => QUIET,
            },
            watch: None,
        })
    }

    /// The event that exceeded the limit, if one has.
    pub(super) fn stopped_by(&self) -> Option<Seq> {
        self.watch.as_ref()?.slow
    }

    fn is_over(&mut self, source: &EventSource, last: u64) -> Result<bool, Interrupted> {
        match &mut self.watch {
            Some(watch) => watch.look(source, last).map(|slow| slow.is_some()),
            None => Ok(false),
        }
    }

    /// Sleeps until the next `count` events are due, which come at once. `last`
    /// is the last one raised, 0 for none. Returns at once when an event has
    /// exceeded the limit.
    pub(super) fn wait(
        &mut self,
        source: &EventSource,
        last: u64,
        count: u64,
    ) -> Result<(), Interrupted> {
        let even = |hertz: f64| Duration::from_secs_f64(count as f64 / hertz);
        match self.rate {
            Rate::Hertz(hertz) => self.wait_for_time(source, last, even(hertz), false),
            Rate::Schedule(hertz) => self.wait_for_time(source, last, even(hertz), true),
            Rate::Poisson { hertz, .. } => {
                // The random number is below 1, so its logarithm is finite.
                let gap = -(1.0 - self.random.f64()).ln();
                self.wait_for_time(source, last, even(hertz).mul_f64(gap), true)
            }
            Rate::OneByOne(hertz) => {
                self.wait_for_window(source, last, 1)?;
                self.wait_for_time(source, last, even(hertz), false)
            }
            Rate::WhenIdle(hertz) => {
                self.wait_for_window(source, last, 1)?;
                self.wait_for_time(source, last, even(hertz), false)?;
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
        last: u64,
        gap: Duration,
        keep: bool,
    ) -> Result<(), Interrupted> {
        let now = Instant::now();
        let due = self.due.unwrap_or(now);
        while !self.is_over(source, last)? && Instant::now() < due && source.is_ready() {
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
                None if news.elapsed() > self.patience => self.received = last,
                None if self.is_over(source, last)? => break,
                None => {
                    interrupt::check()?;
                    std::thread::sleep(BACK_OFF);
                }
            }
        }
        Ok(())
    }
}

/// Looks at events in their order for the first one that exceeds a limit.
pub(super) struct Watch {
    limit: Limit,
    /// Every event before this one was looked at.
    next: u64,
    slow: Option<Seq>,
}

impl Watch {
    /// For the events that are raised from now on, less those that warm the
    /// guest up.
    pub(super) fn from_now(limit: Limit, source: &EventSource) -> Self {
        Self {
            limit,
            next: source.last_seq().map_or(0, Seq::get) + 1 + limit.warm_up,
            slow: None,
        }
    }

    /// Looks at the events up to `last` that have arrived. One that has been on
    /// its way for too long is waited for: only its own stamp says when the
    /// process had it.
    fn look(&mut self, source: &EventSource, last: u64) -> Result<Option<Seq>, Interrupted> {
        let mut waited = None;
        while let (None, Some(seq)) = (self.slow, Seq::new(self.next).filter(|_| self.next <= last))
        {
            let slot = source.instrument().event(seq).unwrap_or_default();
            let clock = &self.limit.clock;
            let raise = HostTsc(slot.raise);
            let arrived = slot.user != 0;
            let taken = if arrived {
                clock.host_to_guest(raise, GuestTsc(slot.user))
            } else {
                clock.host_to_host(raise, HostTsc::now())
            };
            let is_slow = u64::try_from(taken).unwrap_or(0) > self.limit.raise_to_user.0;
            // Its ring was full: it will never arrive, and the account says so.
            let never_left = slot.raise == 0;
            if never_left || (arrived && !is_slow) {
                self.next += 1;
            } else if arrived {
                self.slow = Some(seq);
            } else if !is_slow {
                break;
            } else if waited.get_or_insert_with(Instant::now).elapsed() > QUIET {
                self.slow = Some(seq);
            } else {
                interrupt::check()?;
                std::thread::sleep(BACK_OFF);
            }
        }
        Ok(self.slow)
    }
}
