// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a person wants to see beside a failure, so that nobody needs another run: the
//! kernel's last lines, and the last accesses to each device.

use std::time::Instant;

use device_model::{Recorder, RegisterAccess};

/// Accesses that are shown of each device.
const ACCESSES: usize = 10;

/// Lines that may explain a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// What they are.
    pub title: String,
    /// The lines.
    pub lines: Vec<String>,
}

/// The last accesses to a device, as they were `now`; none where there was none.
pub(super) fn accesses(device: &str, recorder: &Recorder, now: Instant) -> Option<Evidence> {
    let (accesses, total) = recorder.accesses();
    let more = accesses.len().saturating_sub(ACCESSES);
    let shown: Vec<&RegisterAccess> = accesses.iter().skip(more).collect();
    if shown.is_empty() {
        return None;
    }
    let title = format!(
        "the last accesses to the registers of {device} ({total} in all), and how long before the end"
    );
    let lines = shown.iter().map(|access| {
        let before = now.saturating_duration_since(access.at).as_secs_f64();
        format!("-{before:.6} s  {access}")
    });
    Some(Evidence {
        title,
        lines: lines.collect(),
    })
}
