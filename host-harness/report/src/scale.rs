// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Axes: where they begin and end, and which of their values are named.

use hdrhistogram::Histogram;
use irqbed_results::units::{Unit, thousands};

use super::frame::Axis;

/// Least ratio of the ends of a logarithmic axis: a distribution of one value
/// is a line in the middle.
const LEAST: f64 = 1.1;
/// Room beyond the outermost values.
const ROOM: f64 = 1.03;

/// A logarithmic axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Log {
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Log {
    /// That shows these values; 0 has no place on it and lies at the lower end.
    pub(super) fn of(values: impl Iterator<Item = u64>) -> Self {
        let (mut low, mut high) = (f64::INFINITY, 1.0_f64);
        for value in values.filter(|&value| value > 0) {
            low = low.min(value as f64);
            high = high.max(value as f64);
        }
        low = low.min(high);
        let missing = (LEAST / (high / low)).max(1.0).sqrt();
        Self {
            low: low / missing / ROOM,
            high: high * missing * ROOM,
        }
    }

    /// Where a value lies on it, from its [`Log::start`] to its [`Log::end`].
    pub(super) fn place(&self, value: f64) -> f64 {
        value.max(self.low).log10()
    }

    /// What a place is called.
    pub(super) fn name(&self, unit: Unit, place: f64) -> String {
        tick(unit, 10_f64.powf(place))
    }

    /// As plotters takes it, in decades.
    pub(super) fn axis(&self) -> Axis {
        Axis {
            range: self.start()..self.end(),
            ticks: self.ticks().iter().map(|&tick| self.place(tick)).collect(),
        }
    }

    pub(super) fn start(&self) -> f64 {
        self.low.log10()
    }

    pub(super) fn end(&self) -> f64 {
        self.high.log10()
    }

    /// Values to name: powers of ten, with 2 and 5 of them where there are few,
    /// round ones where there are none.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let decades = self.end() - self.start();
        if decades < 0.8 {
            return linear(self.low, self.high, 5);
        }
        let steps: &[f64] = match decades {
            decades if decades < 2.5 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let exponents = self.start().floor() as i32..=self.end().ceil() as i32;
        exponents
            .flat_map(|exponent| steps.iter().map(move |step| step * 10_f64.powi(exponent)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// The least value of a histogram that is not 0, and the largest.
pub(super) fn ends(histogram: &Histogram<u64>) -> [u64; 2] {
    let largest = histogram.max();
    [histogram.min_nz().min(largest), largest]
}

/// About so many round values between two.
pub(super) fn linear(low: f64, high: f64, about: u32) -> Vec<f64> {
    let raw = (high - low) / f64::from(about.max(1));
    if !raw.is_finite() || raw <= 0.0 {
        return vec![low];
    }
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * magnitude)
        .into_iter()
        .find(|&step| step >= raw)
        .unwrap_or(raw);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|at| at as f64 * step).collect()
}

/// The name of a tick: a round value in the unit that suits it.
pub(super) fn tick(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Instructions => thousands(value.round() as u64),
        Unit::Nanoseconds => duration(value),
    }
}

/// Nanoseconds as a tick names them: `500 ns`, `20 µs`, `1.5 ms`.
pub(super) fn duration(ns: f64) -> String {
    if ns == 0.0 {
        return "0".to_owned();
    }
    let (size, name) = match ns {
        ns if ns < 0.999_5e3 => (1.0, "ns"),
        ns if ns < 0.999_5e6 => (1e3, "µs"),
        ns if ns < 0.999_5e9 => (1e6, "ms"),
        _ => (1e9, "s"),
    };
    let text = format!("{:.3}", ns / size);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} {name}")
}

/// A value as it stands in a table: whole instructions, or microseconds.
pub(super) fn cell(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Instructions => thousands(value),
        Unit::Nanoseconds => {
            let hundredths = value.saturating_add(5) / 10;
            format!("{}.{:02}", thousands(hundredths / 100), hundredths % 100)
        }
    }
}

/// The unit of [`cell`].
pub(super) const fn cell_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Instructions => "instructions",
        Unit::Nanoseconds => "µs",
    }
}

/// What the ticks of a plot do not say.
pub(super) const fn in_unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Nanoseconds => "",
        Unit::Instructions => ", instructions",
    }
}

/// A value with its unit, for a sentence.
pub(super) fn spoken(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Instructions => format!("{} instructions", thousands(value)),
        Unit::Nanoseconds => irqbed_results::units::Nanos(value).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(values: &[u64], unit: Unit) -> Vec<String> {
        let axis = Log::of(values.iter().copied());
        let ticks = axis.ticks();
        ticks.into_iter().map(|value| tick(unit, value)).collect()
    }

    #[test]
    fn ticks_are_round_and_carry_their_unit() {
        assert_eq!(
            ticks(&[50, 3_000_000], Unit::Nanoseconds),
            ["100 ns", "1 µs", "10 µs", "100 µs", "1 ms"]
        );
        assert_eq!(
            ticks(&[30_000, 400_000], Unit::Nanoseconds),
            ["50 µs", "100 µs", "200 µs"]
        );
        assert_eq!(
            ticks(&[6_023, 8_382], Unit::Instructions),
            ["6,000", "7,000", "8,000"]
        );
    }

    #[test]
    fn one_value_lies_in_the_middle_and_none_is_no_panic() {
        let axis = Log::of([6_143].into_iter());
        assert!(axis.low < 6_000.0 && axis.high > 6_300.0, "{axis:?}");
        assert!(!axis.ticks().is_empty());
        for extremes in [&[][..], &[0], &[0, 1], &[u64::MAX], &[1, u64::MAX]] {
            assert!(
                !ticks(extremes, Unit::Nanoseconds).is_empty(),
                "{extremes:?}"
            );
        }
        assert_eq!(linear(0.0, 0.0, 5), [0.0]);
        let mut zeros = Histogram::new(2).unwrap();
        zeros.record(0).unwrap();
        assert_eq!(ends(&zeros), [0, 0]);
    }

    #[test]
    fn cells_are_microseconds_with_two_decimals() {
        assert_eq!(cell(Unit::Nanoseconds, 1_761_556), "1,761.56");
        assert_eq!(cell(Unit::Nanoseconds, 4), "0.00");
        assert_eq!(cell(Unit::Instructions, 6_143), "6,143");
    }
}
