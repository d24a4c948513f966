// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One timeline of host and guest: the way of each event, and what the guest's
//! kernel did meanwhile, by its own trace.
//!
//! A benchmark is run while the kernel traces itself ([`record`]), stamped by
//! the same counter as the events, so that one calibration puts both on one
//! clock. [`ftrace`] reads the trace, [`perfetto`] writes the timeline, and
//! [`replay`] plays the trace again to say what an event waited for
//! ([`Slow`]).

mod analysis;
mod convert;
pub mod ftrace;
mod handlers;
mod names;
pub mod perfetto;
pub mod proto;
pub mod replay;
mod words;

use std::time::{Duration, Instant};

use irqbed_abi::control::{TraceSummary, TracedCpu};
use irqbed_machine::{interrupt, progress::Progress, qemu::ClockKind, session::Session};
use irqbed_measure::{
    bench::{Bench, BenchError, Recorded, sample},
    clock::WallClock,
    measure::{self, Limit, MeasureError, Run},
};
use irqbed_results::{
    mechanism::{Context, Driver, Pair, driver},
    result::RunResult,
    stages::Stage,
    units::Nanos,
};

use analysis::{Evidence, Leg};
use ftrace::Ftrace;
use handlers::Handlers;
use names::Names;

/// Room for the kernel's trace in all, KiB.
const ROOM_KIB: u32 = 8 << 10;
/// Room on each processor at least.
const LEAST_KIB: u32 = 1 << 10;

/// From the last word to the agent to the first event: the agent answers, and a
/// load starts, of which the trace would tell otherwise.
const SETTLE: Duration = Duration::from_millis(100);
/// Events that warm the guest up, and that no limit holds for, are one of so
/// many,
const WARM_UP_PART: u64 = 10;
/// and so many at most.
const WARM_UP: u64 = 50;

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
    /// Events at the begin that no limit holds for.
    pub warm_up: u64,
    /// Release of the guest's kernel.
    pub kernel: String,
    /// Where in the kernel events were handed on.
    pub context: Context,
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
/// itself; up to the first event slower than `stop_above`, where that is given.
///
/// # Errors
/// [`BenchError`], also where the guest's kernel cannot trace itself.
pub fn record(
    bench: &Bench,
    session: &mut Session,
    stop_above: Option<Nanos>,
    progress: &Progress,
) -> Result<Recording, BenchError> {
    let mut summary = None;
    let room = (ROOM_KIB / bench.machine.vcpus).max(LEAST_KIB);
    let recorded = bench.record(session, progress, |session, calibrated| {
        let limit = calibrated.zip(stop_above).map(|(calibrated, limit)| Limit {
            clock: WallClock::since(calibrated),
            raise_to_user: limit,
            warm_up: warm_up(bench.plan.events),
        });
        session.start_trace(room)?;
        interrupt::sleep_until(Instant::now() + SETTLE).map_err(MeasureError::from)?;
        let run = measure::run_until(session, &bench.plan, limit, progress)?;
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
        warm_up: warm_up(bench.plan.events),
        kernel: session.hello().kernel.clone(),
        context: bench.pair.context,
    };
    recording.note();
    Ok(recording)
}

const fn warm_up(events: u64) -> u64 {
    let part = events / WARM_UP_PART;
    if part < WARM_UP { part } else { WARM_UP }
}

impl Recording {
    /// The first event that took longer than a limit, and what it waited for.
    /// `None` when none did.
    #[must_use]
    pub fn slow(&self, limit: Nanos) -> Option<Slow> {
        let traces = self.warm();
        // What ended the run did so by what was known of the clocks then.
        let stopped_by = self.run.stopped_by;
        let by_then = traces.iter().find(|trace| Some(trace.seq) == stopped_by);
        let trace = by_then.or_else(|| {
            traces.iter().find(|trace| {
                let taken = self.raise_to_user(trace);
                taken.is_some_and(|taken| taken > limit)
            })
        })?;
        let names = self.names();
        let evidence = Evidence {
            entries: &self.ftrace.entries,
            clock: &self.clock,
            cpus: self.summary.cpus.iter().map(|cpu| cpu.cpu).collect(),
            names: &names,
            context: self.context,
        };
        Some(Slow {
            seq: trace.seq.get(),
            limit,
            taken: self.raise_to_user(trace),
            legs: analysis::legs(&evidence, trace),
            gaps: self.gaps(trace),
            names,
        })
    }

    /// The longest way from the device to the process, of the events that a limit
    /// holds for.
    #[must_use]
    pub fn slowest(&self) -> Option<Nanos> {
        let taken = |trace| self.raise_to_user(trace);
        self.warm().iter().filter_map(taken).max()
    }

    fn warm(&self) -> &[measure::Trace] {
        let warm_up = usize::try_from(self.warm_up).unwrap_or(usize::MAX);
        self.run.traces.get(warm_up..).unwrap_or_default()
    }

    /// Entries of the kernel's trace that are missing.
    #[must_use]
    pub fn lost(&self) -> u64 {
        let lost = |cpu: &TracedCpu| cpu.overwritten + cpu.dropped;
        self.summary.cpus.iter().map(lost).sum()
    }

    fn raise_to_user(&self, trace: &measure::Trace) -> Option<Nanos> {
        let taken = sample(trace, Some(&self.clock)).stage(Stage::RaiseToUser)?;
        Some(Nanos(u64::try_from(taken).unwrap_or(0)))
    }

    fn names(&self) -> Names {
        Names::new(&self.summary.tasks, &self.ftrace.entries)
    }

    fn handlers(&self) -> Handlers {
        Handlers::new(&self.ftrace.entries, self.summary.cpus.len())
    }

    /// Processors whose trace begins only after an event was raised.
    fn gaps(&self, trace: &measure::Trace) -> Vec<u32> {
        let raised = trace.raise.map(|at| self.clock.of_host(at));
        let begin = |cpu: u32| {
            let mut own = self.ftrace.entries.iter().filter(|entry| entry.cpu == cpu);
            own.next().map(|entry| self.clock.of_guest(entry.at))
        };
        let lossy = self.summary.cpus.iter().filter(|cpu| cpu.overwritten > 0);
        lossy
            .filter(|cpu| begin(cpu.cpu) > raised)
            .map(|cpu| cpu.cpu)
            .collect()
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

/// An event that took too long, and what it waited for. Displays as words.
#[derive(Debug)]
pub struct Slow {
    /// Its number.
    pub seq: u64,
    /// The limit.
    pub limit: Nanos,
    /// How long it took; `None` for one that never arrived.
    pub taken: Option<Nanos>,
    legs: Vec<Leg>,
    /// Processors whose trace was written over before the event was found slow.
    gaps: Vec<u32>,
    names: Names,
}

#[cfg(test)]
mod tests;
