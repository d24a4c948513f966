// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Durations in messages.

use std::time::Duration;

/// A duration as a person says it: `850 ms`, `1.5 s`, `30 s`, `2 min 5 s`, `1 h`.
#[must_use]
pub fn span(duration: Duration) -> String {
    let rounded = |unit: Duration| {
        let half = duration.as_nanos() + unit.as_nanos() / 2;
        (half / unit.as_nanos()) as u64
    };
    let parts = |count: u64, large: &str, small: &str| match (count / 60, count % 60) {
        (whole, 0) => format!("{whole} {large}"),
        (whole, rest) => format!("{whole} {large} {rest} {small}"),
    };
    let (micros, millis) = (duration.as_micros(), rounded(Duration::from_millis(1)));
    let tenths = rounded(Duration::from_millis(100));
    let seconds = rounded(Duration::from_secs(1));
    match seconds {
        _ if micros < 1_000 => format!("{micros} µs"),
        _ if millis < 1_000 => format!("{millis} ms"),
        _ if tenths < 100 && !tenths.is_multiple_of(10) => {
            format!("{}.{} s", tenths / 10, tenths % 10)
        }
        ..=119 => format!("{seconds} s"),
        120..=7_199 => parts(seconds, "min", "s"),
        _ => parts(rounded(Duration::from_secs(60)), "h", "min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_no_more_digits_than_a_person_says() {
        for (ns, text) in [
            (0, "0 µs"),
            (850_000, "850 µs"),
            (12_345_678, "12 ms"),
            (999_700_000, "1 s"),
            (1_540_000_000, "1.5 s"),
            (9_980_000_000, "10 s"),
            (30_000_000_000, "30 s"),
            (116_926_212_945, "117 s"),
            (120_000_000_000, "2 min"),
            (125_400_000_000, "2 min 5 s"),
            (3_600_000_000_000, "60 min"),
            (7_260_000_000_000, "2 h 1 min"),
        ] {
            assert_eq!(span(Duration::from_nanos(ns)), text, "{ns}");
        }
    }
}
