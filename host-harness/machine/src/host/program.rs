// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks a program a question, and does not wait for ever for the answer:
//! which program that is may be the user's choice.

use std::{
    fs::File,
    io::{self, Read, Seek},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::span::span;

/// Longest a program may take.
const LIMIT: Duration = Duration::from_secs(10);
/// Most of an answer that is read, bytes.
const MOST: u64 = 4 << 20;

/// A program did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// It cannot be run.
    #[error("cannot run {program}: {error}")]
    Start {
        /// The program.
        program: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It takes too long and was ended.
    #[error("{program} has not ended within {}", span(*.limit))]
    Slow {
        /// The program.
        program: PathBuf,
        /// How long it had.
        limit: Duration,
    },
    /// It failed.
    #[error("{program} failed ({status}): {message}")]
    Failed {
        /// The program.
        program: PathBuf,
        /// How it ended.
        status: ExitStatus,
        /// The last line it left on standard error.
        message: String,
    },
}

/// Standard output of a program, which has 10 s for it.
///
/// # Errors
/// [`ProgramError`]; the program and its children are gone then.
pub fn output(program: &Path, arguments: &[&str]) -> Result<String, ProgramError> {
    output_within(program, arguments, LIMIT)
}

fn output_within(
    program: &Path,
    arguments: &[&str],
    limit: Duration,
) -> Result<String, ProgramError> {
    let cannot = |error| ProgramError::Start {
        program: program.to_owned(),
        error,
    };
    // Files, unlike pipes, neither fill up nor stay open in a grandchild.
    let mut stdout = tempfile::tempfile().map_err(cannot)?;
    let mut stderr = tempfile::tempfile().map_err(cannot)?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout.try_clone().map_err(cannot)?)
        .stderr(stderr.try_clone().map_err(cannot)?)
        .process_group(0)
        .spawn()
        .map_err(cannot)?;
    let deadline = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(cannot)? {
            break status;
        }
        if Instant::now() >= deadline {
            if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
                // Fails only when it has just ended by itself.
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
            return Err(ProgramError::Slow {
                program: program.to_owned(),
                limit,
            });
        }
        thread::sleep(Duration::from_millis(2));
    };
    if status.success() {
        return contents(&mut stdout).map_err(cannot);
    }
    let message = contents(&mut stderr).map_err(cannot)?;
    let message = message.lines().rev().find(|line| !line.trim().is_empty());
    Err(ProgramError::Failed {
        program: program.to_owned(),
        status,
        message: message.unwrap_or("it said nothing").trim().to_owned(),
    })
}

fn contents(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(MOST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: &str = "/bin/sh";

    #[test]
    fn a_program_is_asked_and_answers() {
        assert_eq!(
            output(Path::new(SHELL), &["-c", "echo here"]).unwrap(),
            "here\n"
        );
    }

    #[test]
    fn a_program_that_fails_is_quoted() {
        let error = output(Path::new(SHELL), &["-c", "echo no luck >&2; exit 3"]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("exit status: 3") && text.ends_with("no luck"),
            "{text}"
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = output(Path::new("/no/such/program"), &[])
            .unwrap_err()
            .to_string();
        assert!(error.contains("/no/such/program"), "{error}");
    }

    #[test]
    fn a_program_that_hangs_is_ended_with_its_children() {
        let limit = Duration::from_millis(50);
        let started = Instant::now();
        let script = ["-c", "sleep 60 & wait"];
        let error = output_within(Path::new(SHELL), &script, limit).unwrap_err();
        assert!(matches!(error, ProgramError::Slow { .. }));
        assert!(started.elapsed() < Duration::from_secs(30));
    }
}
