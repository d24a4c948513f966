// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Measurements for criterion that come from the stamps of an event, not from a
//! clock around a loop: whatever raises events, waits and looks at the slots is
//! not measured.

use criterion::{
    Throughput,
    measurement::{Measurement, ValueFormatter},
};
use irqbed_results::units::Unit;

/// Sums of stages, in the unit of the guest's clock. Only for
/// [`criterion::Bencher::iter_custom`]: the host has no clock that counts what
/// the guest executes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamped(pub Unit);

impl Measurement for Stamped {
    type Intermediate = ();
    type Value = u64;

    /// # Panics
    /// Always, see [`Stamped`].
    fn start(&self) -> Self::Intermediate {
        panic!("what stamps say is measured by iter_custom alone")
    }

    fn end(&self, (): Self::Intermediate) -> Self::Value {
        0
    }

    fn add(&self, one: &Self::Value, other: &Self::Value) -> Self::Value {
        one + other
    }

    fn zero(&self) -> Self::Value {
        0
    }

    fn to_f64(&self, value: &Self::Value) -> f64 {
        *value as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for Stamped {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (divisor, name) = match self.0 {
            Unit::Nanoseconds if typical < 1e3 => (1.0, "ns"),
            Unit::Nanoseconds if typical < 1e6 => (1e3, "µs"),
            Unit::Nanoseconds => (1e6, "ms"),
            Unit::Instructions => (1.0, "instr."),
        };
        for value in values {
            *value /= divisor;
        }
        name
    }

    /// Nothing of this is a throughput: the values stay what they are.
    fn scale_throughputs(&self, _: f64, _: &Throughput, _: &mut [f64]) -> &'static str {
        self.0.as_str()
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        self.0.as_str()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_the_unit_that_suits_them() {
        let shown = |value| Stamped(Unit::Nanoseconds).format_value(value);
        assert_eq!(shown(850.0).trim(), "850.00 ns");
        assert_eq!(shown(54_270.0).trim(), "54.270 µs");
        assert_eq!(shown(3_604_060.0).trim(), "3.6041 ms");
    }

    #[test]
    fn instructions_are_shown_as_they_are() {
        let shown = Stamped(Unit::Instructions).format_value(6143.0);
        assert_eq!(shown.trim(), "6143.0 instr.");
    }
}
