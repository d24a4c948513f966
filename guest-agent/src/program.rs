// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs a program of the guest to its end and keeps what it said.

use std::{
    io::Read,
    os::fd::OwnedFd,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result};
use irqbed_abi::control::Reply;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    process::Pid,
};

use crate::children::{Children, PATH};

/// Most bytes kept of each stream; the rest is read and dropped.
const KEPT: usize = 256 << 10;

/// Runs a program to its end.
pub fn run(children: &mut Children, argv: &[String]) -> Result<Reply> {
    let (program, arguments) = argv.split_first().context("no program to run")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (pid, child) = children
        .spawn(&mut command)
        .with_context(|| format!("cannot run {program}"))?;
    let stdout = child.stdout.context("a program without standard output")?;
    let stderr = child.stderr.context("a program without standard error")?;
    let mut streams = [Stream::new(stdout.into())?, Stream::new(stderr.into())?];
    let status = follow(children, pid, &mut streams)?;
    let [stdout, stderr] = streams.map(|stream| String::from_utf8_lossy(&stream.kept).into_owned());
    Ok(Reply::Ran {
        status,
        stdout,
        stderr,
    })
}

/// Reads both streams until the program has ended: a process that it left
/// behind may hold them open for ever.
fn follow(children: &mut Children, pid: Pid, streams: &mut [Stream; 2]) -> Result<i32> {
    let watch = children.watch(pid).context("cannot watch the program")?;
    // Only a guard: all three descriptors wake us.
    let limit = Timespec::try_from(Duration::from_secs(1))?;
    loop {
        let ended = children.ended(pid);
        for stream in streams.iter_mut() {
            stream.read();
        }
        if let Some(status) = ended {
            return Ok(status);
        }
        let mut waiting = vec![PollFd::new(&watch, PollFlags::IN)];
        waiting.extend(
            streams
                .iter()
                .filter(|stream| stream.open)
                .map(|s| PollFd::new(&s.pipe, PollFlags::IN)),
        );
        match poll(&mut waiting, Some(&limit)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("cannot wait for the program"),
        }
    }
}

struct Stream {
    pipe: std::fs::File,
    open: bool,
    kept: Vec<u8>,
}

impl Stream {
    fn new(pipe: OwnedFd) -> Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        Ok(Self {
            pipe: pipe.into(),
            open: true,
            kept: Vec::new(),
        })
    }

    fn read(&mut self) {
        let mut buffer = [0; 4096];
        while self.open {
            match self.pipe.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(count) => {
                    let room = KEPT.saturating_sub(self.kept.len());
                    self.kept.extend(buffer.iter().take(count.min(room)));
                }
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> (i32, String, String) {
        let argv = ["sh", "-c", script].map(String::from);
        match run(&mut Children::default(), &argv).expect("a shell") {
            Reply::Ran {
                status,
                stdout,
                stderr,
            } => (status, stdout, stderr),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn status_and_both_streams_come_back() {
        let expected = (7, "out\n".to_owned(), "err\n".to_owned());
        assert_eq!(sh("echo out; echo err >&2; exit 7"), expected);
    }

    #[test]
    fn more_than_a_pipe_holds_is_read() {
        let (status, stdout, _) = sh("head -c 1000000 /dev/zero");
        assert_eq!((status, stdout.len()), (0, KEPT));
    }

    #[test]
    fn a_process_left_behind_does_not_hold_us() {
        assert_eq!(sh("sleep 5 & echo ready").1, "ready\n");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = run(&mut Children::default(), &["no-such-program".to_owned()]);
        assert!(
            error
                .expect_err("nothing to run")
                .to_string()
                .contains("no-such-program")
        );
        assert!(run(&mut Children::default(), &[]).is_err());
    }
}
