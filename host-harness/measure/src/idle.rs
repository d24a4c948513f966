// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether the guest is idle, seen from outside: its processors are threads of
//! QEMU, which the host does not run while the guest has nothing to do.
//!
//! How many instructions an event takes depends on what the guest was doing
//! when it came. A run that counts them waits until it has done nothing for a
//! while, however long a busy host takes to get it there.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    time::{Duration, Instant},
};

use irqbed_machine::{
    interrupt::{self, Interrupted},
    qemu::{Role, threads},
};

/// Between two looks.
const LOOK: Duration = Duration::from_micros(100);

/// The threads that are a guest's processors.
#[derive(Debug)]
pub struct Processors(Vec<File>);

impl Processors {
    /// Finds them.
    ///
    /// # Errors
    /// When QEMU is gone, names no thread so, or the host keeps no statistics.
    pub fn of(qemu: u32) -> io::Result<Self> {
        let mut opened = Vec::new();
        for (thread, role) in threads(qemu)? {
            if let Role::Processor(_) = role {
                let id = thread.as_raw_pid();
                opened.push(File::open(format!("/proc/{qemu}/task/{id}/schedstat"))?);
            }
        }
        Ok(Self(opened))
    }

    /// Sleeps until none of them has run for `quiet`.
    ///
    /// # Errors
    /// [`Interrupted`].
    pub fn wait_until_idle(&self, quiet: Duration) -> Result<(), Interrupted> {
        let mut known = self.statistics();
        let mut since = Instant::now();
        while since.elapsed() < quiet {
            interrupt::check()?;
            std::thread::sleep(LOOK);
            let now = self.statistics();
            if now != known {
                known = now;
                since = Instant::now();
            }
        }
        Ok(())
    }

    /// Time run, time waited to run, and times run, of each thread
    /// (Documentation/scheduler/sched-stats.rst). A thread that waits for a
    /// processor of the host, or is on one, moves them.
    fn statistics(&self) -> Vec<[u8; 64]> {
        let read = |thread: &File| {
            let mut text = [0; 64];
            // A thread that is gone does nothing any more.
            let _ = thread.read_at(&mut text, 0);
            text
        };
        self.0.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_runs_is_waited_for() {
        let busy = File::open("/proc/thread-self/schedstat").expect("the host keeps statistics");
        let processors = Processors(vec![busy]);
        let (tell, told) = std::sync::mpsc::channel();
        let started = Instant::now();
        let waiter = std::thread::spawn(move || {
            processors
                .wait_until_idle(Duration::from_millis(20))
                .expect("nobody interrupts");
            tell.send(started.elapsed()).ok();
        });
        let mut work = 0_u64;
        while started.elapsed() < Duration::from_millis(100) {
            work = std::hint::black_box(work + 1);
            if work.is_multiple_of(1000) {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        waiter.join().expect("no panic");
        assert!(told.recv().expect("it ended") >= Duration::from_millis(100));
    }
}
