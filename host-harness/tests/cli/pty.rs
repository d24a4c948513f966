// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A terminal of the test's own: what is typed at it, what it shows.

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::{FromRawFd, OwnedFd},
    process::{Child, Command},
    ptr,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use rustix::termios::{Termios, tcgetattr};

use crate::sandbox::wait_until;

/// Both ends of a pseudo-terminal.
#[derive(Debug)]
pub struct Terminal {
    keyboard: File,
    line: OwnedFd,
    shown: Arc<Mutex<Vec<u8>>>,
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
        let shown = Arc::default();
        let terminal = Self {
            keyboard: ours.try_clone().expect("a descriptor"),
            line,
            shown: Arc::clone(&shown),
        };
        thread::spawn(move || follow(ours, &shown));
        terminal
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
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&shown).into_owned()
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

    pub fn settings(&self) -> Termios {
        tcgetattr(&self.line).expect("a terminal")
    }
}

fn follow(mut screen: File, shown: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = screen.read(&mut buffer) {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.extend(&buffer[..count]);
    }
}
