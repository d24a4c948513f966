// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs that run while something is built: whoever stops us stops them too.

use std::{
    io,
    os::unix::process::CommandExt,
    process::{self, Command, ExitStatus},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Those that run. Each leads a group with all that it started.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
/// Between two looks at whether we are to stop.
const LOOK: Duration = Duration::from_millis(20);

/// Runs a program to its end.
///
/// # Errors
///
/// It cannot be started.
pub fn status(command: &mut Command) -> io::Result<ExitStatus> {
    let running = || RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut child, pid) = {
        // None starts while all are stopped.
        let mut running = running();
        let child = command.process_group(0).spawn()?;
        let pid = Pid::from_child(&child);
        running.push(pid);
        (child, pid)
    };
    let status = child.wait();
    running().retain(|other| *other != pid);
    status
}

/// From now on SIGINT, SIGTERM and SIGHUP end this program and all that it runs.
///
/// # Errors
///
/// A handler cannot be installed.
pub fn stop_with_what_runs() -> io::Result<()> {
    let told = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(&told), number)?;
    }
    thread::spawn(move || {
        loop {
            let signal = told.load(Ordering::Relaxed);
            if signal != 0 {
                let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
                for pid in running.iter() {
                    let _ = kill_process_group(*pid, Signal::TERM);
                }
                process::exit(128 + i32::try_from(signal).unwrap_or_default());
            }
            thread::sleep(LOOK);
        }
    });
    Ok(())
}
