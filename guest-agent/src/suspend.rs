// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Suspends the guest, and returns when it has resumed
//! (Documentation/admin-guide/pm/sleep-states.rst of the kernel).

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use irqbed_abi::control::{Reply, SleepState, Suspend};

use crate::control::Line;

/// Whether the control line's interrupt wakes the guest from suspend to idle.
const LINE_WAKES: &str = "/sys/class/tty/ttyS1/power/wakeup";
/// What `mem` means.
const MEM_SLEEP: &str = "/sys/power/mem_sleep";
/// How far a suspend goes.
const PM_TEST: &str = "/sys/power/pm_test";
/// How long a suspend that goes no further pauses there, seconds.
const PAUSE: &str = "/sys/module/suspend/parameters/pm_test_delay";
/// Writing a state here suspends the guest.
const STATE: &str = "/sys/power/state";

/// Suspends the guest. The line is told just before.
pub fn run(suspend: Suspend, line: &mut Line) -> Result<()> {
    let Suspend {
        state,
        pm_test,
        pause_s,
    } = suspend;
    ensure!(suspend.is_possible(), "there is no {suspend}");
    match state {
        SleepState::Freeze => write(LINE_WAKES, "enabled")?,
        SleepState::Mem => write(MEM_SLEEP, "deep")?,
    }
    if let Some(level) = pm_test {
        write(PAUSE, &pause_s.to_string())?;
        write(PM_TEST, level.as_str())?;
    }
    line.send(&Reply::Suspending)?;
    line.drain();
    let resumed = write(STATE, state.as_str());
    if pm_test.is_some() {
        write(PM_TEST, "none")?;
    }
    resumed
}

fn write(path: &str, text: &str) -> Result<()> {
    let exists = Path::new(path).exists();
    ensure!(exists, "this kernel has no {path}, which a suspend needs");
    fs::write(path, text).with_context(|| format!("cannot write {text:?} to {path}"))
}
