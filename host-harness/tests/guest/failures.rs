// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with a guest, and that each says so.

use host_harness::session::SessionError;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Guest, machine};
use host_harness::qemu::ClockKind;

#[test]
fn a_taken_unit_is_named() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    // 16 is NETLINK_GENERIC.
    let error = guest
        .session
        .load_module([("unit", "16".to_owned())])
        .expect_err("the unit is taken");
    let text = error.to_string();
    assert!(text.contains("unit 16") && text.contains("taken"), "{text}");
    guest
        .session
        .load_module([])
        .expect("the default unit is free");
}

#[test]
fn an_unknown_notifier_is_named_with_those_there_are() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let error = guest
        .session
        .load_module([("notifier", "pigeon".to_owned())])
        .expect_err("no such notifier");
    let text = error.to_string();
    for word in ["'pigeon'", "netlink", "netlink-broadcast", "mmap"] {
        assert!(text.contains(word), "{text}");
    }
}

#[test]
fn a_panic_of_the_guest_is_told_with_its_words() {
    let mut guest = Guest::boot();
    let error = guest
        .session
        .run(&["sh", "-c", "echo c > /proc/sysrq-trigger"])
        .expect_err("a panic");
    assert!(
        matches!(&error, SessionError::Panicked { line, .. } if line.contains("Kernel panic")),
        "{error}"
    );
    assert!(!error.console().is_empty());
}

#[test]
fn a_killed_qemu_is_told() {
    let mut guest = Guest::boot();
    let pid = Pid::from_raw(guest.session.qemu_id().cast_signed()).expect("a process id");
    kill_process(pid, Signal::KILL).expect("it is ours");
    let error = guest.session.counters().expect_err("nobody is there");
    assert!(matches!(error, SessionError::QemuEnded { .. }), "{error}");
}
