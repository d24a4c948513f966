// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel's log says of a driver: warnings, oopses, hung tasks, what
//! its checkers found, and probes that failed.

use irqbed_abi::control::KernelMessage;

/// How a report goes on behind its first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// It has no more, unless a stack follows at once.
    Line,
    /// To the end of a stack.
    Stack,
    /// To the line that ends oopses and warnings.
    Trace,
    /// To a line of `=`.
    Rule,
    /// To the line that says that the interrupt is off.
    Disabled,
    /// To the last line of those that say so of a device that did not suspend or resume.
    Sleep,
}

/// What begins a report of the kernel's; of several that fit, the first one counts.
const SIGNS: &[(&str, End)] = &[
    ("BUG: KASAN: ", End::Rule),
    ("BUG: KFENCE: ", End::Rule),
    ("BUG: KCSAN: ", End::Rule),
    ("BUG: kernel NULL pointer", End::Trace),
    ("BUG: unable to handle", End::Trace),
    ("kernel BUG at ", End::Trace),
    ("Oops: ", End::Trace),
    ("general protection fault", End::Trace),
    ("UBSAN: ", End::Trace),
    // Sleeping where that is forbidden, lockups.
    ("BUG: ", End::Stack),
    // Lockdep, RCU and the like; `WARN()` has a form of its own.
    ("WARNING: ", End::Stack),
    ("Kernel panic", End::Line),
    ("INFO: task ", End::Stack),
    ("detected stall", End::Stack),
    ("self-detected stall", End::Stack),
    // Interrupts that nobody wants, and lines that are not shared.
    (": nobody cared", End::Disabled),
    ("Flags mismatch irq ", End::Line),
    // Structures that were broken.
    ("list_add corruption", End::Line),
    ("list_del corruption", End::Line),
    ("refcount_t: ", End::Line),
    ("ODEBUG: ", End::Line),
    ("DMA-API: ", End::Line),
    // A process or a work item that cannot be frozen for a suspend.
    (" refusing to freeze", End::Line),
    // The kernel would not fail the load for it.
    (": unknown parameter '", End::Line),
];
/// A stack that stands in no report that has begun.
const STACK: &str = "Call Trace:";
/// Stands before `WARN()` and `BUG()`; what the driver says of it lies between.
const CUT_HERE: &str = "[ cut here ]";
/// Longest report, lines; what comes later is not of it.
const LONGEST: usize = 200;

/// Most lines of a probe's report.
const SHOWN: usize = 10;

/// A report of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line that says what it is.
    pub line: String,
    /// All lines of it.
    pub report: Vec<String>,
}

impl Finding {
    /// Whether one of its lines has one of the texts.
    fn has(&self, texts: &[String]) -> bool {
        let mut lines = std::iter::once(&self.line).chain(&self.report);
        lines.any(|line| texts.iter().any(|text| line.contains(text)))
    }
}

/// The reports in a part of the kernel's log, without those of which a line has
/// one of the texts `allowed`. What a process wrote into the log is no report.
#[must_use]
pub fn findings(messages: &[KernelMessage], allowed: &[String]) -> Vec<Finding> {
    let mut reader = Reader::default();
    for message in messages.iter().filter(|message| message.kernel) {
        reader.take(&message.text);
    }
    reader.found.retain(|finding| !finding.has(allowed));
    reader.found
}

/// Reads a log line by line.
#[derive(Debug, Default)]
struct Reader {
    found: Vec<Finding>,
    /// How the last one ends; none where it has ended.
    open: Option<End>,
    /// What was said since the line that cuts, where that was the last one to begin something.
    cut: Option<Vec<String>>,
}

impl Reader {
    fn take(&mut self, text: &str) {
        if text.contains(CUT_HERE) {
            self.open = None;
            self.cut = Some(Vec::new());
            return;
        }
        if let Some(end) = self.open.take()
            && let Some(finding) = self.found.last_mut()
            && (end != End::Line || text.starts_with("CPU: "))
            && (end != End::Sleep || fails_to_sleep(text))
            && finding.report.len() < LONGEST
        {
            finding.report.push(text.to_owned());
            let end = if end == End::Line { End::Stack } else { end };
            self.open = Some(end).filter(|end| !end.is_at(text));
            return;
        }
        match (begins(text), &mut self.cut) {
            (None, Some(said)) if said.len() < 4 => said.push(text.to_owned()),
            (None, _) => self.cut = None,
            // It stands before the warning that it is of.
            (Some(End::Line), Some(said)) => said.push(text.to_owned()),
            (Some(end), cut) => {
                let said = cut.take().unwrap_or_default();
                self.begin(text, said, end);
            }
        }
    }

    fn begin(&mut self, text: &str, said: Vec<String>, end: End) {
        let mut line = text.to_owned();
        if let Some(first) = said.first() {
            line = format!("{line}: {first}");
        }
        let mut report = said;
        report.push(text.to_owned());
        self.found.push(Finding { line, report });
        self.open = Some(end);
    }
}

impl End {
    fn is_at(self, text: &str) -> bool {
        match self {
            Self::Line => true,
            Self::Stack => text.contains("</TASK>"),
            Self::Trace => text.contains("---[ end trace"),
            Self::Rule => text.starts_with("====="),
            Self::Disabled => text.contains("Disabling IRQ"),
            Self::Sleep => !fails_to_sleep(text),
        }
    }
}

/// How the report ends that begins with this line, if one does.
fn begins(text: &str) -> Option<End> {
    // The line of `WARN()` names a place in the sources.
    if text.contains("WARNING: ") && text.contains(" at ") && text.contains(".c:") {
        return Some(End::Trace);
    }
    let sign = SIGNS.iter().find(|(sign, _)| text.contains(sign));
    let sign = sign.map(|(_, end)| *end);
    let sign = sign.or_else(|| fails_to_sleep(text).then_some(End::Sleep));
    let sign = sign.or_else(|| is_unassigned_bar(text).then_some(End::Line));
    sign.or_else(|| text.starts_with(STACK).then_some(End::Stack))
}

/// Whether a device's callback refused a suspend or failed to resume: the driver's own
/// function is on the first of several such lines (drivers/base/power/main.c,
/// `__suspend_report_result()` and `pm_dev_err()`).
fn fails_to_sleep(text: &str) -> bool {
    let said = text.split_once(" PM: ").map(|(_, said)| said);
    said.is_some_and(|said| said.starts_with("failed to ") || said.contains(" returns -"))
}

/// Whether the kernel had no addresses for a BAR of a device, such as one that was plugged
/// into a port whose window is too small. A bridge's own windows are not BARs, though some
/// kernels number them as such, from 7 on.
fn is_unassigned_bar(text: &str) -> bool {
    let number = text.split_once(": BAR ").map(|(_, rest)| rest);
    let number = number.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    let is_bar = number.is_some_and(|number| matches!(number.parse(), Ok(0..=5u32)));
    let words = [
        "can't assign; no space",
        "failed to assign",
        "no space for [",
    ];
    is_bar && words.iter().any(|words| text.contains(words))
}

/// Where the first report begins in lines of a console, if one does.
pub fn first(lines: &[String]) -> Option<usize> {
    lines.iter().position(|line| begins(line).is_some())
}

/// The probes that failed, without those of which a line has one of the texts `allowed`. A
/// report has what driver and kernel said of the device before.
#[must_use]
pub fn failed_probes(messages: &[KernelMessage], allowed: &[String]) -> Vec<Finding> {
    let own: Vec<&str> = messages
        .iter()
        .filter(|message| message.kernel)
        .map(|message| message.text.as_str())
        .collect();
    let has_failed = |text: &str| {
        text.contains(" failed with error -")
            && (text.contains("probe with driver ") || text.contains("probe of "))
    };
    let failed = own.iter().enumerate().filter(|(_, text)| has_failed(text));
    let found = failed.map(|(index, text)| {
        let place = place(text).unwrap_or(text);
        let before = own.iter().take(index).filter(|line| line.contains(place));
        // Since the probe before, if that failed, too.
        let before = before.rev().take_while(|line| !has_failed(line));
        let mut report: Vec<String> = before.map(|line| (*line).to_owned()).collect();
        report.reverse();
        // What `dev_err_probe()` says is the cause of what the kernel says.
        let causes = report
            .iter()
            .rev()
            .filter_map(|line| line.split_once(": error -E"));
        let cause = causes
            .map(|(_, cause)| format!("{text} (-E{cause})"))
            .next();
        report.push((*text).to_owned());
        Finding {
            line: cause.unwrap_or_else(|| (*text).to_owned()),
            report: report.split_off(report.len().saturating_sub(SHOWN)),
        }
    });
    found.filter(|finding| !finding.has(allowed)).collect()
}

/// The place on a PCI bus, `0000:00:01.0`, that a line speaks of.
pub fn place(text: &str) -> Option<&str> {
    let words = text.split(' ').map(|word| word.trim_end_matches(':'));
    let is_place = |word: &&str| match word.split_once('.') {
        Some((slot, function)) => {
            let hexadecimal = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
            slot.split(':').count() == 3
                && slot.split(':').all(hexadecimal)
                && hexadecimal(function)
        }
        None => false,
    };
    words.into_iter().find(is_place)
}

#[cfg(test)]
mod tests;
