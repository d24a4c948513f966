// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a person sees while a run goes on: the phase, and how far it is.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One line on standard error that is gone when the run ends.
#[derive(Debug)]
pub struct Progress(ProgressBar);

impl Progress {
    /// Shown only where standard error is a terminal.
    #[must_use]
    pub fn on_terminal() -> Self {
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

    /// How far the phase is, in steps. Only counts: the drawing is done by a
    /// thread of its own four times a second.
    pub fn at(&self, position: u64) {
        self.0.set_position(position);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
