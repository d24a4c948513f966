// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed` in a sandbox, and what is to be said of its end.

use std::{
    ffi::OsStr,
    fs::{self, File},
    os::unix::process::ExitStatusExt,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use crate::sandbox::{HANG, Sandbox, wait_until};

/// The program with arguments, in a sandbox.
pub fn irqbed(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_irqbed"));
    command
        .args(arguments)
        .stdin(Stdio::null())
        .env("TMPDIR", sandbox.tmp())
        .env("XDG_RUNTIME_DIR", sandbox.run())
        .env_remove("IRQBED_LOG")
        .env_remove("IRQBED_BOOT_LIMIT");
    command
}

/// Runs the program to its end.
pub fn run(sandbox: &Sandbox, arguments: &[&str]) -> Ended {
    Running::start(sandbox, irqbed(sandbox, arguments)).wait()
}

/// Runs it with a variable of the environment.
pub fn run_with(
    sandbox: &Sandbox,
    variable: &str,
    value: impl AsRef<OsStr>,
    arguments: &[&str],
) -> Ended {
    let mut command = irqbed(sandbox, arguments);
    command.env(variable, value);
    Running::start(sandbox, command).wait()
}

/// The program while it runs.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// What it says goes to files, so that nobody need read while it runs.
    pub fn start(sandbox: &Sandbox, mut command: Command) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let stdout = sandbox.own(&format!("stdout.{number}"));
        let stderr = sandbox.own(&format!("stderr.{number}"));
        let child = command
            .stdout(File::create(&stdout).expect("a file"))
            .stderr(File::create(&stderr).expect("a file"))
            .spawn()
            .expect("irqbed runs");
        Self {
            child,
            stdout,
            stderr,
        }
    }

    pub fn id(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.id()).expect("a process id");
        kill_process(pid, signal).expect("it is ours and not yet waited for");
    }

    /// Whether it has not ended yet.
    pub fn is_alive(&self) -> bool {
        let pid = Pid::from_raw(self.id()).expect("a process id");
        // It is not waited for: that is for `wait` to do.
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let ended = waitid(WaitId::Pid(pid), look).expect("a child of ours");
        ended.is_none()
    }

    /// Waits until it has said so on standard error.
    pub fn wait_for_message(&mut self, text: &str) {
        wait_until(text, || {
            let said = read(&self.stderr);
            let ended = self.child.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "it ended ({ended:?}) and said: {said}");
            said.contains(text)
        });
    }

    pub fn wait(mut self) -> Ended {
        let deadline = Instant::now() + HANG;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return Ended {
                    status,
                    stdout: read(&self.stdout),
                    stderr: read(&self.stderr),
                };
            }
            if Instant::now() >= deadline {
                let _ = self.child.kill();
                panic!("it hangs; it said: {}", read(&self.stderr));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn read(path: &PathBuf) -> String {
    let bytes = fs::read(path).expect("a file of ours");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// It went well, and said nothing but what was asked for.
    #[track_caller]
    pub fn assert_good(&self) {
        assert_eq!(self.status.code(), Some(0), "{self:#?}");
        assert_eq!(self.stderr, "", "{self:#?}");
    }

    /// A bench went well, but for a clock that a busy machine may make too
    /// poor: then that is all it says, and the exit status is 1.
    #[track_caller]
    pub fn assert_measured(&self) {
        if self.status.code() == Some(1) {
            let others = self.assert_failed(&["the clock is not good enough"]);
            assert!(others.is_empty(), "{self:#?}");
        } else {
            self.assert_good();
        }
    }

    /// Nothing on standard output, one line on standard error that has all of
    /// `words`, exit status 1.
    #[track_caller]
    pub fn assert_refused(&self, words: &[&str]) {
        assert_eq!(self.status.code(), Some(1), "{self:#?}");
        self.assert_one_line(words);
    }

    /// The same of what was given and makes no sense: exit status 2.
    #[track_caller]
    pub fn assert_bad_input(&self, words: &[&str]) {
        assert_eq!(self.status.code(), Some(2), "{self:#?}");
        self.assert_one_line(words);
    }

    #[track_caller]
    fn assert_one_line(&self, words: &[&str]) {
        assert_eq!(self.stdout, "");
        assert!(self.assert_first_line(words).is_empty(), "{self:#?}");
    }

    /// The first line of standard error is the only one that is an error, it
    /// has all of `words`, exit status 1. Returns the other lines.
    #[track_caller]
    pub fn assert_failed(&self, words: &[&str]) -> Vec<&str> {
        assert_eq!(self.status.code(), Some(1), "{self:#?}");
        self.assert_first_line(words)
    }

    #[track_caller]
    fn assert_first_line(&self, words: &[&str]) -> Vec<&str> {
        let mut lines = self.stderr.lines();
        let first = lines.next().unwrap_or_default();
        let text = first.strip_prefix("irqbed: error: ").unwrap_or_else(|| {
            panic!("no error in the first line: {self:#?}");
        });
        for word in words {
            assert!(text.contains(word), "no {word:?} in: {text}");
        }
        let others: Vec<_> = lines.collect();
        assert!(
            !others.iter().any(|line| line.contains("error:")),
            "{self:#?}"
        );
        others
    }

    /// The lines that say that it failed, and why.
    pub fn reasons(&self) -> Vec<&str> {
        let is_reason = |line: &&str| {
            line.starts_with("irqbed: failed: ") || line.starts_with("irqbed: error: ")
        };
        self.stderr.lines().filter(is_reason).collect()
    }

    /// The guest's last words are shown: a report of the kernel's, or else some lines, and not
    /// too many.
    #[track_caller]
    pub fn assert_console_shown(&self, words: &[&str]) {
        let others = self.assert_failed(words);
        assert_eq!(
            others.first(),
            Some(&"the guest's last lines:"),
            "{self:#?}"
        );
        let reported = others.iter().any(|line| line.contains("Kernel panic"));
        let most = if reported { 81 } else { 16 };
        assert!((2..=most).contains(&others.len()), "{self:#?}");
        assert!(others.iter().all(|line| line.len() <= 4200), "{self:#?}");
    }

    /// The command line makes no sense, and this is why.
    #[track_caller]
    pub fn assert_usage(&self, words: &[&str]) {
        assert_eq!(self.status.code(), Some(2), "{self:#?}");
        assert_eq!(self.stdout, "");
        let first = self.stderr.lines().next().unwrap_or_default();
        assert!(first.starts_with("error: "), "{}", self.stderr);
        for word in words {
            assert!(first.contains(word), "no {word:?} in: {first}");
        }
        let errors = self.stderr.matches("error:").count();
        assert_eq!(errors, 1, "{}", self.stderr);
    }

    /// It gave up because it was told to, and says no more than that.
    #[track_caller]
    pub fn assert_interrupted(&self) {
        assert_eq!(self.status.code(), Some(130), "{self:#?}");
        assert_eq!(self.stderr, "irqbed: interrupted\n");
        assert_eq!(self.stdout, "");
    }

    /// The same, or it was told before it could listen.
    #[track_caller]
    pub fn assert_interrupted_early(&self, signal: Signal) {
        if self.status.signal() != Some(signal.as_raw()) {
            self.assert_interrupted();
        }
    }
}
