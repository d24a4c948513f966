// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The processes that PID 1 started, and those it inherited: who still runs,
//! and how the others ended.

use std::{
    collections::BTreeMap,
    io,
    os::fd::OwnedFd,
    process::{Child, Command},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, pidfd_open, wait,
        waitpid,
    },
};

/// Programs are looked for here, in this order.
pub const PATH: &str = "/bin:/sbin:/usr/bin:/usr/sbin";

/// The agent's own binary.
pub const SELF: &str = "/proc/self/exe";

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By the signal of this number.
    Signalled(i32),
}

impl Ended {
    /// Exit status, or 128 + signal number, as a shell has it.
    fn status(self) -> i32 {
        match self {
            Self::Exited(status) => status,
            Self::Signalled(signal) => 128 + signal,
        }
    }
}

/// The table of our children.
#[derive(Debug, Default)]
pub struct Children {
    /// By process id.
    status: BTreeMap<i32, Option<Ended>>,
}

impl Children {
    /// Starts a program. Its ends of pipes are in the result; wait for it only
    /// through this table.
    pub fn spawn(&mut self, command: &mut Command) -> io::Result<(Pid, Child)> {
        let child = command.env("PATH", PATH).spawn()?;
        let pid = Pid::from_child(&child);
        self.status.insert(pid.as_raw_pid(), None);
        Ok((pid, child))
    }

    /// Takes note of every child that ended, and frees what the kernel keeps
    /// of it; as PID 1 also of those that lost their parent.
    fn reap(&mut self) {
        for (pid, status) in &mut self.status {
            if status.is_none() {
                match waitpid(Pid::from_raw(*pid), WaitOptions::NOHANG) {
                    Ok(None) => {}
                    Ok(Some((_, ended))) => *status = Some(how(ended)),
                    // It is not there (any more), however it ended.
                    Err(_) => *status = Some(Ended::Exited(0)),
                }
            }
        }
        if getpid().is_init() {
            while let Ok(Some((pid, ended))) = wait(WaitOptions::NOHANG) {
                if let Some(status) = self.status.get_mut(&pid.as_raw_pid()) {
                    *status = Some(how(ended));
                }
            }
        }
    }

    /// How a child ended: exit status, or 128 + signal number; `None` while it
    /// runs.
    pub fn ended(&mut self, pid: Pid) -> Option<i32> {
        self.how_ended(pid).map(Ended::status)
    }

    /// How a child ended; `None` while it runs.
    pub fn how_ended(&mut self, pid: Pid) -> Option<Ended> {
        self.reap();
        self.status.get(&pid.as_raw_pid()).copied().flatten()
    }

    /// Sends a signal to a child that still runs.
    pub fn signal(&mut self, pid: Pid, signal: Signal) {
        if self.ended(pid).is_none() {
            // Until it is reaped its number is not given to another.
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for the end of a child, at most for a time.
    pub fn wait(&mut self, pid: Pid, limit: Duration) -> Option<i32> {
        self.wait_how(pid, limit).map(Ended::status)
    }

    /// The same, and how it ended.
    pub fn wait_how(&mut self, pid: Pid, limit: Duration) -> Option<Ended> {
        let deadline = Instant::now() + limit;
        let watch = self.watch(pid);
        loop {
            if let Some(ended) = self.how_ended(pid) {
                return Some(ended);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).ok()?;
            let mut waiting = [PollFd::new(watch.as_ref()?, PollFlags::IN)];
            if matches!(poll(&mut waiting, Some(&left)), Ok(0)) {
                return self.how_ended(pid);
            }
        }
    }

    /// A descriptor that is readable once a child has ended.
    pub fn watch(&self, pid: Pid) -> Option<OwnedFd> {
        pidfd_open(pid, PidfdFlags::empty()).ok()
    }
}

fn how(status: WaitStatus) -> Ended {
    match status.terminating_signal() {
        Some(signal) => Ended::Signalled(signal),
        None => Ended::Exited(status.exit_status().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn a_child_that_ended_leaves_its_status() {
        let mut children = Children::default();
        let (pid, _child) = children
            .spawn(Command::new("sh").args(["-c", "exit 3"]))
            .expect("a shell");
        assert_eq!(children.wait(pid, LONG), Some(3));
        assert_eq!(children.ended(pid), Some(3));
    }

    #[test]
    fn a_killed_child_tells_the_signal() {
        let mut children = Children::default();
        let (pid, _child) = children
            .spawn(Command::new("sleep").arg("1000"))
            .expect("sleep");
        assert_eq!(children.wait(pid, Duration::from_millis(10)), None);
        children.signal(pid, Signal::KILL);
        assert_eq!(children.wait(pid, LONG), Some(128 + 9));
    }
}
