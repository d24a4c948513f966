// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long to calibrate. One exchange that nobody interrupts is enough to know the
//! offset well; on a busy host it may take many until there is one.

use std::time::Duration;

use device_model::{GuestTsc, HostTsc};
use irqbed_results::units::Nanos;

use super::Offset;

/// A reading of the guest's clock between two of the host's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exchange {
    pub(super) before: HostTsc,
    pub(super) guest: GuestTsc,
    pub(super) after: HostTsc,
}

/// What exchanges are played with.
pub(super) trait Peer {
    /// Plays one; `None` when the guest does not answer, or the user wants to stop.
    fn exchange(&mut self) -> Option<Exchange>;
    /// Since the calibration began.
    fn elapsed(&self) -> Duration;
    /// How long so many cycles take.
    fn nanos(&self, cycles: u64) -> Nanos;
}

/// When a calibration ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policy {
    /// Exchanges at least: they are cheap, and the bound gets better with each.
    pub(super) exchanges: u64,
    /// An error bound that ends it at any time.
    pub(super) good: Nanos,
    /// How long a good bound is waited for.
    pub(super) patience: Duration,
    /// An error bound that ends it after that.
    pub(super) enough: Nanos,
    /// It ends by then, whatever it has got.
    pub(super) limit: Duration,
}

/// What came of a calibration.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) known: Offset,
    /// Exchanges that were played, also those that are void.
    pub(super) count: u64,
}

impl Policy {
    /// Where exchanges contradict each other, guest time stood still between them, or was
    /// set: what was known before is void, and the calibration begins anew.
    pub(super) fn play(&self, peer: &mut impl Peer) -> Outcome {
        let (mut known, mut count, mut alike) = (Offset::UNKNOWN, 0, 0);
        while !self.is_over(peer, known, alike) {
            let Some(exchange) = peer.exchange() else {
                break;
            };
            (count, alike) = (count + 1, alike + 1);
            known = known.narrowed(exchange);
            if known.estimate().is_none() {
                tracing::debug!(count, "guest time moved against host time");
                (known, alike) = (Offset::UNKNOWN.narrowed(exchange), 1);
            }
        }
        Outcome { known, count }
    }

    fn is_over(&self, peer: &impl Peer, known: Offset, count: u64) -> bool {
        let elapsed = peer.elapsed();
        if count < self.exchanges && elapsed < self.patience {
            return false;
        }
        let Some((_, bound)) = known.estimate() else {
            return elapsed >= self.limit;
        };
        let bound = peer.nanos(bound);
        bound <= self.good
            || (elapsed >= self.patience && bound <= self.enough)
            || elapsed >= self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        exchanges: 10,
        good: Nanos(200),
        patience: Duration::from_secs(5),
        enough: Nanos(400),
        limit: Duration::from_secs(60),
    };
    const OFFSET: u64 = 1_000_000;

    /// A peer on whose clock a cycle is a nanosecond. Each exchange lasts as long as the
    /// script says, and the guest reads its clock in the middle.
    struct Script<F> {
        now: u64,
        played: u64,
        lasts: F,
    }

    impl<F: Fn(u64) -> Option<Duration>> Script<F> {
        fn new(lasts: F) -> Self {
            Self {
                now: 0,
                played: 0,
                lasts,
            }
        }
    }

    impl<F: Fn(u64) -> Option<Duration>> Peer for Script<F> {
        fn exchange(&mut self) -> Option<Exchange> {
            let lasts = u64::try_from((self.lasts)(self.played)?.as_nanos()).ok()?;
            let before = self.now;
            self.played += 1;
            self.now += lasts;
            Some(Exchange {
                before: HostTsc(before),
                guest: GuestTsc(before + lasts / 2 + OFFSET),
                after: HostTsc(self.now),
            })
        }

        fn elapsed(&self) -> Duration {
            Duration::from_nanos(self.now)
        }

        fn nanos(&self, cycles: u64) -> Nanos {
            Nanos(cycles)
        }
    }

    /// Bound, exchanges and time of a calibration in which each lasts so long.
    fn play(lasts: impl Fn(u64) -> Option<Duration>) -> (Option<u64>, u64, Duration) {
        let mut script = Script::new(lasts);
        let Outcome { known, count } = POLICY.play(&mut script);
        let bound = known.estimate().map(|(middle, bound)| {
            assert!(middle.abs_diff(OFFSET.cast_signed()) <= bound, "{known:?}");
            bound
        });
        (bound, count, script.elapsed())
    }

    const fn nanos(nanos: u64) -> Option<Duration> {
        Some(Duration::from_nanos(nanos))
    }

    const SLICE: Option<Duration> = Some(Duration::from_millis(3));

    #[test]
    fn a_quiet_host_takes_as_many_exchanges_as_are_cheap() {
        let (bound, count, _) = play(|_| nanos(90));
        assert_eq!((bound, count), (Some(45), 10));
    }

    #[test]
    fn a_busy_host_is_given_the_time_until_one_exchange_is_not_interrupted() {
        // 12 s of exchanges with a time slice of somebody else's in each of them.
        let (bound, count, time) = play(|number| match number {
            4_000 => nanos(300),
            _ => SLICE,
        });
        assert_eq!((bound, count), (Some(150), 4_001));
        assert!(time >= Duration::from_secs(12), "{time:?}");
    }

    #[test]
    fn a_bound_that_is_enough_ends_it_once_a_good_one_was_waited_for() {
        let (bound, count, time) = play(|number| match number {
            5 => nanos(700),
            _ => SLICE,
        });
        assert_eq!(bound, Some(350));
        assert!(time >= POLICY.patience && time < POLICY.patience + Duration::from_millis(4));
        assert!(count > 1_000, "{count}");
    }

    #[test]
    fn a_host_that_is_too_busy_is_given_up_at_the_limit() {
        let (bound, _, time) = play(|_| SLICE);
        assert_eq!(bound, Some(1_500_000));
        assert!(time >= POLICY.limit && time < POLICY.limit + Duration::from_millis(4));
    }

    #[test]
    fn a_guest_that_falls_silent_is_not_waited_for() {
        let (bound, count, _) = play(|number| (number < 3).then_some(Duration::from_millis(3)));
        assert_eq!((bound, count), (Some(1_500_000), 3));
        assert_eq!(play(|_| None), (None, 0, Duration::ZERO));
    }

    #[test]
    fn a_guest_that_was_paused_is_calibrated_anew() {
        struct Paused(Script<fn(u64) -> Option<Duration>>);
        impl Peer for Paused {
            fn exchange(&mut self) -> Option<Exchange> {
                let exchange = self.0.exchange()?;
                let behind = if self.0.played > 3 { 5_000 } else { 0 };
                Some(Exchange {
                    guest: GuestTsc(exchange.guest.0 - behind),
                    ..exchange
                })
            }
            fn elapsed(&self) -> Duration {
                self.0.elapsed()
            }
            fn nanos(&self, cycles: u64) -> Nanos {
                self.0.nanos(cycles)
            }
        }
        let Outcome { known, count } = POLICY.play(&mut Paused(Script::new(|_| nanos(90))));
        let offset = (OFFSET - 5_000).cast_signed();
        assert_eq!((known.estimate(), count), (Some((offset, 45)), 3 + 10));
    }
}
