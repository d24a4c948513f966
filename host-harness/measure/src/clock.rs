// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the guest's time stamps to the host's.
//!
//! Host and guest read the same counter; the guest's differs by a constant.
//! For each exchange of a calibration the host notes the time, writes a ping,
//! waits for the guest's pong with the guest's time in it, and notes the time
//! again. The guest's reading was taken between the two, whatever delayed
//! either side, so each exchange bounds the constant from both sides and the
//! intersection of all bounds holds for certain.

mod policy;

use std::{
    hint,
    time::{Duration, Instant},
};

use device_model::{GuestTsc, HostTsc, event::Instrument};
use irqbed_machine::{
    interrupt,
    session::{Session, SessionError},
    span::span,
};
use irqbed_results::units::Nanos;
use rustix::time::{ClockId, clock_gettime};

use crate::{bench::CLAIM, pin::Pinned};
use policy::{Exchange, Outcome, Peer, Policy};

/// A calibration ends by then, whatever it has got.
const LIMIT: Duration = Duration::from_secs(60);
/// Two calibrations that are each known to its `enough` are within [`CLAIM`]: the
/// bound of the run is the worse of them and half their drift, which is at most both.
const POLICY: Policy = Policy {
    exchanges: 20_000,
    good: Nanos(200),
    patience: Duration::from_secs(5),
    enough: Nanos(400),
    limit: LIMIT,
};
/// A guest that has not answered a ping by then hangs. The guest gives the host as long.
const SILENCE: Duration = Duration::from_secs(5);
const _: () = assert!(2 * POLICY.enough.0 <= CLAIM.0);

/// What is known of guest time minus host time, in cycles: `low ..= high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Offset {
    low: i64,
    high: i64,
}

impl Offset {
    const UNKNOWN: Self = Self {
        low: i64::MIN,
        high: i64::MAX,
    };

    /// Takes an exchange in: the guest read its clock between two readings of the host's.
    #[must_use]
    fn narrowed(self, exchange: Exchange) -> Self {
        let minus = |host: HostTsc| exchange.guest.0.wrapping_sub(host.0).cast_signed();
        Self {
            low: self.low.max(minus(exchange.after)),
            high: self.high.min(minus(exchange.before)),
        }
    }

    /// The middle, and how far it can be off, cycles; `None` when nothing is
    /// known or the bounds contradict each other.
    fn estimate(self) -> Option<(i64, u64)> {
        let width = u64::try_from(self.high.checked_sub(self.low)?).ok()?;
        let middle = self.low.checked_add_unsigned(width / 2)?;
        Some((middle, width.div_ceil(2)))
    }
}

/// The clock could not be calibrated.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// The guest did not answer pings.
    #[error(
        "the guest answered none of the calibration pings within {}",
        span(SILENCE)
    )]
    NoExchange,
    /// The offset is not known well enough.
    #[error(
        "host and guest clocks cannot be compared better than to {bound} in {limit} of calibration, and a \
         result claims {CLAIM}: the host is too busy, or has one processor for both; stop what \
         else runs, or count instructions (--clock instructions)",
        limit = span(LIMIT)
    )]
    TooLoose {
        /// The error bound.
        bound: Nanos,
    },
    /// The session failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

/// One calibration: the offset, and when it was taken.
#[derive(Debug, Clone, Copy)]
pub struct Calibration {
    /// Guest time minus host time, cycles.
    pub offset: i64,
    /// How far the offset can be off, cycles.
    pub bound: u64,
    /// When it was taken, on both of the host's clocks: the counter, and
    /// `CLOCK_MONOTONIC_RAW`.
    pub at: (HostTsc, Duration),
}

impl Calibration {
    /// Plays ping-pong with the guest until the offset is known well, and gives up after
    /// a minute with what it has. Both sides spin meanwhile, so no event may be in
    /// flight; each is kept on processors of its own, where there are two.
    ///
    /// # Errors
    /// [`ClockError`].
    pub fn take(session: &mut Session) -> Result<Self, ClockError> {
        let apart = Pinned::apart(session.qemu_id()).unwrap_or_else(|error| {
            tracing::debug!("the calibration is not pinned: {error}");
            None
        });
        let Outcome { known, count } = session.while_calibrating(|source| {
            let instrument = source.instrument();
            instrument.clear_pings();
            let outcome = POLICY.play(&mut Guest::new(instrument));
            instrument.ping_stop();
            outcome
        })?;
        drop(apart);
        interrupt::check().map_err(SessionError::from)?;
        let (offset, bound) = known.estimate().ok_or(ClockError::NoExchange)?;
        tracing::debug!(offset, bound, count, "calibrated");
        Ok(Self {
            offset,
            bound,
            at: moment(),
        })
    }

    /// Makes sure that a run can be timed by it.
    ///
    /// # Errors
    /// [`ClockError::TooLoose`].
    pub fn ensure_good(self) -> Result<Self, ClockError> {
        // Over the shortest time the rate is known by the calibration of now.
        let bound = WallClock::since(&self).error_bound;
        match bound <= CLAIM {
            true => Ok(self),
            false => Err(ClockError::TooLoose { bound }),
        }
    }
}

/// The guest as a peer of exchanges, by the words in shared memory.
struct Guest<'a> {
    instrument: &'a Instrument,
    number: u64,
    began: (Instant, HostTsc),
}

impl<'a> Guest<'a> {
    fn new(instrument: &'a Instrument) -> Self {
        Self {
            instrument,
            number: 0,
            began: (Instant::now(), HostTsc::now()),
        }
    }
}

impl Peer for Guest<'_> {
    fn exchange(&mut self) -> Option<Exchange> {
        interrupt::check().ok()?;
        self.number += 1;
        let started = Instant::now();
        let before = HostTsc::now();
        self.instrument.ping(self.number);
        loop {
            let pong = self.instrument.pong();
            if pong.number == self.number {
                return Some(Exchange {
                    before,
                    guest: pong.tsc,
                    after: HostTsc::now(),
                });
            }
            if started.elapsed() >= SILENCE || interrupt::check().is_err() {
                return None;
            }
            hint::spin_loop();
        }
    }

    fn elapsed(&self) -> Duration {
        self.began.0.elapsed()
    }

    fn nanos(&self, cycles: u64) -> Nanos {
        let passed = HostTsc::now().0.saturating_sub(self.began.1.0).max(1);
        let rate = self.elapsed().as_nanos() as f64 / passed as f64;
        Nanos((cycles as f64 * rate).ceil() as u64)
    }
}

/// The same moment on both of the host's clocks: the counter, and the one
/// that knows how long a second is.
fn moment() -> (HostTsc, Duration) {
    let mut best: Option<(u64, HostTsc, Duration)> = None;
    for _ in 0..16 {
        let before = HostTsc::now();
        let time = clock_gettime(ClockId::MonotonicRaw);
        let width = HostTsc::now().0.saturating_sub(before.0);
        if best.is_none_or(|(narrowest, ..)| width < narrowest) {
            let time = Duration::new(
                time.tv_sec.cast_unsigned(),
                time.tv_nsec.cast_unsigned() as u32,
            );
            best = Some((width, HostTsc(before.0 + width / 2), time));
        }
    }
    best.map_or((HostTsc::now(), Duration::ZERO), |(_, tsc, time)| {
        (tsc, time)
    })
}

/// A moment of host or guest on one clock: nanoseconds of the host's
/// `CLOCK_MONOTONIC_RAW`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// From an earlier moment to this one; 0 where that was later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Nanos {
        Nanos(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Guest time in terms of host time over a whole run.
#[derive(Debug, Clone, Copy)]
pub struct WallClock {
    offset: i64,
    nanos_per_cycle: f64,
    /// A moment on both of the host's clocks.
    epoch: (HostTsc, Duration),
    /// How far a time that crosses from host to guest can be off.
    pub error_bound: Nanos,
    /// How far the two calibrations lie apart.
    pub drift: Nanos,
}

impl WallClock {
    /// From a calibration before the run and one after it.
    #[must_use]
    pub fn between(before: &Calibration, after: &Calibration) -> Self {
        let cycles = after.at.0.0.saturating_sub(before.at.0.0);
        let nanos = after.at.1.saturating_sub(before.at.1).as_nanos();
        let nanos_per_cycle = nanos as f64 / (cycles.max(1)) as f64;
        let drift = after.offset.abs_diff(before.offset);
        let to_nanos = |cycles: u64| Nanos((cycles as f64 * nanos_per_cycle).ceil() as u64);
        Self {
            offset: before.offset.midpoint(after.offset),
            nanos_per_cycle,
            epoch: before.at,
            error_bound: to_nanos(before.bound.max(after.bound) + drift.div_ceil(2)),
            drift: to_nanos(drift),
        }
    }

    /// From a calibration alone, a while after it: what can be known during a
    /// run.
    #[must_use]
    pub fn since(before: &Calibration) -> Self {
        let now = Calibration {
            at: moment(),
            ..*before
        };
        Self::between(before, &now)
    }

    /// Whether results may be claimed to this accuracy.
    #[must_use]
    pub fn is_within(&self, claim: Nanos) -> bool {
        self.error_bound <= claim && self.drift <= claim
    }

    /// Nanoseconds from a moment on the host to one in the guest.
    #[must_use]
    pub fn host_to_guest(&self, from: HostTsc, to: GuestTsc) -> i64 {
        let to = to.0.wrapping_sub(self.offset.cast_unsigned());
        self.nanos(to.wrapping_sub(from.0).cast_signed())
    }

    /// Nanoseconds from a moment in the guest to one on the host.
    #[must_use]
    pub fn guest_to_host(&self, from: GuestTsc, to: HostTsc) -> i64 {
        -self.host_to_guest(to, from)
    }

    /// Nanoseconds between two moments on the host.
    #[must_use]
    pub fn host_to_host(&self, from: HostTsc, to: HostTsc) -> i64 {
        self.nanos(to.0.wrapping_sub(from.0).cast_signed())
    }

    /// Nanoseconds between two moments in the guest.
    #[must_use]
    pub fn guest_to_guest(&self, from: GuestTsc, to: GuestTsc) -> i64 {
        self.nanos(to.0.wrapping_sub(from.0).cast_signed())
    }

    /// When a moment of the host was.
    #[must_use]
    pub fn of_host(&self, at: HostTsc) -> Moment {
        let (tsc, time) = self.epoch;
        let epoch = i64::try_from(time.as_nanos()).unwrap_or(0);
        Moment(epoch.saturating_add(self.host_to_host(tsc, at)))
    }

    /// When a moment in the guest was.
    #[must_use]
    pub fn of_guest(&self, at: GuestTsc) -> Moment {
        let host = at.0.wrapping_sub(self.offset.cast_unsigned());
        self.of_host(HostTsc(host))
    }

    fn nanos(&self, cycles: i64) -> i64 {
        (cycles as f64 * self.nanos_per_cycle).round() as i64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_true_offset_is_always_within_the_bound(
            offset in -1_000_000_000_000i64..1_000_000_000_000,
            exchanges in prop::collection::vec((0u64..1_000_000, 1u64..5_000, 1u64..5_000), 1..50),
        ) {
            let mut known = Offset::UNKNOWN;
            for (start, there, back) in exchanges {
                let before = (1 << 50) + start;
                let guest = (before + there).wrapping_add(offset.cast_unsigned());
                known = known.narrowed(Exchange {
                    before: HostTsc(before),
                    guest: GuestTsc(guest),
                    after: HostTsc(before + there + back),
                });
            }
            let (middle, bound) = known.estimate().expect("consistent exchanges");
            prop_assert!(middle.abs_diff(offset) <= bound);
        }
    }

    #[test]
    fn drift_is_part_of_the_error_bound() {
        let at = |tsc, nanos| (HostTsc(tsc), Duration::from_nanos(nanos));
        let before = Calibration {
            offset: 100,
            bound: 10,
            at: at(0, 0),
        };
        let after = Calibration {
            offset: 140,
            bound: 4,
            at: at(2_000, 1_000),
        };
        let clock = WallClock::between(&before, &after);
        assert_eq!((clock.drift, clock.error_bound), (Nanos(20), Nanos(15)));
        assert_eq!(clock.host_to_guest(HostTsc(1_000), GuestTsc(1_140)), 10);
        assert_eq!(clock.guest_to_host(GuestTsc(1_140), HostTsc(1_060)), 20);
        assert_eq!(clock.host_to_host(HostTsc(1_000), HostTsc(1_060)), 30);
        assert_eq!(clock.of_host(HostTsc(1_000)), Moment(500));
        assert_eq!(clock.of_guest(GuestTsc(1_140)), Moment(510));
    }
}
