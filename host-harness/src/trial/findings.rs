// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel's log says of a driver: warnings, oopses, hung tasks, what
//! its checkers found.

use irqbed_abi::control::KernelMessage;

/// What begins a report of the kernel's.
const SIGNS: &[&str] = &[
    // WARN(), and lockdep, RCU and the like in the same form.
    "WARNING: ",
    // Oopses, KASAN, KFENCE, sleeping where that is forbidden, lockups.
    "BUG: ",
    "kernel BUG at ",
    "Oops: ",
    "general protection fault",
    "Kernel panic",
    "UBSAN: ",
    "KCSAN: ",
    // Hung tasks and RCU stalls.
    "INFO: task ",
    "detected stall",
    "self-detected stall",
    // Interrupts that nobody wants.
    ": nobody cared",
    // Structures that were broken.
    "list_add corruption",
    "list_del corruption",
    "refcount_t: ",
    "ODEBUG: ",
    "DMA-API: ",
    // The kernel would not fail the load for it.
    ": unknown parameter '",
];
/// The same, if it stands in no report that has begun.
const TRACE: &str = "Call Trace:";
/// What ends a report.
const ENDS: &[&str] = &["</TASK>", "---[ end trace"];
/// Longest report, lines; what comes later is not of it.
const LONGEST: usize = 120;

/// A report of the kernel's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The line that says what it is.
    pub line: String,
    /// All lines of it.
    pub report: Vec<String>,
}

/// The reports in a part of the kernel's log, without those of which a line has
/// one of the texts `allowed`. What a process wrote into the log is no report.
#[must_use]
pub fn findings(messages: &[KernelMessage], allowed: &[String]) -> Vec<Finding> {
    let mut found: Vec<Finding> = Vec::new();
    let mut open = false;
    for message in messages.iter().filter(|message| message.kernel) {
        let text = &message.text;
        match found.last_mut() {
            Some(finding) if open && finding.report.len() < LONGEST => {
                finding.report.push(text.clone());
            }
            _ if begins(text) => found.push(Finding {
                line: text.clone(),
                report: vec![text.clone()],
            }),
            _ => continue,
        }
        open = !ENDS.iter().any(|end| text.contains(end)) && !is_unassigned_bar(text);
    }
    found.retain(|finding| {
        let is_allowed = |line: &String| allowed.iter().any(|text| line.contains(text));
        !finding.report.iter().any(is_allowed)
    });
    found
}

fn begins(text: &str) -> bool {
    let is_sign = SIGNS.iter().any(|sign| text.contains(sign));
    is_sign || text.starts_with(TRACE) || is_unassigned_bar(text)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_without_addresses_is_a_report_of_one_line() {
        let bar = "pci 0000:01:00.0: BAR 0 [mem size 0x04000000]: can't assign; no space";
        let found = findings(&log(&[bar, "pci 0000:01:00.0: enabling device"]), &[]);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].report, [bar]);
        assert!(begins(
            "pci 0000:01:00.0: BAR 2: no space for [mem size 0x1000]"
        ));
        assert!(!begins(
            "pcieport 0000:00:10.0: BAR 13: no space for [io size 0x1000]"
        ));
        assert!(!begins(
            "pci 0000:00:10.0: bridge window [io size 0x1000]: can't assign; no space"
        ));
        assert!(!begins(
            "pci 0000:01:00.0: BAR 0 [mem 0xfe800000-0xfe8fffff]: assigned"
        ));
    }

    fn log(lines: &[&str]) -> Vec<KernelMessage> {
        let message = |line: &&str| KernelMessage {
            kernel: true,
            time_us: 0,
            text: (*line).to_owned(),
        };
        lines.iter().map(message).collect()
    }

    const WARN: [&str; 7] = [
        "------------[ cut here ]------------",
        "WARNING: CPU: 0 PID: 70 at /x/warn.c:9 warn_init+0x5/0xff0 [warn]",
        "Modules linked in: warn(OE+)",
        "Call Trace:",
        " <TASK>",
        " </TASK>",
        "---[ end trace 0000000000000000 ]---",
    ];

    #[test]
    fn a_warning_is_one_finding_with_its_trace() {
        let found = findings(&log(&WARN), &[]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert_eq!(found[0].line, WARN[1]);
        assert_eq!(found[0].report.len(), 5);
    }

    #[test]
    fn each_sign_begins_a_finding() {
        for line in [
            "BUG: kernel NULL pointer dereference, address: 0000000000000000",
            "BUG: KASAN: slab-use-after-free in x+0x1/0x2 [m]",
            "watchdog: BUG: soft lockup - CPU#0 stuck for 21s! [insmod:70]",
            "INFO: task insmod:70 blocked for more than 10 seconds.",
            "rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
            "WARNING: possible circular locking dependency detected",
            "irq 25: nobody cared (try booting with the \"irqpoll\" option)",
            "UBSAN: array-index-out-of-bounds in /x/m.c:3:1",
            "warn: unknown parameter 'foo' ignored",
            "Call Trace:",
        ] {
            assert_eq!(findings(&log(&[line]), &[]).len(), 1, "{line}");
        }
    }

    #[test]
    fn what_a_driver_says_of_itself_is_none() {
        let lines = [
            "irqbed 0000:00:04.0: enabling device (0000 -> 0002)",
            "irqbed: loading out-of-tree module taints kernel.",
            "irqbed: module verification failed: signature and/or required key missing",
        ];
        assert_eq!(findings(&log(&lines), &[]), []);
    }

    #[test]
    fn a_report_with_an_allowed_line_is_none_and_others_stay() {
        let mut lines = WARN.to_vec();
        lines.push("BUG: scheduling while atomic: insmod/70/0x00000002");
        let found = findings(&log(&lines), &["warn_init+".to_owned()]);
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].line.starts_with("BUG: scheduling"));
    }

    #[test]
    fn what_a_process_writes_is_none() {
        let mut messages = log(&WARN);
        for message in &mut messages {
            message.kernel = false;
        }
        assert_eq!(findings(&messages, &[]), []);
    }
}
