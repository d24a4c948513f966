// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The one thing about a child process that the standard library cannot say.

use std::{os::unix::process::CommandExt, process::Command};

use rustix::process::{Signal, set_parent_process_death_signal};

/// The kernel sends the child a signal when the thread that starts it ends, even
/// by `SIGKILL`. That thread must therefore outlive the child's usefulness.
pub fn die_with_parent(command: &mut Command, signal: Signal) {
    // SAFETY: the closure makes one system call (prctl), which is
    // async-signal-safe, and allocates nothing.
    unsafe {
        command.pre_exec(move || Ok(set_parent_process_death_signal(Some(signal))?));
    }
}
