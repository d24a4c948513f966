// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's console and QEMU's own messages: read to the end, the last
//! lines kept, for the moment when something goes wrong.

use std::{
    collections::VecDeque,
    io::{self, BufRead, BufReader, Read, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use device_model::log;

/// Lines kept: a kernel that dies may say several reports of hundreds of lines.
const KEPT: usize = 4000;
/// Longest line kept, bytes; a longer one is cut into several.
const LINE: u64 = 4096;

/// The last lines of a stream, filled by a thread until the stream ends.
#[derive(Debug, Clone, Default)]
pub struct Console(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    /// Lines that there were before them.
    dropped: usize,
}

impl Console {
    /// Reads a stream on a thread of its own; `name` is the thread's.
    pub fn follow(name: &str, stream: impl Read + Send + 'static) -> Self {
        Self::follow_with(name, stream, |_| {})
    }

    /// [`Console::follow`] which also says on standard error what it reads.
    pub fn follow_aloud(name: &str, stream: impl Read + Send + 'static) -> Self {
        Self::follow_with(name, stream, |line| {
            // That nobody reads it is no failure.
            let _ = io::stderr().write_all(line);
        })
    }

    fn follow_with(
        name: &str,
        stream: impl Read + Send + 'static,
        each: impl FnMut(&[u8]) + Send + 'static,
    ) -> Self {
        let console = Self::default();
        let writer = console.clone();
        let reader = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.read_all(stream, each));
        if let Err(error) = reader {
            tracing::warn!("no thread to read the {name}: {error}");
        }
        console
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_all(&self, stream: impl Read, mut each: impl FnMut(&[u8])) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(
            (&mut stream).take(LINE).read_until(b'\n', &mut line),
            Ok(1..)
        ) {
            each(&line);
            let text = String::from_utf8_lossy(&line);
            // A guest's console must not steer the user's terminal, nor fill a log with escapes.
            let text = log::plain(text.trim_end());
            tracing::debug!(target: "guest", "{text}");
            let mut kept = self.kept();
            if kept.lines.len() == KEPT {
                kept.lines.pop_front();
                kept.dropped += 1;
            }
            kept.lines.push_back(text);
            line.clear();
        }
    }

    /// The last `count` lines, oldest first.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<String> {
        let kept = self.kept();
        let more = kept.lines.len().saturating_sub(count);
        kept.lines.iter().skip(more).cloned().collect()
    }

    /// How many lines there were so far.
    #[must_use]
    pub fn count(&self) -> usize {
        let kept = self.kept();
        kept.dropped + kept.lines.len()
    }

    /// The lines behind the first `count`, as far as they are kept.
    #[must_use]
    pub fn since(&self, count: usize) -> Vec<String> {
        let kept = self.kept();
        let skipped = count.saturating_sub(kept.dropped);
        kept.lines.iter().skip(skipped).cloned().collect()
    }

    /// The newest line that holds `text`.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<String> {
        let kept = self.kept();
        kept.lines
            .iter()
            .rev()
            .find(|line| line.contains(text))
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8]) -> Console {
        let console = Console::default();
        console.read_all(bytes, |_| {});
        console
    }

    #[test]
    fn the_last_lines_are_kept_in_order() {
        assert_eq!(read(b"one\r\ntwo\nthree").tail(2), ["two", "three"]);
    }

    #[test]
    fn lines_are_counted_also_those_that_are_not_kept() {
        let console = read(b"one\ntwo\n");
        assert_eq!(console.count(), 2);
        assert_eq!(console.since(1), ["two"]);
        console.read_all("x\n".repeat(KEPT).as_bytes(), |_| {});
        assert_eq!(console.count(), KEPT + 2);
        assert_eq!(console.since(1).len(), KEPT);
        assert_eq!(console.since(KEPT + 1), ["x"]);
    }

    #[test]
    fn escape_sequences_are_dropped() {
        assert_eq!(read(b"\x1b[2Jhello\n").tail(1), ["hello"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let console = Console::default();
        console.read_all(std::io::repeat(b'x').take(3 * LINE), |_| {});
        assert_eq!(console.tail(10).len(), 3);
    }
}
