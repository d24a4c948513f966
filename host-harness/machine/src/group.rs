// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A program that was started in a process group of its own is ended together
//! with all that it has started.

use std::{
    io,
    process::Child,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Ends the group that a child leads: in good order if it can, by force where
/// that takes longer than `patience`. The child is gone on return.
///
/// # Errors
/// When the child cannot be waited for.
pub fn end(child: &mut Child, patience: Duration) -> io::Result<()> {
    let group = Pid::from_raw(child.id().cast_signed());
    // Fails only when all of them have just ended by themselves.
    let tell = |signal| group.map(|group| kill_process_group(group, signal));
    let is_left = || group.is_some_and(|group| test_kill_process_group(group).is_ok());
    tell(Signal::TERM);
    let deadline = Instant::now() + patience;
    // One that has ended counts until it is waited for.
    while child.try_wait()?.is_none() || is_left() {
        if Instant::now() >= deadline {
            tell(Signal::KILL);
            break;
        }
        thread::sleep(LOOK);
    }
    child.wait().map(drop)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        os::unix::process::CommandExt,
        process::{Command, Stdio},
    };

    use super::*;

    /// A shell in a group of its own, which has said that it is there.
    fn shell(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command
            .args(["-c", script])
            .process_group(0)
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("/bin/sh runs");
        let stdout = child.stdout.take().expect("a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        assert_eq!(line, "there\n");
        child
    }

    #[test]
    fn what_a_program_has_started_ends_with_it() {
        let mut child = shell("sleep 1000 & echo there; wait");
        let group = Pid::from_child(&child);
        end(&mut child, Duration::from_secs(60)).expect("it is ours");
        assert!(test_kill_process_group(group).is_err());
    }

    #[test]
    fn a_program_that_does_not_heed_is_ended_all_the_same() {
        let mut child = shell("trap '' TERM; echo there; while :; do sleep 0.01; done");
        end(&mut child, Duration::from_millis(50)).expect("it is ours");
        assert!(child.try_wait().expect("it is ours").is_some());
    }
}
