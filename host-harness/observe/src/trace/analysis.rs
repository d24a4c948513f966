// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What one event waited for: for each of its stages, what the processors and
//! the task that it needed did.

use super::{
    ftrace::Entry,
    handlers::Handlers,
    names::Names,
    replay::{Holder, Phase, Replay, Span, State, Window},
};
use device_model::GuestTsc;
use irqbed_measure::{
    clock::{Moment, WallClock},
    measure,
};
use irqbed_results::{mechanism::Context, stages::Stage};

/// A stage of an event, and what went on in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leg {
    /// The stage.
    pub stage: Stage,
    /// When.
    pub window: Window,
    /// What went on, in the order of time.
    pub parts: Vec<Part>,
}

/// A part of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The event waited for a processor to do something, which was busy with this.
    Processor {
        /// The processor.
        cpu: u32,
        /// What it did.
        spans: Vec<Span>,
    },
    /// The task that was to go on with it lived so.
    Task {
        /// The task.
        pid: i32,
        /// What it did.
        phase: Phase,
        /// What the processor did that it ran on or waited for.
        spans: Vec<Span>,
    },
    /// The trace does not say which processor, or which task.
    Unknown,
}

/// What there is to say something by.
#[derive(Debug)]
pub(super) struct Evidence<'a> {
    /// The kernel's trace, in the order of time.
    pub(super) entries: &'a [Entry],
    /// From guest time to host time.
    pub(super) clock: &'a WallClock,
    /// The guest's processors.
    pub(super) cpus: Vec<u32>,
    /// The tasks.
    pub(super) names: &'a Names,
    /// Where in the kernel events are handed on.
    pub(super) context: Context,
}

/// The stages of an event as far as it came.
pub(super) fn legs(evidence: &Evidence<'_>, trace: &measure::Trace) -> Vec<Leg> {
    let clock = evidence.clock;
    let replay = Replay::new(evidence.entries, clock);
    let handlers = Handlers::new(evidence.entries, evidence.cpus.len());
    let taken_by = trace.isr.and_then(|at| handlers.cpu_at(at));
    let guest = |at: Option<GuestTsc>| at.map(|at| clock.of_guest(at));
    let raise = trace.raise.map(|at| clock.of_host(at));
    let (isr, notify, user) = (guest(trace.isr), guest(trace.notify), guest(trace.user));
    let by_processor = |window| match taken_by {
        Some(cpu) => vec![Part::Processor {
            cpu,
            spans: replay.spans(cpu, window),
        }],
        None => vec![Part::Unknown],
    };
    let by_task = |pid: Option<i32>, window| match pid {
        Some(pid) => life(&replay, pid, window),
        None => vec![Part::Unknown],
    };
    let window = |from: Option<Moment>, to: Option<Moment>| {
        from.zip(to).map(|(from, to)| Window { from, to })
    };
    let leg = |stage, window: Option<Window>, parts: &dyn Fn(Window) -> Vec<Part>| {
        window.map(|window| Leg {
            stage,
            window,
            parts: parts(window),
        })
    };
    let notifier = |window: Window| {
        let running = |prefix| evidence.running(&replay, taken_by, window.to, prefix);
        match evidence.context {
            Context::Hardirq | Context::Bh => by_processor(window),
            Context::Threaded => by_task(running("irq/"), window),
            Context::Workqueue => by_task(running("kworker/"), window),
        }
    };
    let listener = evidence.names.listener();
    let legs = [
        leg(Stage::RaiseToIsr, window(raise, isr), &by_processor),
        leg(Stage::IsrToNotify, window(isr, notify), &notifier),
        leg(Stage::NotifyToUser, window(notify, user), &|window| {
            by_task(listener, window)
        }),
    ];
    legs.into_iter().flatten().collect()
}

impl Evidence<'_> {
    /// A task of such a name that ran at a moment, first of all on `cpu`.
    fn running(
        &self,
        replay: &Replay<'_>,
        cpu: Option<u32>,
        at: Moment,
        prefix: &str,
    ) -> Option<i32> {
        let just_then = Window {
            from: Moment(at.0.saturating_sub(1)),
            to: at,
        };
        let on = |cpu| match replay.spans(cpu, just_then).pop()?.holder {
            Holder::Task(pid) if self.names.get(pid)?.starts_with(prefix) => Some(pid),
            _ => None,
        };
        cpu.into_iter()
            .chain(self.cpus.iter().copied())
            .find_map(on)
    }
}

/// The life of a task in a window.
fn life(replay: &Replay<'_>, pid: i32, window: Window) -> Vec<Part> {
    let phases = replay.phases(pid, window).into_iter();
    let part = |phase: Phase| {
        let within = Window {
            from: phase.from,
            to: phase.to,
        };
        let spans = match &phase.state {
            State::Asleep => Vec::new(),
            State::Waiting { cpu, .. } | State::Running { cpu } => replay.spans(*cpu, within),
        };
        Part::Task { pid, phase, spans }
    };
    phases.map(part).collect()
}
