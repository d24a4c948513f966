// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where on the host the threads run that an event passes through: the one that
//! raises it, QEMU's main loop, which the interrupt reaches first, and the
//! guest's processors.
//!
//! Each hands over to the next and sleeps. On one processor that is a switch from
//! one thread to the next; on two, a processor has to be woken, which costs more
//! than all the rest where the host is a guest itself.

use std::{fmt, fs, io, str::FromStr, thread, time::Duration};

use irqbed_machine::{
    accel::Accelerator,
    qemu::{ClockKind, Role, threads},
};
use irqbed_results::placement::{Placement, list};
use rustix::{
    io::Errno,
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::bench::Bench;

/// Up to so many events a second they share a processor without getting into
/// each other's way.
const SHARED: f64 = 10_000.0;
/// How long the host is watched for a processor that has nothing to do.
const WATCH: Duration = Duration::from_millis(50);

/// How the threads of a run are placed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Pin {
    /// On one processor where they take turns, and wherever the host's scheduler
    /// puts them where they would be in each other's way or it makes no
    /// difference.
    #[default]
    Auto,
    /// Wherever the host's scheduler puts them.
    None,
    /// On these processors: that of the thread that raises, that of QEMU's main
    /// loop, and those of the guest's processors. The last one holds for all
    /// that follow.
    To(Vec<u32>),
}

/// A list of processors that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    /// It is no list of numbers.
    #[error(
        "give auto, none, or the host's processors as 1 or 0,0,1: raising thread, main loop, guest"
    )]
    Syntax,
    /// This process may not run there.
    #[error("this process may not run on processor {cpu} of the host, but on {}", list(.allowed))]
    NotAllowed {
        /// The processor.
        cpu: u32,
        /// Those it may run on.
        allowed: Vec<u32>,
    },
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::None => f.write_str("none"),
            Self::To(cpus) => f.write_str(&list(cpus)),
        }
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        match text {
            "auto" => return Ok(Self::Auto),
            "none" => return Ok(Self::None),
            _ => {}
        }
        let cpus = text
            .split(',')
            .map(str::parse)
            .collect::<Result<Vec<u32>, _>>();
        let cpus = cpus.map_err(|_| PinError::Syntax)?;
        let allowed = allowed().unwrap_or_default();
        match cpus.iter().find(|cpu| !allowed.contains(cpu)) {
            Some(&cpu) => Err(PinError::NotAllowed { cpu, allowed }),
            None => Ok(Self::To(cpus)),
        }
    }
}

impl Pin {
    /// Where the threads of a benchmark go; `None` for wherever they are put.
    #[must_use]
    pub fn placement(&self, bench: &Bench) -> Option<Placement> {
        let vcpus = bench.machine.vcpus;
        match self {
            Self::None => None,
            Self::To(cpus) => placed(cpus, vcpus),
            Self::Auto => {
                let by_threads = bench.machine.accelerator == Accelerator::Tcg
                    && bench.machine.clock == ClockKind::Wall;
                let seldom = bench.plan.rate.hertz().is_some_and(|hertz| hertz <= SHARED);
                let allowed = allowed().ok()?;
                (by_threads && seldom && allowed.len() > 1)
                    .then(|| automatic(&quietest_last(allowed), vcpus))?
            }
        }
    }
}

/// A list of processors as a placement; the last one holds for all that follow.
fn placed(cpus: &[u32], vcpus: u32) -> Option<Placement> {
    let at = |index: usize| cpus.get(index).or(cpus.last()).copied();
    Some(Placement {
        raise: at(0)?,
        main_loop: at(1)?,
        vcpus: (0..vcpus as usize).map_while(|vcpu| at(vcpu + 2)).collect(),
    })
}

/// The quietest processor for the way of an event, which leads to the guest's
/// first; one of their own for the others, where there are so many.
fn automatic(cpus: &[u32], vcpus: u32) -> Option<Placement> {
    let from_quietest = cpus.iter().rev().copied();
    let placement = Placement {
        raise: *cpus.last()?,
        main_loop: *cpus.last()?,
        vcpus: from_quietest.take(vcpus as usize).collect(),
    };
    (placement.vcpus.len() == vcpus as usize).then_some(placement)
}

/// The processors this process may run on.
fn allowed() -> io::Result<Vec<u32>> {
    let set = sched_getaffinity(None)?;
    let all = 0..u32::try_from(CpuSet::MAX_CPU).unwrap_or(0);
    Ok(all.filter(|&cpu| set.is_set(cpu as usize)).collect())
}

/// Those that have more to do first.
fn quietest_last(mut cpus: Vec<u32>) -> Vec<u32> {
    let before = busy();
    thread::sleep(WATCH);
    let after = busy();
    let spent = |cpu: &u32| {
        let of = |all: &[u64]| all.get(*cpu as usize).copied().unwrap_or(0);
        of(&after).saturating_sub(of(&before))
    };
    cpus.sort_by_key(|cpu| (std::cmp::Reverse(spent(cpu)), *cpu));
    cpus
}

/// Time that each processor was not idle, ticks (proc_stat(5)); empty where the
/// host does not tell.
fn busy() -> Vec<u64> {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let mut all = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let cpu = words.next().and_then(|name| name.strip_prefix("cpu"));
        let Some(cpu) = cpu.and_then(|number| number.parse::<usize>().ok()) else {
            continue;
        };
        let times: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let idle = times.iter().skip(3).take(2).sum::<u64>();
        let spent = times.iter().take(8).sum::<u64>() - idle;
        if all.len() <= cpu {
            all.resize(cpu + 1, 0);
        }
        if let Some(entry) = all.get_mut(cpu) {
            *entry = spent;
        }
    }
    all
}

/// Threads that are kept on processors until this is dropped.
#[derive(Debug)]
#[must_use = "the threads go back when this is dropped"]
pub struct Pinned(Vec<(Option<Pid>, CpuSet)>);

impl Pinned {
    /// Puts this thread and those of QEMU where they belong.
    ///
    /// # Errors
    /// When QEMU is gone, or the host does not let it be moved.
    pub fn to(placement: &Placement, qemu: u32) -> io::Result<Self> {
        let mut pinned = Self(Vec::new());
        pinned.put(None, placement.raise)?;
        for (thread, role) in threads(qemu)? {
            let cpu = match role {
                Role::Processor(vcpu) => placement.vcpus.get(vcpu as usize).copied(),
                Role::Other => None,
            };
            match pinned.put(Some(thread), cpu.unwrap_or(placement.main_loop)) {
                // It has gone since.
                Err(Errno::SRCH) => {}
                put => put?,
            }
        }
        Ok(pinned)
    }

    /// Puts this thread on one processor and those of QEMU on the others that this
    /// process may run on; `None` where there is no other one.
    ///
    /// # Errors
    /// When QEMU is gone, or the host does not let it be moved.
    pub fn apart(qemu: u32) -> io::Result<Option<Self>> {
        let allowed = allowed()?;
        let Some((own, others @ [_, ..])) = allowed.split_last() else {
            return Ok(None);
        };
        let mut pinned = Self(Vec::new());
        pinned.put(None, *own)?;
        for (thread, _) in threads(qemu)? {
            match pinned.put_on(Some(thread), others) {
                Err(Errno::SRCH) => {}
                put => put?,
            }
        }
        Ok(Some(pinned))
    }

    fn put(&mut self, thread: Option<Pid>, cpu: u32) -> rustix::io::Result<()> {
        self.put_on(thread, &[cpu])
    }

    fn put_on(&mut self, thread: Option<Pid>, cpus: &[u32]) -> rustix::io::Result<()> {
        let before = sched_getaffinity(thread)?;
        let mut set = CpuSet::new();
        cpus.iter().for_each(|cpu| set.set(*cpu as usize));
        sched_setaffinity(thread, &set)?;
        self.0.push((thread, before));
        Ok(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        for (thread, before) in &self.0 {
            // Fails only when the thread is gone.
            let _ = sched_setaffinity(*thread, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use irqbed_machine::qemu::Machine;
    use irqbed_results::mechanism::{Context, Mechanism, Pair};

    use super::*;
    use crate::measure::Rate;

    fn bench(change: impl FnOnce(&mut Bench)) -> Bench {
        let machine = Machine::new(Accelerator::Tcg, ClockKind::Wall);
        let pair = Pair::of(&[Mechanism::Netlink], &[Context::Hardirq]);
        let mut bench = Bench::new(&machine, pair[0]);
        change(&mut bench);
        bench
    }

    #[test]
    fn a_list_holds_for_all_that_follow_its_last() {
        let of = |cpus: &[u32], vcpus| placed(cpus, vcpus).expect("a placement");
        let two = of(&[0, 1], 3);
        assert_eq!((two.raise, two.main_loop), (0, 1));
        assert_eq!(two.vcpus, [1, 1, 1]);
        let one = of(&[5], 1);
        assert_eq!((one.raise, one.main_loop, one.vcpus), (5, 5, vec![5]));
    }

    #[test]
    fn what_is_no_processor_of_ours_is_refused() {
        assert_eq!("auto".parse(), Ok(Pin::Auto));
        assert_eq!("none".parse(), Ok(Pin::None));
        for text in ["", "all", "0,", "-1", "0-1", "1 2"] {
            assert_eq!(text.parse::<Pin>(), Err(PinError::Syntax), "{text:?}");
        }
        let error = "99999".parse::<Pin>().expect_err("there are not so many");
        assert!(error.to_string().contains("processor 99999"), "{error}");
    }

    #[test]
    fn the_way_of_an_event_gets_the_quietest_processor() {
        let placed = automatic(&[1, 0, 2], 2).expect("a placement");
        assert_eq!((placed.raise, placed.main_loop), (2, 2));
        assert_eq!(placed.vcpus, [2, 0]);
        assert_eq!(automatic(&[0, 1], 3), None);
    }

    #[test]
    fn runs_are_alike_where_the_same_threads_share_a_processor() {
        let shape = |cpus: &[u32]| placed(cpus, 1).map(|placed| placed.shape());
        assert_eq!(shape(&[0]), shape(&[1]));
        assert_eq!(shape(&[0, 0, 1]), shape(&[1, 1, 0]));
        assert_ne!(shape(&[0, 0, 1]), shape(&[0]));
    }

    #[test]
    fn where_it_would_not_help_nothing_is_pinned() {
        let none = |change: fn(&mut Bench)| Pin::Auto.placement(&bench(change)).is_none();
        assert!(none(|bench| bench.machine.clock = ClockKind::Instructions));
        assert!(none(|bench| bench.machine.accelerator = Accelerator::Kvm));
        assert!(none(|bench| bench.plan.rate = Rate::Max { window: 128 }));
        assert!(none(|bench| bench.plan.rate = Rate::Hertz(20_000.0)));
        assert!(none(|bench| bench.machine.vcpus = 4096));
        assert_eq!(Pin::None.placement(&bench(|_| {})), None);
    }

    #[test]
    fn a_thread_comes_back_to_where_it_was() {
        let pinned_here = |cpu: u32| {
            sched_getaffinity(None).is_ok_and(|set| set.count() == 1 && set.is_set(cpu as usize))
        };
        let before = allowed().expect("a list");
        let mut pinned = Pinned(Vec::new());
        pinned.put(None, before[0]).expect("it is allowed");
        assert!(pinned_here(before[0]));
        drop(pinned);
        assert_eq!(allowed().expect("a list"), before);
    }
}
