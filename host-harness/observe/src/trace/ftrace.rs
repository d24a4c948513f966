// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's trace as text (Documentation/trace/ftrace.rst), a line an entry,
//! read into what each entry says.
//!
//! ```text
//!           <idle>-0       [000] d.h1.   4990308388: irq_handler_entry: irq=24 name=irqbed0-0
//! ```

use std::fmt;

use device_model::GuestTsc;

/// A task as an entry names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskName {
    /// Its id; 0 for a processor that is idle.
    pub pid: i32,
    /// Its name.
    pub comm: String,
}

/// A task that is to run, as an entry of the scheduler says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Woken {
    /// The task.
    pub task: TaskName,
    /// Its priority, as the scheduler counts: 120 for nice 0, below 100 for real
    /// time.
    pub prio: i32,
    /// The processor that it is to run on.
    pub cpu: u32,
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The processor goes from one task to another.
    Switch {
        /// The task that ran.
        prev: TaskName,
        /// Its priority.
        prev_prio: i32,
        /// Its state, as in `ps`: `R` or `R+` for one that would run on.
        prev_state: String,
        /// The task that runs now.
        next: TaskName,
        /// Its priority.
        next_prio: i32,
    },
    /// A task is about to be woken: where it happens.
    Waking(Woken),
    /// A task is on the queue of a processor.
    Wakeup(Woken),
    /// The same, of a task that is new.
    WakeupNew(Woken),
    /// The handler of an interrupt of a device begins.
    IrqEntry {
        /// Number of the interrupt.
        irq: i32,
        /// Name of the handler.
        name: String,
    },
    /// It ends.
    IrqExit {
        /// Number of the interrupt.
        irq: i32,
        /// Whether it had been for this handler.
        handled: bool,
    },
    /// A softirq begins.
    SoftirqEntry(Softirq),
    /// It ends.
    SoftirqExit(Softirq),
    /// A softirq is asked for.
    SoftirqRaise(Softirq),
    /// The handler of an interrupt of the processor itself begins.
    VectorEntry {
        /// Which: `local_timer`, `reschedule`.
        name: String,
        /// Its number.
        vector: i32,
    },
    /// It ends.
    VectorExit {
        /// Which.
        name: String,
        /// Its number.
        vector: i32,
    },
}

/// A softirq, by its number (`enum` in linux/interrupt.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Softirq(pub u32);

impl fmt::Display for Softirq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 10] = [
            "HI", "TIMER", "NET_TX", "NET_RX", "BLOCK", "IRQ_POLL", "TASKLET", "SCHED", "HRTIMER",
            "RCU",
        ];
        match NAMES.get(self.0 as usize) {
            Some(name) => f.pad(name),
            None => write!(f, "{}", self.0),
        }
    }
}

/// An entry of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: GuestTsc,
    /// On which processor.
    pub cpu: u32,
    /// The task that had the processor.
    pub task: TaskName,
    /// Whether an interrupt was being served.
    pub in_interrupt: bool,
    /// What.
    pub what: What,
}

/// A trace that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ftrace {
    /// Its entries, in the order of time.
    pub entries: Vec<Entry>,
    /// Lines that make no sense to us.
    pub unread: u64,
}

impl Ftrace {
    /// Reads the text of a trace. Lines that make no sense are counted.
    #[must_use]
    pub fn read(text: &[u8]) -> Self {
        let text = String::from_utf8_lossy(text);
        let mut read = Self::default();
        for line in text.lines() {
            // The head, and notes that entries are missing.
            if line.is_empty() || line.starts_with('#') || line.starts_with("CPU:") {
                continue;
            }
            match entry(line) {
                Some(entry) => read.entries.push(entry),
                None => read.unread += 1,
            }
        }
        // The kernel merges the processors' traces; this is not left to it.
        read.entries.sort_by_key(|entry| entry.at);
        read
    }
}

fn entry(line: &str) -> Option<Entry> {
    // A name may hold anything, brackets too; what follows it may not.
    let brackets = line.match_indices(" [").map(|(place, _)| place);
    brackets
        .filter_map(|place| line.split_at_checked(place))
        .find_map(|(name, rest)| entry_of(name, rest.get(2..)?))
}

/// `TASK-PID`, and `CPU] FLAGS STAMP: EVENT: WHAT`
fn entry_of(name: &str, rest: &str) -> Option<Entry> {
    let (comm, pid) = name.trim().rsplit_once('-')?;
    let (cpu, rest) = rest.split_once(']')?;
    let (flags, rest) = rest.trim_start().split_once(' ')?;
    let (at, rest) = rest.split_once(": ")?;
    let (event, said) = rest.split_once(": ")?;
    Some(Entry {
        at: GuestTsc(at.trim().parse().ok()?),
        cpu: cpu.parse().ok()?,
        task: TaskName {
            pid: pid.trim().parse().ok()?,
            comm: comm.to_owned(),
        },
        // h, or H where it came over a softirq.
        in_interrupt: matches!(flags.as_bytes().get(2), Some(b'h' | b'H')),
        what: what(event, said)?,
    })
}

fn what(event: &str, said: &str) -> Option<What> {
    let vector = |name: &str| Some((name.to_owned(), number(said, "vector=")?));
    Some(match event {
        "sched_switch" => switch(said)?,
        "sched_waking" => What::Waking(woken(said)?),
        "sched_wakeup" => What::Wakeup(woken(said)?),
        "sched_wakeup_new" => What::WakeupNew(woken(said)?),
        "irq_handler_entry" => What::IrqEntry {
            irq: number(said, "irq=")?,
            name: said.split_once(" name=")?.1.to_owned(),
        },
        "irq_handler_exit" => What::IrqExit {
            irq: number(said, "irq=")?,
            handled: said.ends_with("ret=handled"),
        },
        "softirq_entry" => What::SoftirqEntry(Softirq(number(said, "vec=")?)),
        "softirq_exit" => What::SoftirqExit(Softirq(number(said, "vec=")?)),
        "softirq_raise" => What::SoftirqRaise(Softirq(number(said, "vec=")?)),
        _ => match (event.strip_suffix("_entry"), event.strip_suffix("_exit")) {
            (Some(name), _) => {
                vector(name).map(|(name, vector)| What::VectorEntry { name, vector })
            }
            (_, Some(name)) => vector(name).map(|(name, vector)| What::VectorExit { name, vector }),
            _ => None,
        }?,
    })
}

/// The number behind a key, up to the next space.
fn number<T: std::str::FromStr>(said: &str, key: &str) -> Option<T> {
    let (_, rest) = said.split_once(key)?;
    let end = rest.find(' ').unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

/// `prev_comm=C prev_pid=N prev_prio=N prev_state=S ==> next_comm=C ...`
fn switch(said: &str) -> Option<What> {
    let (prev, next) = said.split_once(" ==> next_comm=")?;
    let (prev_comm, prev) = prev.strip_prefix("prev_comm=")?.rsplit_once(" prev_pid=")?;
    let (prev_pid, prev) = prev.split_once(" prev_prio=")?;
    let (prev_prio, prev_state) = prev.split_once(" prev_state=")?;
    let (next_comm, next) = next.rsplit_once(" next_pid=")?;
    let (next_pid, next_prio) = next.split_once(" next_prio=")?;
    Some(What::Switch {
        prev: TaskName {
            pid: prev_pid.parse().ok()?,
            comm: prev_comm.to_owned(),
        },
        prev_prio: prev_prio.parse().ok()?,
        prev_state: prev_state.to_owned(),
        next: TaskName {
            pid: next_pid.parse().ok()?,
            comm: next_comm.to_owned(),
        },
        next_prio: next_prio.trim_end().parse().ok()?,
    })
}

/// `comm=C pid=N prio=N target_cpu=N`
fn woken(said: &str) -> Option<Woken> {
    let (comm, rest) = said.strip_prefix("comm=")?.rsplit_once(" pid=")?;
    let (pid, rest) = rest.split_once(" prio=")?;
    let (prio, cpu) = rest.split_once(" target_cpu=")?;
    Some(Woken {
        task: TaskName {
            pid: pid.parse().ok()?,
            comm: comm.to_owned(),
        },
        prio: prio.parse().ok()?,
        cpu: cpu.trim_end().parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(line: &str) -> Entry {
        let read = Ftrace::read(line.as_bytes());
        assert_eq!(read.unread, 0, "{line}");
        read.entries.into_iter().next().expect("an entry")
    }

    fn task(comm: &str, pid: i32) -> TaskName {
        let comm = comm.to_owned();
        TaskName { pid, comm }
    }

    #[test]
    fn a_switch_says_who_went_and_who_came() {
        let entry = one(
            "              sh-121     [000] d..2.   4990308388: sched_switch: prev_comm=sh \
             prev_pid=121 prev_prio=120 prev_state=R+ ==> next_comm=kworker/0:0 next_pid=9 \
             next_prio=100",
        );
        assert_eq!((entry.at, entry.cpu), (GuestTsc(4_990_308_388), 0));
        assert_eq!((entry.task, entry.in_interrupt), (task("sh", 121), false));
        let expected = What::Switch {
            prev: task("sh", 121),
            prev_prio: 120,
            prev_state: "R+".to_owned(),
            next: task("kworker/0:0", 9),
            next_prio: 100,
        };
        assert_eq!(entry.what, expected);
    }

    #[test]
    fn a_task_may_have_any_name() {
        let odd = "a-1 [x] pid=3";
        let entry = one(&format!(
            "{odd:>16}-62      [003] dNs4.   4992625196: sched_waking: comm={odd} pid=62 prio=-1 \
             target_cpu=002",
        ));
        assert_eq!(entry.task, task(odd, 62));
        let expected = Woken {
            task: task(odd, 62),
            prio: -1,
            cpu: 2,
        };
        assert_eq!((entry.cpu, entry.what), (3, What::Waking(expected)));
    }

    #[test]
    fn interrupts_of_every_kind_begin_and_end() {
        let said = |event: &str| {
            let entry = one(&format!(
                "          <idle>-0       [000] d.h1.   7: {event}"
            ));
            assert!(entry.in_interrupt);
            entry.what
        };
        assert_eq!(
            said("irq_handler_entry: irq=24 name=irqbed0-0"),
            What::IrqEntry {
                irq: 24,
                name: "irqbed0-0".to_owned()
            }
        );
        assert_eq!(
            said("irq_handler_exit: irq=24 ret=unhandled"),
            What::IrqExit {
                irq: 24,
                handled: false
            }
        );
        assert_eq!(
            said("softirq_entry: vec=3 [action=NET_RX]"),
            What::SoftirqEntry(Softirq(3))
        );
        assert_eq!(Softirq(3).to_string(), "NET_RX");
        assert_eq!(
            said("local_timer_exit: vector=236"),
            What::VectorExit {
                name: "local_timer".to_owned(),
                vector: 236
            }
        );
    }

    #[test]
    fn what_makes_no_sense_is_counted_and_the_head_is_not() {
        let text = b"# tracer: nop\n#\nCPU:0 [LOST 5 EVENTS]\n\nnonsense\n  a-1 [000] d 7: b: c\n";
        let read = Ftrace::read(text);
        assert_eq!((read.entries.len(), read.unread), (0, 2));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Ftrace::read(&text);
        }

        #[test]
        fn any_line_that_looks_like_one_is_read_without_panic(said in ".{0,80}", event in "[a-z_]{0,20}") {
            let _ = Ftrace::read(format!("a-1 [000] d.h. 7: {event}: {said}").as_bytes());
            let _ = Ftrace::read(format!("a-1 [000] d.h. 7: sched_switch: prev_comm={said}").as_bytes());
        }
    }
}
