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
    time::{Duration, Instant},
};

use rustix::{
    io::retry_on_intr,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    flag,
};

/// Those that run. Each leads a group with all that it started.
static RUNNING: Mutex<Vec<Pid>> = Mutex::new(Vec::new());
/// Between two looks at whether we are to stop.
const LOOK: Duration = Duration::from_millis(20);

/// How long those that are told to end may take for it.
const LAST: Duration = Duration::from_secs(2);
/// Whether a program has ended, which leaves it to be waited for.
const ENDED: WaitIdOptions = WaitIdOptions::EXITED.union(WaitIdOptions::NOWAIT);

fn is_running(pid: Pid) -> bool {
    let ended = waitid(WaitId::Pid(pid), ENDED | WaitIdOptions::NOHANG);
    matches!(ended, Ok(None))
}

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
    // Its number may be another's once it was waited for.
    let _ = retry_on_intr(|| waitid(WaitId::Pid(pid), ENDED));
    let mut running = running();
    running.retain(|other| *other != pid);
    child.wait()
}

/// From now on SIGINT, SIGTERM and SIGHUP end this program and all that it runs. What is still
/// to be done then is done by a function, which is told the signal's number and answers the
/// exit status.
///
/// # Errors
///
/// A handler cannot be installed.
pub fn stop_with_what_runs(end: impl FnOnce(i32) -> i32 + Send + 'static) -> io::Result<()> {
    let told = Arc::new(AtomicUsize::new(0));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        let number = usize::try_from(signal).unwrap_or_default();
        flag::register_usize(signal, Arc::clone(&told), number)?;
    }
    thread::spawn(move || {
        let signal = loop {
            let signal = told.load(Ordering::Relaxed);
            if signal != 0 {
                break i32::try_from(signal).unwrap_or_default();
            }
            thread::sleep(LOOK);
        };
        let running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        for pid in running.iter() {
            let _ = kill_process_group(*pid, Signal::TERM);
        }
        let deadline = Instant::now() + LAST;
        while running.iter().any(|pid| is_running(*pid)) && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
        process::exit(end(signal));
    });
    Ok(())
}
