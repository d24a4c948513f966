// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A terminal of the test's own: what is typed at it, what it shows.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{FromRawFd, OwnedFd},
    process::{Child, Command},
    ptr,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use rustix::{
    io::{FdFlags, fcntl_setfd},
    termios::{Termios, tcgetattr},
};

use crate::sandbox::wait_until;

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    line: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
    follower: JoinHandle<()>,
}

impl Terminal {
    pub fn open() -> Self {
        let (mut ours, mut theirs) = (-1, -1);
        // SAFETY: two valid places for descriptors; name, settings and size
        // may be null.
        let result = unsafe {
            libc::openpty(
                &raw mut ours,
                &raw mut theirs,
                ptr::null_mut(),
                ptr::null(),
                ptr::null(),
            )
        };
        assert_eq!(result, 0, "a pseudo-terminal");
        // SAFETY: openpty has opened both, and nobody else has them.
        let (ours, line) = unsafe { (File::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
        // Programs of other tests must not keep this terminal open.
        fcntl_setfd(&ours, FdFlags::CLOEXEC).expect("a descriptor");
        fcntl_setfd(&line, FdFlags::CLOEXEC).expect("a descriptor");
        let shown = Arc::<Mutex<Vec<u8>>>::default();
        let keyboard = ours.try_clone().expect("a descriptor");
        let follower = {
            let shown = Arc::clone(&shown);
            thread::spawn(move || follow(ours, &shown))
        };
        Self {
            keyboard,
            line,
            shown,
            follower,
        }
    }

    /// Starts a program at this terminal.
    pub fn start(&self, mut command: Command) -> Child {
        let line = || self.line.try_clone().expect("a descriptor");
        command
            .stdin(line())
            .stdout(line())
            .stderr(line())
            .spawn()
            .expect("it runs")
    }

    pub fn type_in(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("somebody reads");
    }

    pub fn shown(&self) -> String {
        text(&self.shown)
    }

    /// Waits until it has shown something `times` times, while `child` runs.
    pub fn wait_for(&self, text: &str, times: usize, child: &mut Child) {
        wait_until(text, || {
            let shown = self.shown();
            let ended = child.try_wait().expect("a child of ours");
            assert!(ended.is_none(), "it ended ({ended:?}): {shown}");
            shown.matches(text).count() >= times
        });
    }

    /// All that it has shown, once nobody has it open any more.
    pub fn close(self) -> String {
        drop(self.line);
        self.follower.join().expect("the follower ends");
        text(&self.shown)
    }

    pub fn settings(&self) -> Termios {
        tcgetattr(&self.line).expect("a terminal")
    }
}

fn text(shown: &Mutex<Vec<u8>>) -> String {
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&shown).into_owned()
}

fn follow(mut screen: File, shown: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.extend(&buffer[..count]);
    }
}
