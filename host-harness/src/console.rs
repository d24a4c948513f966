// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest's console and QEMU's own messages: read to the end, the last
//! lines kept, for the moment when something goes wrong.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use device_model::log;

/// Lines kept.
const KEPT: usize = 200;
/// Longest line kept, bytes; a longer one is cut into several.
const LINE: u64 = 4096;

/// The last lines of a stream, filled by a thread until the stream ends.
#[derive(Debug, Clone, Default)]
pub struct Console(Arc<Mutex<VecDeque<String>>>);

impl Console {
    /// Reads a stream on a thread of its own; `name` is the thread's.
    pub fn follow(name: &str, stream: impl Read + Send + 'static) -> Self {
        let console = Self::default();
        let writer = console.clone();
        let reader = thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.read_all(stream));
        if let Err(error) = reader {
            tracing::warn!("no thread to read the {name}: {error}");
        }
        console
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_all(&self, stream: impl Read) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(
            (&mut stream).take(LINE).read_until(b'\n', &mut line),
            Ok(1..)
        ) {
            let text = String::from_utf8_lossy(&line);
            // A guest's console must not steer the user's terminal, nor fill a log with escapes.
            let text = log::plain(text.trim_end());
            tracing::debug!(target: "guest", "{text}");
            let mut lines = self.lines();
            if lines.len() == KEPT {
                lines.pop_front();
            }
            lines.push_back(text);
            line.clear();
        }
    }

    /// The last `count` lines, oldest first.
    #[must_use]
    pub fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines
            .iter()
            .skip(lines.len().saturating_sub(count))
            .cloned()
            .collect()
    }

    /// The newest line that holds `text`.
    #[must_use]
    pub fn find(&self, text: &str) -> Option<String> {
        self.lines()
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
        console.read_all(bytes);
        console
    }

    #[test]
    fn the_last_lines_are_kept_in_order() {
        assert_eq!(read(b"one\r\ntwo\nthree").tail(2), ["two", "three"]);
    }

    #[test]
    fn escape_sequences_are_dropped() {
        assert_eq!(read(b"\x1b[2Jhello\n").tail(1), ["hello"]);
    }

    #[test]
    fn an_endless_line_is_cut() {
        let console = Console::default();
        console.read_all(std::io::repeat(b'x').take(3 * LINE));
        assert_eq!(console.tail(10).len(), 3);
    }
}
