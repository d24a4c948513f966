// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a slow event waited for, in words: a paragraph for each stage, with the
//! time since the event was raised before each line.

use std::{collections::BTreeMap, fmt};

use irqbed_measure::clock::Moment;
use irqbed_results::{stages::Stage, units::Nanos};

use super::{
    Slow,
    analysis::{Leg, Part},
    names::Names,
    replay::{Holder, Phase, Span, State, Why},
};

/// More stretches than this are summed up by what they were.
const SHOWN: usize = 12;

impl fmt::Display for Slow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            seq, limit, taken, ..
        } = self;
        match taken {
            Some(taken) => writeln!(
                f,
                "event {seq} took {taken} from raise to user, more than {limit}:"
            )?,
            None => writeln!(
                f,
                "event {seq} was on its way for more than {limit}, and never reached the process:"
            )?,
        }
        let Some(raised) = self.legs.first().map(|leg| leg.window.from) else {
            return writeln!(f, "no interrupt handler has taken it");
        };
        for leg in &self.legs {
            self.leg(f, leg, raised)?;
        }
        if let Some(last) = self.legs.last().filter(|_| taken.is_none()) {
            writeln!(f, "{}", after(last.stage))?;
        }
        writeln!(
            f,
            "\n(The trace says what had a CPU; not when QEMU brought it the interrupt, nor whether the \
             host ran it all the time.)"
        )?;
        for cpu in &self.gaps {
            writeln!(
                f,
                "the trace of CPU {cpu} was written over since: its part is missing"
            )?;
        }
        Ok(())
    }
}

/// Where an event got lost that went through this stage last.
const fn after(stage: Stage) -> &'static str {
    match stage {
        Stage::RaiseToIsr => "the notifier never had it",
        _ => "the process never had it",
    }
}

impl Slow {
    fn leg(&self, f: &mut fmt::Formatter<'_>, leg: &Leg, raised: Moment) -> fmt::Result {
        let (from, to) = match leg.stage {
            Stage::RaiseToIsr => ("raise", "ISR"),
            Stage::IsrToNotify => ("ISR", "notify"),
            _ => ("notify", "user"),
        };
        let length = leg.window.to.since(leg.window.from);
        writeln!(f, "\n{from} to {to}: {length}")?;
        for part in &leg.parts {
            match part {
                Part::Processor { cpu, spans } => {
                    match leg.stage {
                        Stage::RaiseToIsr => {
                            write!(f, "  CPU {cpu} took the interrupt; until then it was")?
                        }
                        _ => write!(f, "  CPU {cpu} was")?,
                    }
                    self.spans(f, spans, raised)?;
                    if leg.stage == Stage::RaiseToIsr && was_mostly_idle(spans, length) {
                        writeln!(
                            f,
                            "  the guest had nothing to do: QEMU or the host took that long"
                        )?;
                    }
                }
                Part::Task { pid, phase, spans } => {
                    self.phase(f, *pid, phase, leg)?;
                    if is_alone(*pid, phase, spans) {
                        writeln!(f)?;
                    } else {
                        self.spans(f, spans, raised)?;
                    }
                }
                Part::Unknown => writeln!(f, "  the trace does not say who had to go on with it")?,
            }
        }
        Ok(())
    }

    fn phase(&self, f: &mut fmt::Formatter<'_>, pid: i32, phase: &Phase, leg: &Leg) -> fmt::Result {
        let task = Named(&self.names, pid);
        let length = phase.to.since(phase.from);
        match &phase.state {
            State::Asleep => write!(f, "  {task} slept for {length}"),
            State::Waiting { cpu, why } => {
                // By what came before the stage.
                let had = if phase.from == leg.window.from {
                    "had been"
                } else {
                    "was"
                };
                match why {
                    Why::Woken(by) => {
                        write!(f, "  {task} {had} woken by {}", By(&self.names, by))?;
                    }
                    Why::Preempted => write!(f, "  {task} had been preempted")?,
                    Why::Moved => write!(f, "  {task} was moved")?,
                }
                write!(f, " and waited {length} for CPU {cpu}, which was")
            }
            State::Running { cpu } => write!(f, "  {task} had CPU {cpu} for {length}"),
        }
    }

    /// What a processor did, after the words that it was.
    fn spans(&self, f: &mut fmt::Formatter<'_>, spans: &[Span], raised: Moment) -> fmt::Result {
        if let [span] = spans {
            return writeln!(f, " {}", Doing(&self.names, &span.holder));
        }
        writeln!(f)?;
        if spans.len() > SHOWN {
            return self.sums(f, spans);
        }
        for span in spans {
            let since = format!("+{:.1}", span.from.since(raised).0 as f64 / 1e3);
            let length = span.to.since(span.from);
            let what = Doing(&self.names, &span.holder);
            writeln!(f, "  {since:>10} µs {length:>9}  {what}")?;
        }
        Ok(())
    }

    /// What a processor did in all, the longest first.
    fn sums(&self, f: &mut fmt::Formatter<'_>, spans: &[Span]) -> fmt::Result {
        let mut sums: BTreeMap<&Holder, (Nanos, usize)> = BTreeMap::new();
        for span in spans {
            let (sum, times) = sums.entry(&span.holder).or_default();
            sum.0 += span.to.since(span.from).0;
            *times += 1;
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, (sum, _))| std::cmp::Reverse(*sum));
        for (holder, (sum, times)) in sums {
            let times = format!("{times} ×");
            let what = Doing(&self.names, holder);
            writeln!(f, "  {times:>13} {sum:>9}  {what}")?;
        }
        Ok(())
    }
}

fn was_mostly_idle(spans: &[Span], of: Nanos) -> bool {
    let idle = spans.iter().filter(|span| span.holder == Holder::Idle);
    let idle: u64 = idle.map(|span| span.to.since(span.from).0).sum();
    idle > of.0 / 2
}

/// Whether there is no more to say of a phase: the task slept, or ran and nothing
/// else did.
fn is_alone(pid: i32, phase: &Phase, spans: &[Span]) -> bool {
    match (&phase.state, spans) {
        (State::Asleep, _) => true,
        (State::Running { .. }, [only]) => only.holder == Holder::Task(pid),
        _ => false,
    }
}

/// A task by its name.
struct Named<'a>(&'a Names, i32);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, pid) = self;
        match names.get(*pid) {
            _ if *pid == 0 => f.write_str("the idle task"),
            Some(name) => write!(f, "task `{name}` (pid {pid})"),
            None => write!(f, "task {pid}"),
        }
    }
}

/// What a processor was doing.
struct Doing<'a>(&'a Names, &'a Holder);

impl fmt::Display for Doing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, holder) = self;
        match holder {
            Holder::Idle => f.write_str("idle"),
            Holder::Task(pid) => write!(f, "running {}", Named(names, *pid)),
            Holder::Softirq(softirq, pid) => {
                write!(f, "in softirq {softirq}, on top of {}", Named(names, *pid))
            }
            Holder::Irq(name) => write!(f, "in interrupt {name}"),
        }
    }
}

/// Who did something.
struct By<'a>(&'a Names, &'a Holder);

impl fmt::Display for By<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names, holder) = self;
        match holder {
            Holder::Idle => f.write_str("the idle task"),
            Holder::Task(pid) => Named(names, *pid).fmt(f),
            Holder::Softirq(softirq, _) => write!(f, "softirq {softirq}"),
            Holder::Irq(name) => write!(f, "interrupt {name}"),
        }
    }
}
