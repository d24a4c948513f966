// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can go wrong with a guest, and that each says so.

use irqbed_machine::session::SessionError;
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Guest, machine, unicast};
use irqbed_machine::qemu::ClockKind;

#[test]
fn a_unit_works_or_is_named_with_its_owner() {
    /// Protocols that linux/netlink.h no longer knows anybody to use.
    const FREE: [u32; 5] = [1, 3, 13, 14, 17];
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for unit in 0..32 {
        let loaded = guest.session.load_module([("unit", unit.to_string())]);
        if FREE.contains(&unit) || unit > 22 {
            loaded.unwrap_or_else(|error| panic!("unit {unit}: {error}"));
            let listener = guest.session.listen(unicast()).expect("a listener");
            assert_eq!(guest.raise(10, 16).delivered(), 10, "unit {unit}");
            guest
                .session
                .end_listener(listener, false)
                .expect("a report");
            guest.session.unload_module().expect("it unloads");
        } else {
            let text = loaded.expect_err("it is the kernel's").to_string();
            let named = format!("unit {unit} is taken: it is the kernel's NETLINK_");
            assert!(text.contains(&named), "{text}");
        }
    }
    for unit in ["-1", "32"] {
        let loaded = guest.session.load_module([("unit", unit.to_owned())]);
        let text = loaded.expect_err("there is no such unit").to_string();
        assert!(text.contains("out of range 0 to 31"), "{text}");
    }
    guest
        .session
        .load_module([])
        .expect("the default one works");
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
