// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a person sees while a run goes on: the phase, and how far it is.

use std::{io, time::Duration};

use device_model::log::may_style;
use indicatif::{ProgressBar, ProgressStyle};

/// One line on standard error that is gone when the run ends.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shown only where standard error is a terminal that may be styled.
    #[must_use]
    pub fn on_terminal() -> Self {
        if !may_style(&io::stderr()) {
            return Self::hidden();
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(250));
        Self(bar)
    }

    /// Shown nowhere.
    #[must_use]
    pub fn hidden() -> Self {
        Self(ProgressBar::hidden())
    }

    /// A phase of unknown length begins.
    pub fn phase(&self, name: &str) {
        self.0.set_style(ProgressStyle::default_spinner());
        self.0.set_message(name.to_owned());
    }

    /// A phase of `total` steps begins.
    pub fn phase_of(&self, name: &str, total: u64) {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} ({eta} left)")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.0.set_style(style);
        self.0.set_length(total);
        self.0.set_position(0);
        self.0.set_message(name.to_owned());
    }

    /// A phase of `total` rounds begins, each of which takes its time. How much is
    /// left is not known before the first of them is through.
    pub fn rounds(&self, name: &'static str, total: u64) {
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len}{msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        self.0.set_style(style);
        self.0.set_length(total);
        self.0.set_position(0);
        self.0.set_prefix(name);
        self.0.set_message("");
    }

    /// So many rounds took so long.
    pub fn rounds_at(&self, done: u64, taken: Duration) {
        self.0.set_position(done);
        let total = self.0.length().unwrap_or(done);
        self.0.set_message(left(done, total, taken));
    }

    /// How far the phase is, in steps. Only counts: the drawing is done by a
    /// thread of its own four times a second.
    pub fn at(&self, position: u64) {
        self.0.set_position(position);
    }
}

/// What is left if the rest takes as long for each round.
fn left(done: u64, total: u64, taken: Duration) -> String {
    if done == 0 || done >= total {
        return String::new();
    }
    let seconds = taken.as_secs_f64() / done as f64 * (total - done) as f64;
    match seconds.round() as u64 {
        seconds @ ..60 => format!(" ({seconds} s left)"),
        seconds => format!(" ({} min {} s left)", seconds / 60, seconds % 60),
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_follows_from_the_rounds_that_are_through() {
        let seconds = Duration::from_secs;
        assert_eq!(left(0, 20, seconds(5)), "");
        assert_eq!(left(1, 20, seconds(10)), " (3 min 10 s left)");
        assert_eq!(left(15, 20, seconds(165)), " (55 s left)");
        assert_eq!(left(20, 20, seconds(200)), "");
    }
}
