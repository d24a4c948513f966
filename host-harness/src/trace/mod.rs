// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One timeline of host and guest: the way of each event, and what the guest's
//! kernel did meanwhile, by its own trace.
//!
//! A benchmark is run while the kernel traces itself ([`record`]), stamped by
//! the same counter as the events, so that one calibration puts both on one
//! clock. [`ftrace`] reads the trace, [`perfetto`] writes the timeline.

mod convert;
pub mod ftrace;
mod handlers;
mod names;
pub mod perfetto;
pub mod proto;

use std::time::{Duration, Instant};

use irqbed_abi::control::{TraceSummary, TracedCpu};

use ftrace::Ftrace;
use handlers::Handlers;
use names::Names;

use crate::{
    bench::{Bench, BenchError, Recorded},
    clock::WallClock,
    interrupt,
    measure::{self, MeasureError, Run},
    mechanism::{Driver, Pair, driver},
    progress::Progress,
    qemu::ClockKind,
    result::RunResult,
    session::Session,
};

/// Room for the kernel's trace in all, KiB.
const ROOM_KIB: u32 = 8 << 10;
/// Room on each processor at least.
const LEAST_KIB: u32 = 1 << 10;

/// From the last word to the agent to the first event: the agent answers, and a
/// load starts, of which the trace would tell otherwise.
const SETTLE: Duration = Duration::from_millis(100);

/// A run and the trace of the guest's kernel.
#[derive(Debug)]
pub struct Recording {
    /// What was measured, of a guest that was slowed down by tracing.
    pub result: RunResult,
    /// The events.
    pub run: Run,
    /// From guest time to host time.
    pub clock: WallClock,
    /// The trace.
    pub ftrace: Ftrace,
    /// What the trace holds and lost, and the tasks there were.
    pub summary: TraceSummary,
    /// Release of the guest's kernel.
    pub kernel: String,
}

/// Why a pair cannot be traced, if it cannot.
#[must_use]
pub fn refusal(pair: Pair, clock: ClockKind) -> Option<&'static str> {
    if driver(pair.mechanism) == Driver::Vfio {
        Some(
            "vfio-pci stamps nothing between the device and the process, so there are no stages to \
             show",
        )
    } else if clock == ClockKind::Instructions {
        Some(
            "the device raises events on the host, which executes no instruction of the guest, so \
             there is no one clock for both; see `irqbed path` for what the guest executes",
        )
    } else {
        None
    }
}

/// Runs a benchmark whose driver has the device while the guest's kernel traces
/// itself.
///
/// # Errors
/// [`BenchError`], also where the guest's kernel cannot trace itself.
pub fn record(
    bench: &Bench,
    session: &mut Session,
    progress: &Progress,
) -> Result<Recording, BenchError> {
    let mut summary = None;
    let room = (ROOM_KIB / bench.machine.vcpus).max(LEAST_KIB);
    let recorded = bench.record(session, progress, |session, _| {
        session.start_trace(room)?;
        interrupt::sleep_until(Instant::now() + SETTLE).map_err(MeasureError::from)?;
        let run = measure::run(session, &bench.plan, progress)?;
        session.freeze_trace()?;
        summary = Some(session.summarize_trace()?);
        Ok(run)
    })?;
    progress.phase("fetch the trace");
    let ftrace = Ftrace::read(&session.trace_text()?);
    let Recorded { result, run, clock } = recorded;
    let (Some(clock), Some(summary)) = (clock, summary) else {
        return Err(BenchError::NoTimeline(bench.pair));
    };
    let mut recording = Recording {
        result,
        run,
        clock,
        ftrace,
        summary,
        kernel: session.hello().kernel.clone(),
    };
    recording.note();
    Ok(recording)
}

impl Recording {
    /// Entries of the kernel's trace that are missing.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lost = |cpu: &TracedCpu| cpu.overwritten + cpu.dropped;
        self.summary.cpus.iter().map(lost).sum()
    }

    fn names(&self) -> Names {
        Names::new(&self.summary.tasks, &self.ftrace.entries)
    }

    fn handlers(&self) -> Handlers {
        Handlers::new(&self.ftrace.entries, self.summary.cpus.len())
    }

    /// Says in the result what tracing did to it.
    fn note(&mut self) {
        let notes = &mut self.result.notes;
        notes.push(
            "the guest's kernel traced itself, which slows it down: these are figures of a traced \
             guest"
                .to_owned(),
        );
        if !self.summary.missing.is_empty() {
            let missing = self.summary.missing.join(", ");
            notes.push(format!("this kernel has no tracepoints {missing}"));
        }
        if self.ftrace.unread > 0 {
            let unread = self.ftrace.unread;
            notes.push(format!(
                "{unread} lines of the kernel's trace make no sense to us"
            ));
        }
    }
}
