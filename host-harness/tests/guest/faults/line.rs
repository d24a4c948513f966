// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A line that another driver shares, with and without handlers that the kernel
//! forces into threads.

use std::{fs, path::Path, process::Command};

use base64::{Engine, engine::general_purpose::STANDARD};
use irqbed_abi::control::Mechanism;
use irqbed_machine::{
    qemu::{ClockKind, Machine},
    session::Session,
};

use super::{assert_no_event_is_lost, trial::Trial};
use crate::support::{Guest, machine, sh};

/// Bytes that are brought at a time, in a word of a command line.
const CHUNK: usize = 32 << 10;

/// Builds the other driver and brings it into the guest.
fn bring_neighbour(session: &mut Session) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["Kbuild", "neighbour.c"] {
        let source = root.join("host-harness/tests/modules/neighbour");
        fs::copy(source.join(file), folder.path().join(file)).expect("a copy");
    }
    let mut build = Command::new(root.join("images/setup.sh"));
    build.arg("modules").arg(folder.path());
    if let Some(kernel) = crate::support::kernel() {
        build.arg("--kernel").arg(kernel);
    }
    let built = build.status();
    assert!(built.expect("a shell").success());
    let module = folder.path().join("neighbour.ko");
    // What only a debugger reads is most of it.
    let stripped = Command::new("strip").arg("-g").arg(&module).status();
    assert!(stripped.expect("strip").success());
    for chunk in fs::read(module).expect("a module").chunks(CHUNK) {
        let script = "printf %s \"$1\" | base64 -d >>/neighbour.ko";
        let text = STANDARD.encode(chunk);
        let (status, _, error) = session
            .run(&["sh", "-c", script, "sh", &text])
            .expect("sh runs");
        assert_eq!((status, error.as_str()), (0, ""));
    }
}

fn shares_its_line(kernel_parameters: &[&str]) {
    let machine = Machine {
        kernel_parameters: kernel_parameters.iter().map(ToString::to_string).collect(),
        ..machine(ClockKind::Wall)
    };
    let mut guest = Guest::boot_bare(&machine);
    bring_neighbour(&mut guest.session);
    guest.session.load_module([]).expect("the driver loads");
    let mut trial = Trial::with(guest, Mechanism::Netlink);
    for context in ["hardirq", "threaded", "workqueue"] {
        let parameters = [("irq", "intx"), ("context", context)];
        trial = trial.reload(&parameters, Mechanism::Netlink);
        // The line is the kernel's as long as a device is enabled that has it.
        let numbers = "sed -n 's/^ *\\([0-9]*\\):.*irqbed0.*/\\1/p' /proc/interrupts";
        let line = sh(&mut trial.guest.session, numbers);
        let insert = format!("insmod /neighbour.ko irq={}", line.trim());
        sh(&mut trial.guest.session, &insert);
        let before = trial.guest.flush().interrupts;
        // The watchdog holds the ring again and again.
        assert_no_event_is_lost(&mut trial, "irq-lost:chance=0.3,seed=5");
        assert_no_event_is_lost(&mut trial, "irq-lost");
        // Whatever interrupts the one interrupts the other.
        let calls = "cat /sys/module/neighbour/parameters/calls";
        let calls = sh(&mut trial.guest.session, calls);
        let called: u64 = calls.trim().parse().expect("a number");
        let ours = trial.guest.flush().interrupts - before;
        assert!(ours > 0 && called >= ours, "{context}: {called} of {ours}");
        trial.arm("reset");
        trial.guest.flush();
        trial.assert_ready(context);
        trial.assert_said(&[super::RESET], 1, context);
        trial.assert_as_before(context);
        sh(&mut trial.guest.session, "rmmod neighbour");
    }
}

#[test]
fn a_line_is_shared_with_another_driver() {
    shares_its_line(&[]);
}

#[test]
fn a_line_is_shared_also_where_handlers_are_forced_into_threads() {
    shares_its_line(&["threadirqs"]);
}
