// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the stamps of each event to the stages of a run.

use irqbed_results::{
    result::Timeline,
    stages::{Sample, StageHistograms},
    units::{Nanos, Unit},
};

use crate::{clock::WallClock, measure::Trace};

/// The stages as a whole, and over the run.
pub(super) fn distributions(
    traces: &[Trace],
    wall: Option<&WallClock>,
    duration: Nanos,
) -> (StageHistograms, Option<Timeline>) {
    let unit = if wall.is_some() {
        Unit::Nanoseconds
    } else {
        Unit::Instructions
    };
    let mut stages = StageHistograms::new(unit);
    let mut events = Vec::with_capacity(traces.len());
    for trace in traces {
        let sample = sample(trace, wall);
        stages.record(&sample);
        let raised = trace.raise.into_iter();
        events.extend(raised.map(|at| (at.0, sample.stage(Timeline::stage_of(unit)))));
    }
    (stages, Timeline::new(unit, duration, &events))
}

/// The stages of one event: nanoseconds, or instructions where there is no
/// wall clock, and then only between stamps of the guest.
#[must_use]
pub fn sample(trace: &Trace, wall: Option<&WallClock>) -> Sample {
    let within = |from, to| match (from, to, wall) {
        (Some(from), Some(to), Some(wall)) => Some(wall.guest_to_guest(from, to)),
        (Some(from), Some(to), None) => Some(to.0.wrapping_sub(from.0).cast_signed()),
        _ => None,
    };
    let across = |to| Some(wall?.host_to_guest(trace.raise?, to?));
    let back = |from| Some(wall?.guest_to_host(from?, trace.device?));
    Sample {
        raise_to_isr: across(trace.isr),
        isr_to_notify: within(trace.isr, trace.notify),
        notify_to_user: within(trace.notify, trace.user),
        unstamped: across(trace.user).filter(|_| trace.isr.is_none()),
        reply_to_command: within(trace.reply, trace.command),
        command_to_device: back(trace.command),
        reply_to_device: back(trace.reply),
        raise_to_device: wall
            .zip(trace.raise.zip(trace.device))
            .map(|(wall, (raise, device))| wall.host_to_host(raise, device)),
    }
}
