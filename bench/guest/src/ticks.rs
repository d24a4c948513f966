// SPDX-License-Identifier: Apache-2.0 OR MIT
//! When the next event is due, for a process that causes it itself.

use std::{num::NonZeroU64, time::Duration};

use anyhow::{Context, Result};
use rustix::{
    thread::{ClockId, clock_nanosleep_absolute, set_current_timer_slack},
    time::{Timespec, clock_gettime},
};

/// Moments at even distances.
pub struct Ticks {
    next: Timespec,
    interval: Timespec,
}

impl Ticks {
    /// Ticks that begin one interval from now; the kernel may not delay them.
    pub fn every(interval: Duration) -> Result<Self> {
        set_current_timer_slack(NonZeroU64::new(1)).context("cannot set the timer slack")?;
        Ok(Self {
            next: clock_gettime(rustix::time::ClockId::Monotonic),
            interval: interval.try_into()?,
        })
    }

    /// Sleeps until the next one. One that is over is left out.
    pub fn wait(&mut self) -> Result<()> {
        let now = clock_gettime(rustix::time::ClockId::Monotonic);
        self.next += self.interval;
        if self.next < now {
            self.next = now + self.interval;
        }
        clock_nanosleep_absolute(ClockId::Monotonic, &self.next).context("cannot sleep")
    }
}
