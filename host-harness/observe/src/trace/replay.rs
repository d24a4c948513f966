// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's trace played again: who held each processor at each moment, and
//! what became of a task.

use std::collections::BTreeMap;

use irqbed_measure::clock::{Moment, WallClock};

use super::ftrace::{Entry, Softirq, What};

/// What a processor did.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// Nothing.
    Idle,
    /// It ran a task, in user space or in the kernel.
    Task(i32),
    /// A softirq, in the time of a task.
    Softirq(Softirq, i32),
    /// The handler of an interrupt, by its name.
    Irq(String),
}

/// A stretch of time in which a processor did one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
    /// What.
    pub holder: Holder,
}

/// A stretch of time in the life of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
    /// What it did.
    pub state: State,
}

/// What a task does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It sleeps, or nothing is known of it.
    Asleep,
    /// It would run, and has no processor.
    Waiting {
        /// The processor it waits for.
        cpu: u32,
        /// Why it waits there.
        why: Why,
    },
    /// It runs; interrupts may run on top.
    Running {
        /// The processor.
        cpu: u32,
    },
}

/// Why a task waits for a processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It was woken, by this.
    Woken(Holder),
    /// It ran, and had to give way.
    Preempted,
    /// It waited for another one before.
    Moved,
}

/// A window of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// From when.
    pub from: Moment,
    /// Until when.
    pub to: Moment,
}

/// The entries of a trace on the clock of host and guest.
#[derive(Debug)]
pub struct Replay<'a>(Vec<(Moment, &'a Entry)>);

/// What is known of a processor while the trace is played.
#[derive(Debug, Default)]
struct Cpu {
    task: i32,
    /// Interrupts and softirqs on top of it, the innermost last.
    above: Vec<Holder>,
    /// The handler that ended last.
    ended: Option<Holder>,
}

impl Cpu {
    fn before(entry: &Entry) -> Self {
        Self {
            task: entry.task.pid,
            above: Vec::new(),
            ended: None,
        }
    }

    /// Who did what an entry says. What a handler asks the kernel to wake is
    /// woken after its end, and still within the interrupt.
    fn cause(&self, entry: &Entry) -> Holder {
        match (self.above.as_slice(), &self.ended) {
            ([], Some(ended)) if entry.in_interrupt => ended.clone(),
            _ => self.holder(),
        }
    }

    fn holder(&self) -> Holder {
        match (self.above.last(), self.task) {
            (Some(above), _) => above.clone(),
            (None, 0) => Holder::Idle,
            (None, task) => Holder::Task(task),
        }
    }

    fn take(&mut self, entry: &Entry) {
        self.task = entry.task.pid;
        match &entry.what {
            What::Switch { next, .. } => {
                self.task = next.pid;
                // No interrupt goes on over a switch: what is still here ended
                // in entries that are lost.
                self.above.clear();
            }
            What::IrqEntry { name, .. } | What::VectorEntry { name, .. } => {
                self.above.push(Holder::Irq(name.clone()));
            }
            What::SoftirqEntry(softirq) => {
                self.above.push(Holder::Softirq(*softirq, self.task));
            }
            What::IrqExit { .. } | What::VectorExit { .. } => self.ended = self.above.pop(),
            What::SoftirqExit(_) => {
                self.above.pop();
            }
            What::Waking(_) | What::Wakeup(_) | What::WakeupNew(_) | What::SoftirqRaise(_) => {}
        }
    }
}

impl<'a> Replay<'a> {
    /// Entries in the order of time.
    #[must_use]
    pub fn new(entries: &'a [Entry], clock: &WallClock) -> Self {
        let timed = entries
            .iter()
            .map(|entry| (clock.of_guest(entry.at), entry));
        Self(timed.collect())
    }

    /// The first entry of a processor.
    #[must_use]
    pub fn begin(&self, cpu: u32) -> Option<Moment> {
        let mut own = self.0.iter().filter(|(_, entry)| entry.cpu == cpu);
        own.next().map(|(at, _)| *at)
    }

    /// What a processor did in a window, without gaps, as far as the trace goes
    /// back; empty where it has no entry of that processor.
    #[must_use]
    pub fn spans(&self, cpu: u32, window: Window) -> Vec<Span> {
        let mut own = self
            .0
            .iter()
            .filter(|(_, entry)| entry.cpu == cpu)
            .peekable();
        let Some((_, first)) = own.peek() else {
            return Vec::new();
        };
        let mut state = Cpu::before(first);
        let mut spans = Spans::new(window);
        for (at, entry) in own {
            if *at >= window.to {
                break;
            }
            spans.until(*at, state.holder());
            state.take(entry);
        }
        spans.until(window.to, state.holder());
        spans.done
    }

    /// What became of a task in a window, without gaps.
    #[must_use]
    pub fn phases(&self, pid: i32, window: Window) -> Vec<Phase> {
        let mut cpus: BTreeMap<u32, Cpu> = BTreeMap::new();
        let mut state = State::Asleep;
        let mut phases = Vec::new();
        let mut since = window.from;
        for (at, entry) in self.0.iter().take_while(|(at, _)| *at < window.to) {
            let cpu = cpus.entry(entry.cpu).or_insert_with(|| Cpu::before(entry));
            let new = next_state(&state, pid, entry, cpu);
            cpu.take(entry);
            if let Some(new) = new {
                let at = (*at).max(window.from);
                if at > since {
                    phases.push(Phase {
                        from: since,
                        to: at,
                        state,
                    });
                }
                since = at;
                state = new;
            }
        }
        phases.push(Phase {
            from: since,
            to: window.to,
            state,
        });
        phases
    }
}

/// What an entry makes of a task, if anything.
fn next_state(state: &State, pid: i32, entry: &Entry, cpu: &Cpu) -> Option<State> {
    match &entry.what {
        What::Switch {
            prev,
            prev_state,
            next,
            ..
        } => {
            if next.pid == pid {
                return Some(State::Running { cpu: entry.cpu });
            }
            (prev.pid == pid).then(|| {
                if prev_state.starts_with('R') {
                    State::Waiting {
                        cpu: entry.cpu,
                        why: Why::Preempted,
                    }
                } else {
                    State::Asleep
                }
            })
        }
        // One that is awake may be woken once more.
        What::Waking(woken) if woken.task.pid == pid && *state == State::Asleep => {
            Some(State::Waiting {
                cpu: woken.cpu,
                why: Why::Woken(cpu.cause(entry)),
            })
        }
        // The processor is chosen after the waking.
        What::Wakeup(woken) if woken.task.pid == pid => match state {
            State::Waiting { cpu, .. } if *cpu != woken.cpu => Some(State::Waiting {
                cpu: woken.cpu,
                why: Why::Moved,
            }),
            _ => None,
        },
        _ if *state == State::Asleep && entry.task.pid == pid => {
            Some(State::Running { cpu: entry.cpu })
        }
        _ => None,
    }
}

/// Spans as they are found.
struct Spans {
    window: Window,
    since: Moment,
    done: Vec<Span>,
}

impl Spans {
    fn new(window: Window) -> Self {
        Self {
            window,
            since: window.from,
            done: Vec::new(),
        }
    }

    /// This holder had it up to a moment.
    fn until(&mut self, at: Moment, holder: Holder) {
        let to = at.min(self.window.to);
        if to <= self.since {
            return;
        }
        match self.done.last_mut() {
            Some(last) if last.holder == holder => last.to = to,
            _ => self.done.push(Span {
                from: self.since,
                to,
                holder,
            }),
        }
        self.since = to;
    }
}
