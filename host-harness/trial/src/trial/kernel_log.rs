// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel's log of a trial: as the agent reads it, or from the console where no agent
//! answers any more.

use irqbed_abi::control::KernelMessage;

/// The kernel's messages since before the first module.
#[derive(Debug, Default)]
pub(super) struct KernelLog {
    pub messages: Vec<KernelMessage>,
    /// Messages that were not read.
    pub left_out: u64,
    /// How many there were when the program began.
    program: usize,
}

impl KernelLog {
    pub fn add(&mut self, (messages, left_out): (Vec<KernelMessage>, u64)) {
        self.messages.extend(messages);
        self.left_out += left_out;
    }

    /// The program begins now.
    pub fn program_begins(&mut self) {
        self.program = self.messages.len();
    }

    /// Adds what the console has of the kernel behind the last message.
    pub fn add_console(&mut self, lines: &[String]) {
        let last = self.messages.last().map(|message| message.time_us);
        let messages = lines.iter().filter_map(|line| parse(line));
        let newer = |message: &KernelMessage| last.is_none_or(|last| message.time_us > last);
        self.messages.extend(messages.filter(newer));
    }

    /// The last of the kernel's own, without the remark that a module is not of
    /// its tree.
    pub fn last(&self, count: usize) -> Vec<String> {
        let own = |message: &&KernelMessage| message.kernel && !message.text.contains("taint");
        let own = self.messages.iter().rev().filter(own).take(count);
        let mut last: Vec<String> = own.map(|message| message.text.clone()).collect();
        last.reverse();
        last
    }

    /// Those since the program began, or where it did not since the first module, as `dmesg`
    /// shows them.
    pub fn since_program(&self) -> impl Iterator<Item = String> {
        let since = self.messages.get(self.program..).unwrap_or_default();
        since.iter().map(as_dmesg)
    }

    /// All of them, as `dmesg` shows them.
    pub fn lines(&self) -> Vec<String> {
        self.messages.iter().map(as_dmesg).collect()
    }
}

/// A line of the console, `[    1.234567] text`; `None` where the kernel did not write it.
fn parse(line: &str) -> Option<KernelMessage> {
    let (time, text) = line.strip_prefix('[')?.split_once(']')?;
    let (seconds, micros) = time.trim().split_once('.')?;
    // With CONFIG_PRINTK_CALLER a second one says who: `[  T123]`, `[    C0]`.
    let caller = text.strip_prefix('[').and_then(|text| text.split_once(']'));
    let text = caller.map_or(text, |(_, text)| text).strip_prefix(' ')?;
    let seconds: u64 = seconds.parse().ok()?;
    Some(KernelMessage {
        kernel: true,
        time_us: seconds
            .checked_mul(1_000_000)?
            .checked_add(micros.parse().ok()?)?,
        text: text.to_owned(),
    })
}

/// A message as `dmesg` shows it.
fn as_dmesg(message: &KernelMessage) -> String {
    let (seconds, micros) = (message.time_us / 1_000_000, message.time_us % 1_000_000);
    format!("[{seconds:5}.{micros:06}] {}", message.text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_goes_on_where_the_log_ends() {
        let mut log = KernelLog::default();
        let console = [
            "[    1.000001] one",
            "of a program",
            "[    2.000000][  T123] two: [x] y",
            "[   12.345678] ",
        ];
        let console = console.map(str::to_owned);
        log.add_console(&console[..2]);
        log.program_begins();
        log.add_console(&console);
        let lines = [
            "[    1.000001] one",
            "[    2.000000] two: [x] y",
            "[   12.345678] ",
        ];
        assert_eq!(log.lines(), lines);
        assert_eq!(log.since_program().collect::<Vec<_>>(), lines[1..]);
        assert_eq!(log.last(2), ["two: [x] y", ""]);
    }
}
