// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A QEMU that is not there, is none, is too old, hangs or dies; an
//! accelerator that cannot be had.

use std::{fs, thread, time::Duration};

use irqbed_machine::accel::probe_kvm;
use rustix::process::{Signal, kill_process};

use crate::{
    program::{Running, irqbed, run, run_with},
    sandbox::Sandbox,
};

#[test]
fn a_missing_qemu_is_named_with_the_remedy() {
    let sandbox = Sandbox::new();
    let missing = sandbox.own("no-qemu");
    run_with(&sandbox, "IRQBED_QEMU", &missing, &["bench"]).assert_refused(&[
        "QEMU is missing",
        missing.to_str().expect("UTF-8"),
        "./just setup",
        "IRQBED_QEMU",
    ]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_qemu_that_is_no_program_is_named_with_the_remedy() {
    let sandbox = Sandbox::new();
    let path = sandbox.own("text");
    fs::write(&path, "not a program").expect("a file");
    run_with(&sandbox, "IRQBED_QEMU", &path, &["bench"]).assert_refused(&[
        "cannot start",
        path.to_str().expect("UTF-8"),
        "./just setup",
        "IRQBED_QEMU",
    ]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_qemu_without_vfio_user_is_told_from_one_that_fails_otherwise() {
    let sandbox = Sandbox::new();
    let old = sandbox.fake_qemu(
        r#"echo "$0: -device x: 'vfio-user-pci' is not a valid device model name" >&2; exit 1"#,
    );
    run_with(&sandbox, "IRQBED_QEMU", &old, &["bench"]).assert_refused(&[
        old.to_str().expect("UTF-8"),
        "'vfio-user-pci' is not a valid device model name",
        "no vfio-user client",
        "IRQBED_QEMU",
        "10.1 or newer",
    ]);
    let other = sandbox.fake_qemu("echo 'one thing' >&2; echo 'and another' >&2; exit 3");
    run_with(&sandbox, "IRQBED_QEMU", &other, &["bench"]).assert_refused(&[
        other.to_str().expect("UTF-8"),
        "exit status: 3",
        "one thing | and another",
        "./just doctor",
    ]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_qemu_that_ends_at_once_and_well_is_no_guest() {
    let sandbox = Sandbox::new();
    let path = sandbox.fake_qemu("exit 0");
    run_with(&sandbox, "IRQBED_QEMU", &path, &["bench"])
        .assert_refused(&["ended before the guest was up", "./just doctor"]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_qemu_that_hangs_is_given_up() {
    let sandbox = Sandbox::new();
    let path = sandbox.fake_qemu("exec sleep 1000");
    let mut command = irqbed(&sandbox, &["bench"]);
    command
        .env("IRQBED_QEMU", path)
        .env("IRQBED_BOOT_LIMIT", "1");
    Running::start(&sandbox, command).wait().assert_refused(&[
        "hangs",
        "boot",
        "within 1 s",
        "IRQBED_BOOT_LIMIT",
    ]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_limit_of_no_sense_is_refused_before_the_boot() {
    let sandbox = Sandbox::new();
    let mut command = irqbed(&sandbox, &["bench"]);
    command
        .env("IRQBED_QEMU", sandbox.forbidden_qemu())
        .env("IRQBED_BOOT_LIMIT", "soon");
    Running::start(&sandbox, command).wait().assert_refused(&[
        "IRQBED_BOOT_LIMIT",
        "soon",
        "seconds",
    ]);
    sandbox.assert_no_guest_was_started();
}

/// The one error of a run whose QEMU was killed in the middle of it.
fn error_of_a_killed_qemu() -> String {
    let sandbox = Sandbox::new();
    let arguments = ["-v", "bench", "--accel", "tcg", "--events", "1000000"];
    let mut running = Running::start(&sandbox, irqbed(&sandbox, &arguments));
    running.wait_for_message("guest is up");
    thread::sleep(Duration::from_secs(1));
    let mut processes = sandbox.processes().into_iter();
    let qemu = processes.find(|pid| pid.as_raw_pid() != running.id());
    kill_process(qemu.expect("QEMU runs"), Signal::KILL).expect("it is ours");
    let ended = running.wait();
    sandbox.assert_nothing_left();
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    let mut errors = ended
        .stderr
        .lines()
        .filter_map(|line| line.strip_prefix("irqbed: error: "));
    let error = errors.next().expect("an error").to_owned();
    assert_eq!(errors.next(), None, "{ended:#?}");
    error
}

#[test]
fn a_qemu_that_is_killed_in_the_middle_of_a_run_is_one_error() {
    assert_ne!(error_of_a_killed_qemu(), "");
}

#[test]
fn a_qemu_that_is_killed_in_the_middle_of_a_run_is_named() {
    let error = error_of_a_killed_qemu();
    assert!(error.contains("QEMU ended (signal: 9"), "{error}");
}

#[test]
fn kvm_that_was_asked_for_and_is_not_to_be_had_is_an_error() {
    if probe_kvm().is_ok() {
        eprintln!("skipped: KVM works here");
        return;
    }
    let sandbox = Sandbox::new();
    let qemu = sandbox.forbidden_qemu();
    let ended = run_with(&sandbox, "IRQBED_QEMU", qemu, &["bench", "--accel", "kvm"]);
    ended.assert_refused(&["--accel kvm", "--accel tcg"]);
    let reason = probe_kvm().expect_err("as before").to_string();
    assert_eq!(ended.stderr.matches(&reason).count(), 1, "{}", ended.stderr);
    sandbox.assert_no_guest_was_started();
    sandbox.assert_nothing_left();
}

#[test]
fn kvm_counts_no_instructions() {
    let sandbox = Sandbox::new();
    run(
        &sandbox,
        &["bench", "--clock", "instructions", "--accel", "kvm"],
    )
    .assert_refused(&["--clock instructions", "TCG", "--accel kvm"]);
    sandbox.assert_nothing_left();
}
