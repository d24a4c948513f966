// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long something takes that is late: a duration thrown anew each time.

use std::{fmt, time::Duration};

use super::dice::Dice;

/// Longest delay of all.
pub const MAX_DELAY: Duration = Duration::from_secs(60);

/// How delays are distributed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Distribution {
    /// Always the same.
    Constant(Duration),
    /// Each duration between the two as likely as any other.
    Uniform {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Exponential: many short ones, few long ones.
    Exponential {
        /// Mean, before it is limited to `min` and `max`.
        mean: Duration,
        /// Shorter ones become this.
        min: Duration,
        /// Longer ones become this.
        max: Duration,
    },
    /// Log-normal, as what waits for many things in turn.
    LogNormal {
        /// Mean, before it is limited to `min` and `max`.
        mean: Duration,
        /// Deviation of the logarithm, above 0 and at most 4.
        sigma: f64,
        /// Shorter ones become this.
        min: Duration,
        /// Longer ones become this.
        max: Duration,
    },
}

impl Distribution {
    /// The name in the text form.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Constant(_) => "constant",
            Self::Uniform { .. } => "uniform",
            Self::Exponential { .. } => "exponential",
            Self::LogNormal { .. } => "lognormal",
        }
    }

    /// The next delay.
    pub(super) fn draw(&self, dice: &mut Dice) -> Duration {
        let (seconds, min, max) = match *self {
            Self::Constant(delay) => return delay,
            Self::Uniform { min, max } => {
                let range = max.saturating_sub(min).as_secs_f64();
                (min.as_secs_f64() + dice.unit() * range, min, max)
            }
            Self::Exponential { mean, min, max } => {
                let seconds = -mean.as_secs_f64() * (1.0 - dice.unit()).ln();
                (seconds, min, max)
            }
            Self::LogNormal {
                mean,
                sigma,
                min,
                max,
            } => {
                let of_mean = mean.as_secs_f64().ln() - sigma * sigma / 2.0;
                ((of_mean + sigma * dice.normal()).exp(), min, max)
            }
        };
        let drawn = Duration::try_from_secs_f64(seconds).unwrap_or(MAX_DELAY);
        drawn.clamp(min, max.max(min))
    }
}

/// A duration as it is written: `200us`, `1500ns`, `2s`.
pub(super) struct Written(pub Duration);

impl fmt::Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0.as_nanos();
        let units = [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)];
        let whole = units
            .into_iter()
            .find(|(_, size)| ns > 0 && ns.is_multiple_of(*size));
        let (unit, size) = whole.unwrap_or(("ns", 1));
        write!(f, "{}{unit}", ns / size)
    }
}

/// Reads `200us`, `1.5ms`, `80ns` or `2s`; at most [`MAX_DELAY`].
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at_checked(digits)?;
    let ns_of_unit = match unit {
        "ns" => 1.0,
        "us" | "µs" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    let ns = number.parse::<f64>().ok()? * ns_of_unit;
    let duration = Duration::from_nanos(ns.round() as u64);
    (duration <= MAX_DELAY).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: fn(u64) -> Duration = Duration::from_micros;

    #[test]
    fn durations_are_read_as_they_are_written() {
        for (text, ns) in [
            ("200us", 200_000),
            ("1500ns", 1_500),
            ("2s", 2_000_000_000),
            ("0ns", 0),
            ("60s", 60_000_000_000),
        ] {
            let duration = parse(text).expect(text);
            assert_eq!(duration.as_nanos(), ns);
            assert_eq!(Written(duration).to_string(), text);
        }
        assert_eq!(parse("1.5ms"), Some(US(1_500)));
        assert_eq!(parse("3µs"), Some(US(3)));
        for bad in ["", "5", "us", "5 us", "-5us", "1..2s", "61s", "5h", "1e9s"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn delays_have_the_mean_that_was_asked_for_and_keep_their_limits() {
        let (min, max) = (Duration::ZERO, MAX_DELAY);
        let mean = US(200);
        for distribution in [
            Distribution::Constant(mean),
            Distribution::Uniform {
                min: US(100),
                max: US(300),
            },
            Distribution::Exponential { mean, min, max },
            Distribution::LogNormal {
                mean,
                sigma: 0.5,
                min,
                max,
            },
        ] {
            let mut dice = Dice::new(3);
            let drawn = (0..20_000).map(|_| distribution.draw(&mut dice));
            let found = drawn.sum::<Duration>().as_secs_f64() / 20_000.0;
            let off = (found / mean.as_secs_f64() - 1.0).abs();
            assert!(off < 0.03, "{distribution:?}: {found}");
        }
        let limited = Distribution::Exponential {
            mean,
            min: US(150),
            max: US(250),
        };
        let mut dice = Dice::new(3);
        for _ in 0..1000 {
            let delay = limited.draw(&mut dice);
            assert!((US(150)..=US(250)).contains(&delay), "{delay:?}");
        }
    }
}
