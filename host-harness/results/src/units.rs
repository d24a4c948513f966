// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The quantities of a result, each with a type of its own, so that times of
//! different clocks cannot be mixed.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A duration, nanoseconds.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Nanos(pub u64);

/// A path length, executed guest instructions.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Instructions(pub u64);

/// What the figures of a stage count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds of wall time.
    #[serde(rename = "ns")]
    Nanoseconds,
    /// Executed guest instructions.
    #[serde(rename = "instructions")]
    Instructions,
}

impl Unit {
    /// The name in a JSON document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Instructions => "instructions",
        }
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for Nanos {
    /// Three digits and the unit that suits them: `850 ns`, `12.3 µs`, `4.56 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [(u64, &str); 3] = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "µs")];
        let ns = self.0;
        for (size, name) in STEPS {
            // What would round up to 1000 of the smaller unit is 1.00 of this one.
            if ns >= size - size / 2_000 {
                let value = ns as f64 / size as f64;
                let decimals = match value {
                    value if value < 9.995 => 2,
                    value if value < 99.95 => 1,
                    _ => 0,
                };
                return f.pad(&format!("{value:.decimals$} {name}"));
            }
        }
        f.pad(&format!("{ns} ns"))
    }
}

impl fmt::Display for Instructions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} instructions", thousands(self.0)))
    }
}

/// A number with a comma before each three digits: `66,159`.
#[must_use]
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// How often something happened, as `203 of 2,000 times`.
#[must_use]
pub fn times(hits: u64, opportunities: u64) -> String {
    let plural = if opportunities == 1 { "" } else { "s" };
    format!(
        "{} of {} time{plural}",
        thousands(hits),
        thousands(opportunities)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_three_digits_in_the_unit_that_suits_them() {
        for (ns, text) in [
            (0, "0 ns"),
            (850, "850 ns"),
            (999, "999 ns"),
            (1_000, "1.00 µs"),
            (9_994, "9.99 µs"),
            (9_996, "10.0 µs"),
            (12_345, "12.3 µs"),
            (999_400, "999 µs"),
            (999_600, "1.00 ms"),
            (4_560_000_000, "4.56 s"),
            (600_000_000_000, "600 s"),
        ] {
            assert_eq!(Nanos(ns).to_string(), text, "{ns}");
        }
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [
            (0, "0"),
            (999, "999"),
            (6_723, "6,723"),
            (1_066_159, "1,066,159"),
        ] {
            assert_eq!(thousands(number), text);
        }
        assert_eq!(Instructions(6_723).to_string(), "6,723 instructions");
    }

    #[test]
    fn quantities_are_plain_numbers_in_json() {
        assert_eq!(
            serde_json::to_string(&(Nanos(5), Instructions(7))).unwrap(),
            "[5,7]"
        );
    }
}
