// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control line to the harness: a serial line without any processing, one
//! JSON value a line.

use std::{
    fs::{File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
};

use anyhow::{Context, Result};
use irqbed_abi::control::Request;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    termios::{
        ControlModes, OptionalActions, SpecialCodeIndex, speed, tcdrain, tcgetattr, tcsetattr,
    },
};
use serde::Serialize;

/// Longest line taken, bytes: a raw datagram is four characters a byte.
const LONGEST: usize = 1 << 20;

/// What comes over the line.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A request.
    Request(Request),
    /// A line that is none, and why.
    Malformed(String),
    /// The other side is gone, or what the line was told to watch is over.
    End,
}

/// The control line.
#[derive(Debug)]
pub struct Line {
    file: File,
    watch: Option<OwnedFd>,
    pending: Vec<u8>,
    /// The line that comes is too long and passed over.
    skipping: bool,
}

impl Line {
    /// Opens a serial line and makes it raw.
    pub fn open_tty(path: &str) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NOCTTY)
            .open(path)
            .with_context(|| format!("cannot open the control line {path}"))?;
        // The kernel makes four of them, whether the machine has them or not.
        let mut settings = tcgetattr(&file)
            .with_context(|| format!("the guest has no serial line {path} for control"))?;
        settings.make_raw();
        settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD;
        settings.special_codes[SpecialCodeIndex::VMIN] = 1;
        settings.special_codes[SpecialCodeIndex::VTIME] = 0;
        settings.set_speed(speed::B115200)?;
        tcsetattr(&file, OptionalActions::Now, &settings)
            .with_context(|| format!("cannot set up the control line {path}"))?;
        Ok(Self::over(file))
    }

    fn over(file: File) -> Self {
        Self {
            file,
            watch: None,
            pending: Vec::new(),
            skipping: false,
        }
    }

    /// Ends the line when this descriptor becomes readable.
    pub fn end_with(&mut self, watch: OwnedFd) {
        self.watch = Some(watch);
    }

    /// What is readable when something comes.
    pub fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Waits for the next line.
    pub fn next(&mut self) -> Result<Incoming> {
        loop {
            if let Some(incoming) = self.take() {
                return Ok(incoming);
            }
            if !self.fill()? {
                return Ok(Incoming::End);
            }
        }
    }

    /// The next line, if it is there.
    pub fn next_at_once(&mut self) -> Result<Option<Incoming>> {
        loop {
            if let Some(incoming) = self.take() {
                return Ok(Some(incoming));
            }
            if !is_readable(self.file.as_fd())? {
                return Ok(None);
            }
            if !self.fill()? {
                return Ok(Some(Incoming::End));
            }
        }
    }

    /// The first line that came. Blank ones wake the guest and mean nothing else.
    fn take(&mut self) -> Option<Incoming> {
        while let Some(line) = self.take_line() {
            if !std::mem::take(&mut self.skipping) && !line.trim_ascii().is_empty() {
                return Some(parse(&line));
            }
        }
        if self.pending.len() > LONGEST {
            self.pending = Vec::new();
            if !std::mem::replace(&mut self.skipping, true) {
                let why = format!("a line longer than {LONGEST} bytes");
                return Some(Incoming::Malformed(why));
            }
        }
        None
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = self.pending.iter().position(|byte| *byte == b'\n')?;
        let rest = self.pending.split_off(end + 1);
        Some(std::mem::replace(&mut self.pending, rest))
    }

    /// Reads more; false at the end.
    fn fill(&mut self) -> Result<bool> {
        if let Some(watch) = &self.watch {
            let mut waiting = [
                PollFd::new(watch, PollFlags::IN),
                PollFd::new(&self.file, PollFlags::IN),
            ];
            match poll(&mut waiting, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for the harness"),
            }
            let [over, line] = waiting.map(|entry| !entry.revents().is_empty());
            if over {
                return Ok(false);
            }
            if !line {
                return Ok(true);
            }
        }
        let mut buffer = [0; 4096];
        match self.file.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(count) => {
                self.pending.extend(buffer.iter().take(count));
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(true),
            // What a hung-up tty says.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(false),
            Err(error) => Err(error).context("cannot read the control line"),
        }
    }

    /// Sends a value as one line.
    pub fn send(&mut self, value: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.file
            .write_all(&line)
            .context("cannot write to the control line")
    }

    /// Waits until everything sent is out.
    pub fn drain(&self) {
        // A line that cannot be drained has nobody at its other end.
        let _ = tcdrain(&self.file);
    }
}

/// Whether a read of this descriptor would not wait.
pub fn is_readable(file: BorrowedFd<'_>) -> Result<bool> {
    let mut waiting = [PollFd::from_borrowed_fd(file, PollFlags::IN)];
    match poll(&mut waiting, Some(&Timespec::default())) {
        Ok(count) => Ok(count > 0),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error).context("cannot look at the control line"),
    }
}

fn parse(line: &[u8]) -> Incoming {
    match serde_json::from_slice(line) {
        Ok(request) => Incoming::Request(request),
        Err(error) => {
            let line = String::from_utf8_lossy(line);
            let shown: String = line.trim_end().chars().take(100).collect();
            Incoming::Malformed(format!("no request: {shown:?}: {error}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{os::unix::net::UnixStream, thread};

    use proptest::prelude::*;

    use super::*;

    fn pair() -> (Line, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        (Line::over(File::from(OwnedFd::from(ours))), theirs)
    }

    fn hear(bytes: &[u8]) -> Vec<Incoming> {
        let (mut line, mut theirs) = pair();
        let bytes = bytes.to_vec();
        let writer = thread::spawn(move || theirs.write_all(&bytes).expect("a listener"));
        let mut heard = Vec::new();
        loop {
            match line.next().expect("a line") {
                Incoming::End => break,
                incoming => heard.push(incoming),
            }
        }
        writer.join().expect("no panic");
        heard
    }

    #[test]
    fn requests_come_in_order_even_in_one_packet() {
        let heard = hear(b"{\"do\":\"flush\"}\n{\"do\":\"power-off\"}\n{\"do\":");
        let expected = [
            Incoming::Request(Request::Flush),
            Incoming::Request(Request::PowerOff),
        ];
        assert_eq!(heard, expected);
    }

    #[test]
    fn a_line_of_no_meaning_does_not_end_the_talk() {
        let heard = hear(b"oops\n\xff\n{\"do\":\"flush\"}\n");
        assert_eq!(heard.len(), 3);
        assert!(matches!(&heard[0], Incoming::Malformed(why) if why.contains("oops")));
        assert_eq!(heard[2], Incoming::Request(Request::Flush));
    }

    #[test]
    fn blank_lines_wake_and_mean_nothing() {
        let heard = hear(b"\n\n{\"do\":\"flush\"}\n\n");
        assert_eq!(heard, [Incoming::Request(Request::Flush)]);
    }

    #[test]
    fn a_line_that_has_not_come_is_not_waited_for() {
        let (mut line, mut theirs) = pair();
        assert_eq!(line.next_at_once().expect("none"), None);
        theirs.write_all(b"\n\n{\"do\":").expect("room");
        assert_eq!(line.next_at_once().expect("none"), None);
        theirs.write_all(b"\"flush\"}\n").expect("room");
        let flush = Incoming::Request(Request::Flush);
        assert_eq!(line.next_at_once().expect("one"), Some(flush));
        drop(theirs);
        assert_eq!(line.next_at_once().expect("end"), Some(Incoming::End));
    }

    #[test]
    fn a_line_without_end_is_refused_once_and_passed_over() {
        let mut bytes = vec![b'x'; 3 * LONGEST];
        bytes.extend(b"\n{\"do\":\"flush\"}\n");
        let heard = hear(&bytes);
        assert_eq!(heard.len(), 2, "{heard:?}");
        assert!(matches!(heard[0], Incoming::Malformed(_)));
        assert_eq!(heard[1], Incoming::Request(Request::Flush));
    }

    #[test]
    fn the_line_ends_with_what_it_watches() {
        let (mut line, _theirs) = pair();
        let (over, theirs) = UnixStream::pair().expect("a socket pair");
        line.end_with(over.into());
        drop(theirs);
        assert_eq!(line.next().expect("the end"), Incoming::End);
    }

    proptest! {
        #[test]
        fn any_line_is_a_request_or_malformed(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }
    }
}
