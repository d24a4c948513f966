// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Lines from another process, waited for without load, and no longer than the
//! user wants to.

use std::{
    io::{self, Read},
    os::fd::AsFd,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use crate::interrupt::{self, Interrupted};

/// Between two looks at whether the user wants to stop, 50 ms.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;
/// Longest line, bytes.
const LONGEST: usize = 64 << 10;

/// A line cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The other end, or what it wrote.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What comes from a pipe, line by line.
#[derive(Debug)]
pub struct Lines<R> {
    from: R,
    waiting: Vec<u8>,
}

impl<R: Read + AsFd> Lines<R> {
    /// Lines from there, of which none was read.
    pub fn new(from: R) -> Self {
        let waiting = Vec::new();
        Self { from, waiting }
    }

    /// The next line, without its end; `None` at the end of all.
    ///
    /// # Errors
    /// [`LineError`], also for a line without end.
    pub fn line(&mut self) -> Result<Option<String>, LineError> {
        loop {
            if let Some(end) = self.waiting.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.waiting.drain(..=end).take(end).collect();
                let line = String::from_utf8(line).map_err(io::Error::other)?;
                return Ok(Some(line));
            }
            if self.waiting.len() > LONGEST {
                return Err(io::Error::other("a line has no end").into());
            }
            if !self.more()? {
                return Ok(None);
            }
        }
    }

    /// All that is left, to the end.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn rest(&mut self) -> Result<Vec<u8>, LineError> {
        while self.more()? {}
        Ok(std::mem::take(&mut self.waiting))
    }

    /// Waits for more; `false` at the end.
    fn more(&mut self) -> Result<bool, LineError> {
        loop {
            interrupt::check()?;
            let mut wanted = [PollFd::new(&self.from, PollFlags::IN)];
            match poll(&mut wanted, Some(&LOOK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(io::Error::from(error).into()),
            }
            let mut piece = [0; PIECE];
            match self.from.read(&mut piece) {
                Ok(count) => {
                    self.waiting.extend(piece.iter().take(count));
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn lines_come_one_by_one_and_the_rest_as_it_is() {
        let (from, mut to) = io::pipe().expect("a pipe");
        to.write_all(b"one\ntwo\nthree\nno end").expect("room");
        drop(to);
        let mut lines = Lines::new(from);
        let mut line = || lines.line().expect("a pipe");
        assert_eq!(line().as_deref(), Some("one"));
        assert_eq!(line().as_deref(), Some("two"));
        assert_eq!(lines.rest().expect("a pipe"), b"three\nno end");
        assert_eq!(lines.line().expect("a pipe"), None);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let zero = std::fs::File::open("/dev/zero").expect("it is there");
        let error = Lines::new(zero).line().expect_err("no line");
        assert!(error.to_string().contains("no end"), "{error}");
    }
}
