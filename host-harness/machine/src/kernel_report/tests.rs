// SPDX-License-Identifier: Apache-2.0 OR MIT
use super::*;

fn log(lines: &[&str]) -> Vec<KernelMessage> {
    let message = |line: &&str| KernelMessage {
        kernel: true,
        time_us: 0,
        text: (*line).to_owned(),
    };
    lines.iter().map(message).collect()
}

const WARN: [&str; 8] = [
    "------------[ cut here ]------------",
    "the ring is full",
    "WARNING: CPU: 0 PID: 70 at /x/warn.c:9 warn_init+0x5/0xff0 [warn]",
    "Modules linked in: warn(OE+)",
    "Call Trace:",
    " <TASK>",
    " </TASK>",
    "---[ end trace 0000000000000000 ]---",
];

#[test]
fn a_warning_is_one_finding_with_what_was_said_and_its_trace() {
    let mut lines = WARN.to_vec();
    lines.push("warn: goes on");
    let found = findings(&log(&lines), &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].line, format!("{}: the ring is full", WARN[2]));
    assert_eq!(found[0].report, WARN[1..]);
}

#[test]
fn a_broken_structure_is_one_finding_with_its_warning() {
    let mut lines = WARN.to_vec();
    lines[1] = "refcount_t: underflow; use-after-free.";
    let found = findings(&log(&lines), &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].line.ends_with(lines[1]), "{found:#?}");
}

#[test]
fn an_oops_is_whole_from_its_cause_to_its_end() {
    let lines = [
        "BUG: kernel NULL pointer dereference, address: 0000000000000008",
        "#PF: supervisor write access in kernel mode",
        "Oops: Oops: 0002 [#1] PREEMPT SMP NOPTI",
        "RIP: 0010:faulty_irq+0x12/0x30 [faulty]",
        "Call Trace:",
        " <IRQ>",
        " </IRQ>",
        " <TASK>",
        " </TASK>",
        "Modules linked in: faulty(OE)",
        "CR2: 0000000000000008",
        "---[ end trace 0000000000000000 ]---",
        "RIP: 0010:faulty_irq+0x12/0x30 [faulty]",
        "Kernel panic - not syncing: Fatal exception in interrupt",
    ];
    let found = findings(&log(&lines), &[]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0].line, lines[0]);
    assert_eq!(found[0].report, lines[..12]);
    assert_eq!(found[1].line, lines[13]);
}

#[test]
fn a_report_of_kasan_says_who_freed_it() {
    let lines = [
        "==================================================================",
        "BUG: KASAN: slab-use-after-free in faulty_run+0x1/0x2 [faulty]",
        "Call Trace:",
        " </TASK>",
        "Freed by task 70:",
        " kfree+0x1/0x2",
        "==================================================================",
        "Disabling lock debugging due to kernel taint",
    ];
    let found = findings(&log(&lines), &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].report, lines[1..7]);
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
        "genirq: Flags mismatch irq 21. 00000000 (b) vs. 00000080 (a)",
        "UBSAN: array-index-out-of-bounds in /x/m.c:3:1",
        "warn: unknown parameter 'foo' ignored",
        "Freezing user space processes failed after 20.001 seconds (1 tasks refusing to freeze, wq_busy=0):",
        "Call Trace:",
    ] {
        assert_eq!(
            findings(&log(&[line, "m: goes on"]), &[]).len(),
            1,
            "{line}"
        );
    }
}

#[test]
fn a_bar_without_addresses_is_a_report_of_one_line() {
    let bar = "pci 0000:01:00.0: BAR 0 [mem size 0x04000000]: can't assign; no space";
    let found = findings(&log(&[bar, "pci 0000:01:00.0: enabling device"]), &[]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].report, [bar]);
    let begins = |line| begins(line).is_some();
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

#[test]
fn what_a_driver_says_of_itself_is_none() {
    let lines = [
        "irqbed 0000:00:04.0: enabling device (0000 -> 0002)",
        "irqbed: loading out-of-tree module taints kernel.",
        "irqbed: module verification failed: signature and/or required key missing",
    ];
    assert_eq!(findings(&log(&lines), &[]), []);
    assert_eq!(failed_probes(&log(&lines), &[]), []);
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

#[test]
fn a_probe_that_failed_is_one_with_what_the_driver_said() {
    let lines = [
        "faulty 0000:00:02.0: another one",
        "faulty 0000:00:01.0: enabling device (0000 -> 0002)",
        "faulty 0000:00:01.0: error -ETIMEDOUT: no interrupt comes",
        "faulty 0000:00:01.0: probe with driver faulty failed with error -110",
        "faulty: probe of 0000:00:02.0 failed with error -16",
    ];
    let found = failed_probes(&log(&lines), &[]);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(
        found[0].line,
        format!("{} (-ETIMEDOUT: no interrupt comes)", lines[3])
    );
    assert_eq!(found[0].report, lines[1..4]);
    assert_eq!(found[1].line, lines[4]);
    let allowed = ["error -16".to_owned(), "ETIMEDOUT".to_owned()];
    assert_eq!(failed_probes(&log(&lines), &allowed), []);
}

#[test]
fn a_callback_that_refuses_a_suspend_is_one_finding_that_names_it() {
    let lines = [
        "PM: suspend entry (deep)",
        "edu 0000:00:01.0: PM: pci_pm_suspend(): edu_suspend+0x0/0x20 [edu] returns -16",
        "edu 0000:00:01.0: PM: dpm_run_callback(): pci_pm_suspend+0x0/0x140 returns -16",
        "edu 0000:00:01.0: PM: failed to suspend async: error -16",
        "PM: Some devices failed to suspend, or early wake event detected",
        "OOM killer enabled.",
        "edu 0000:00:01.0: PM: failed to resume: error -5",
        "BUG: scheduling while atomic: insmod/70/0x00000002",
    ];
    let found = findings(&log(&lines), &[]);
    let named: Vec<_> = found.iter().map(|finding| &*finding.line).collect();
    assert_eq!(named, [lines[1], lines[6], lines[7]]);
    assert_eq!(found[0].report, lines[1..4]);
    assert_eq!(findings(&log(&lines), &["edu_suspend".to_owned()]).len(), 2);
}
