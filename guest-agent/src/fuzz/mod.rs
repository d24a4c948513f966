// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random system calls on every entrance of the driver: `fuzz SEED OPERATIONS
//! WORKERS`. Some of the processes are killed in the middle; the calls of each are
//! the same for the same seed, how they interleave is the scheduler's.
//!
//! The driver survives all of it, or the kernel says what it did not; whoever
//! started this looks at the kernel's log.

mod device;
mod message;
mod sockets;
mod state;
mod sys;
mod worker;

use std::{
    fs,
    io::Read,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use rustix::process::{Pid, Signal};

use self::worker::Worker;
use crate::{
    children::{Children, SELF},
    genetlink::{self, Family},
    netlink::{self, Socket},
    proc_stat::behind_name,
};

/// First argument of the process that starts the others.
pub const ROLE: &str = "fuzz";
/// First argument of those.
pub const WORKER_ROLE: &str = "fuzz-worker";
/// A process that sleeps for as long as this is stuck in the driver: its calls are short.
const ASLEEP: Duration = Duration::from_secs(20);
/// One that has had this much of the processor is in a loop there. On a busy host a guest takes
/// long, which is no fault of its driver's.
const BUSY: Duration = Duration::from_secs(120);
/// A process that was killed and has not ended by then is stuck in the kernel.
const KILLED: Duration = Duration::from_secs(5);
/// The latest that a process is killed in the middle.
const KILL_MS: u64 = 300;

fn numbers<const N: usize>(arguments: &[String]) -> Result<[u64; N]> {
    let numbers: Vec<u64> = arguments
        .iter()
        .map(|text| {
            text.parse()
                .with_context(|| format!("{text:?} is no number"))
        })
        .collect::<Result<_>>()?;
    numbers
        .try_into()
        .map_err(|_| anyhow::anyhow!("usage: fuzz SEED OPERATIONS WORKERS"))
}

/// Starts the processes, kills some of them, and waits for all.
pub fn main(arguments: &[String]) -> Result<()> {
    let [seed, operations, workers] = numbers(arguments)?;
    ensure!((1..=16).contains(&workers), "1 to 16 workers");
    let mut rng = Rng::with_seed(seed);
    let mut children = Children::default();
    let mut running = Vec::new();
    for worker in 0..workers {
        let mut command = Command::new(SELF);
        command
            .arg(WORKER_ROLE)
            .args([rng.u64(..), operations / workers, worker].map(|number| number.to_string()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let (pid, child) = children
            .spawn(&mut command)
            .context("cannot start a process")?;
        let killed = rng.u8(..3) == 0;
        running.push((
            pid,
            child,
            killed.then(|| Duration::from_millis(rng.u64(..KILL_MS))),
        ));
    }
    for (pid, _, killed) in &running {
        if let Some(after) = killed
            && children.wait(*pid, *after).is_none()
        {
            children.signal(*pid, Signal::KILL);
        }
    }
    for (pid, child, killed) in running {
        end(&mut children, pid)?;
        report(child, killed.is_some());
    }
    Ok(())
}

/// What a process has had of the processor.
fn processor_time(pid: Pid) -> Duration {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let stat = fs::read_to_string(path).unwrap_or_default();
    // The 12th and the 13th are in user mode and in the kernel.
    let fields = behind_name(&stat).into_iter().flatten().skip(11).take(2);
    let ticks: u64 = fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

fn end(children: &mut Children, pid: Pid) -> Result<()> {
    let mut before = Duration::ZERO;
    let used = loop {
        if let Some(status) = children.wait(pid, ASLEEP) {
            ensure!(
                matches!(status, 0 | 137),
                "a process ended with status {status}"
            );
            return Ok(());
        }
        let used = processor_time(pid);
        if used == before || used > BUSY {
            break used;
        }
        before = used;
    };
    let stack = |pid: Pid| {
        fs::read_to_string(format!("/proc/{}/stack", pid.as_raw_nonzero())).unwrap_or_default()
    };
    let was_in = stack(pid);
    children.signal(pid, Signal::KILL);
    if children.wait(pid, KILLED).is_none() {
        bail!("a process cannot be killed; it is in\n{}", stack(pid));
    }
    bail!(
        "a process did not come to its end, and had {used:?} of the processor; it was in\n{was_in}"
    );
}

/// Passes on what a process said of its calls.
fn report(mut child: Child, killed: bool) {
    let mut text = String::new();
    if let Some(stdout) = &mut child.stdout {
        let _ = stdout.read_to_string(&mut text);
    }
    print!(
        "{}",
        if killed && text.is_empty() {
            "killed\n"
        } else {
            &text
        }
    );
}

/// One of the processes: as many system calls as it is told.
pub fn worker(arguments: &[String]) -> Result<()> {
    let [seed, operations, _] = numbers(arguments)?;
    let unit = netlink::unit()?;
    let family = Family::find(&mut Socket::open(genetlink::PROTOCOL)?).ok();
    sys::survive_signals();
    let mut worker = Worker::new(seed, unit, family)?;
    worker.run(operations);
    let calls = worker
        .calls
        .iter()
        .map(|(name, [done, failed])| format!("{name} {done}+{failed}"));
    println!("{}", calls.collect::<Vec<_>>().join(", "));
    Ok(())
}
