// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs a program that may do anything: what it says is passed on as it comes,
//! its time is limited, and nothing of its group outlives it.

use std::{
    fs::{self, File},
    io::Read,
    ops::ControlFlow,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::process::CommandExt,
    },
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use irqbed_abi::control::{Ending, Process, Reply, Stream};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::{Errno, ioctl_fionbio},
    process::{Pid, Signal, getpid, kill_process, kill_process_group},
};

use crate::{
    children::{Children, Ended},
    control::is_readable,
    inspect::Inspector,
    proc_stat::behind_name,
};

/// How long a process has to die of `SIGKILL`.
const KILL: Duration = Duration::from_secs(5);
/// A wait looks at the clock at least this often.
const SLICE: Duration = Duration::from_millis(200);
/// Most bytes taken from a stream before the other one, and the clock, have
/// their turn.
const TURN: usize = 16 << 10;

/// Who has a program run.
pub trait Caller {
    /// Takes what the program says.
    fn say(&mut self, said: Reply) -> Result<()>;

    /// What is readable when the caller asks for something.
    fn line(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Hears what the caller asks for, which may be that the program ends.
    fn hear(&mut self) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }
}

impl<F: FnMut(Reply) -> Result<()>> Caller for F {
    fn say(&mut self, said: Reply) -> Result<()> {
        self(said)
    }
}

/// Runs a program until it ends or has to; `inspector` looks meanwhile.
pub fn run(
    children: &mut Children,
    inspector: &mut Inspector,
    command: &mut Command,
    limit: Duration,
    caller: &mut impl Caller,
) -> Result<Ending> {
    let deadline = Instant::now() + limit;
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (pid, child) = children
        .spawn(command)
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    let stdout = child.stdout.context("a program without standard output")?;
    let stderr = child.stderr.context("a program without standard error")?;
    let mut said = [
        Said::new(Stream::Stdout, stdout.into())?,
        Said::new(Stream::Stderr, stderr.into())?,
    ];
    let watch = children.watch(pid).context("cannot watch the program")?;
    let ended = loop {
        inspector.sample();
        if let Some(ended) = children.how_ended(pid) {
            break Some(ended);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break None;
        }
        if let Some(line) = caller.line()
            && is_readable(line)?
            && caller.hear()?.is_break()
        {
            break None;
        }
        wait(&watch, caller.line(), &said, left.min(SLICE))?;
        for stream in &mut said {
            stream.pass_on(caller)?;
        }
    };
    let processes = match ended {
        Some(_) => Vec::new(),
        None => states(),
    };
    // Fails only where nobody is left.
    let _ = kill_process_group(pid, Signal::KILL);
    let in_time = ended.is_some();
    let ended = ended.or_else(|| children.wait_how(pid, KILL));
    for stream in &mut said {
        stream.finish(caller)?;
    }
    Ok(match ended {
        Some(Ended::Exited(status)) if in_time => Ending::Exited { status },
        Some(Ended::Signalled(signal)) if in_time => Ending::Signalled { signal },
        Some(_) => Ending::Limit { processes },
        None => Ending::Stuck {
            processes: states(),
        },
    })
}

fn wait(
    watch: &OwnedFd,
    line: Option<BorrowedFd<'_>>,
    said: &[Said; 2],
    limit: Duration,
) -> Result<()> {
    let mut waiting = vec![PollFd::new(watch, PollFlags::IN)];
    waiting.extend(line.map(|line| PollFd::from_borrowed_fd(line, PollFlags::IN)));
    waiting.extend(
        said.iter()
            .filter(|stream| stream.open)
            .map(|stream| PollFd::new(&stream.pipe, PollFlags::IN)),
    );
    match poll(&mut waiting, Some(&Timespec::try_from(limit)?)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error).context("cannot wait for the program"),
    }
}

/// Kills every process but this one, which as PID 1 is the only one that must
/// stay: a program may leave others behind, in groups of their own.
pub fn kill_all() {
    if !getpid().is_init() {
        return;
    }
    let deadline = Instant::now() + KILL;
    loop {
        let processes = processes();
        if processes.is_empty() || Instant::now() >= deadline {
            return;
        }
        for pid in processes {
            // One that has just ended is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Every process but this one, without the kernel's own, which have no program,
/// and those that have ended.
fn processes() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let of_a_program = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
        (!pid.is_init() && entry.path().join("exe").read_link().is_ok()).then_some(pid)
    });
    of_a_program.collect()
}

/// What each process of programs does in the kernel.
fn states() -> Vec<Process> {
    let states = processes().into_iter().filter_map(|pid| {
        let pid = pid.as_raw_pid();
        let of = |what| fs::read_to_string(format!("/proc/{pid}/{what}")).ok();
        let stat = of("stat")?;
        let state = behind_name(&stat)?.next().unwrap_or_default().to_owned();
        let functions = of("stack").unwrap_or_default();
        let functions = functions.lines().filter_map(|line| line.split_once("] "));
        Some(Process {
            pid,
            name: of("comm").unwrap_or_default().trim().to_owned(),
            state,
            sleeps_in: of("wchan").filter(|place| place != "0").unwrap_or_default(),
            stack: functions.map(|(_, function)| function.to_owned()).collect(),
        })
    });
    states.collect()
}

/// A stream of the program.
struct Said {
    stream: Stream,
    pipe: File,
    open: bool,
    /// The begin of a character whose end has not come yet.
    rest: Vec<u8>,
}

impl Said {
    fn new(stream: Stream, pipe: OwnedFd) -> Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        Ok(Self {
            stream,
            pipe: pipe.into(),
            open: true,
            rest: Vec::new(),
        })
    }

    /// Passes on what is there, at most [`TURN`] bytes of it. Returns how many.
    fn pass_on(&mut self, caller: &mut impl Caller) -> Result<usize> {
        let mut buffer = [0; 4096];
        let mut passed = 0;
        while self.open && passed < TURN {
            match self.pipe.read(&mut buffer) {
                Ok(0) => self.open = false,
                Ok(count) => {
                    passed += count;
                    self.rest.extend(buffer.iter().take(count));
                    let text = take_text(&mut self.rest);
                    self.say(text, caller)?;
                }
                Err(_) => break,
            }
        }
        Ok(passed)
    }

    /// Passes on the last of it, and no more than a pipe holds: who still
    /// writes will not end.
    fn finish(&mut self, caller: &mut impl Caller) -> Result<()> {
        for _ in 0..(64 << 10) / TURN {
            if self.pass_on(caller)? == 0 {
                break;
            }
        }
        let rest = std::mem::take(&mut self.rest);
        self.say(String::from_utf8_lossy(&rest).into_owned(), caller)
    }

    fn say(&self, text: String, caller: &mut impl Caller) -> Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let stream = self.stream;
        caller.say(Reply::Said { stream, text })
    }
}

/// Takes the bytes whose meaning is certain: all but the begin of a character
/// at their end. What is no UTF-8 is replaced.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let whole = bytes.utf8_chunks().fold(0, |whole, chunk| {
        let at_end = whole + chunk.valid().len() + chunk.invalid().len() == bytes.len();
        let cut = at_end
            && std::str::from_utf8(chunk.invalid()).is_err_and(|error| error.error_len().is_none());
        whole + chunk.valid().len() + if cut { 0 } else { chunk.invalid().len() }
    });
    let rest = bytes.split_off(whole);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Keeps what it hears, and has the program end by whatever comes over its line.
    #[derive(Default)]
    struct Kept {
        stdout: String,
        stderr: String,
        line: Option<OwnedFd>,
    }

    impl Caller for Kept {
        fn say(&mut self, said: Reply) -> Result<()> {
            match said {
                Reply::Said {
                    stream: Stream::Stdout,
                    text,
                } => self.stdout.push_str(&text),
                Reply::Said { text, .. } => self.stderr.push_str(&text),
                other => panic!("{other:?}"),
            }
            Ok(())
        }

        fn line(&self) -> Option<BorrowedFd<'_>> {
            self.line.as_ref().map(AsFd::as_fd)
        }

        fn hear(&mut self) -> Result<ControlFlow<()>> {
            Ok(ControlFlow::Break(()))
        }
    }

    fn sh(script: &str, limit: Duration) -> (Ending, String, String) {
        sh_for(Kept::default(), script, limit)
    }

    fn sh_for(mut caller: Kept, script: &str, limit: Duration) -> (Ending, String, String) {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let mut children = Children::default();
        let mut inspector = Inspector::default();
        let ending = run(
            &mut children,
            &mut inspector,
            &mut command,
            limit,
            &mut caller,
        );
        (ending.expect("a shell"), caller.stdout, caller.stderr)
    }

    #[test]
    fn what_a_program_says_is_passed_on_and_its_status_too() {
        let (ending, stdout, stderr) = sh("echo out; echo err >&2; exit 3", LONG);
        assert_eq!(ending, Ending::Exited { status: 3 });
        assert_eq!((stdout.as_str(), stderr.as_str()), ("out\n", "err\n"));
    }

    #[test]
    fn a_signal_is_told_from_a_status() {
        let (ending, _, _) = sh("kill -9 $$", LONG);
        assert_eq!(ending, Ending::Signalled { signal: 9 });
        let (ending, _, _) = sh("exit 137", LONG);
        assert_eq!(ending, Ending::Exited { status: 137 });
    }

    #[test]
    fn a_program_ends_when_it_is_asked_for() {
        let (asked, mut ours) = std::io::pipe().expect("a pipe");
        let caller = Kept {
            line: Some(asked.into()),
            ..Kept::default()
        };
        std::io::Write::write_all(&mut ours, b"{").expect("room");
        let (ending, ..) = sh_for(caller, "sleep 1000", LONG);
        assert!(matches!(ending, Ending::Limit { .. }), "{ending:?}");
    }

    #[test]
    fn more_than_a_pipe_holds_comes_whole() {
        let (ending, stdout, _) = sh("head -c 300000 /dev/zero | tr '\\0' x", LONG);
        assert_eq!(ending, Ending::Exited { status: 0 });
        assert_eq!(stdout.len(), 300_000);
    }

    #[test]
    fn a_character_in_two_pieces_is_one() {
        let mut bytes = "a€".as_bytes().to_vec();
        let last = bytes.pop().expect("a byte");
        assert_eq!(take_text(&mut bytes), "a");
        bytes.push(last);
        assert_eq!(take_text(&mut bytes), "€");
        assert!(bytes.is_empty());
        let mut bytes = b"a\xffb\xe2".to_vec();
        assert_eq!(take_text(&mut bytes), "a\u{fffd}b");
        assert_eq!(bytes, b"\xe2");
    }
}
