// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed doctor`: with everything there, and with parts missing.

use std::{fs, fs::File};

use crate::{
    program::{Ended, irqbed, run, run_with},
    sandbox::Sandbox,
};

/// The line about one thing.
#[track_caller]
fn finding<'a>(ended: &'a Ended, mark: &str, what: &str) -> &'a str {
    ended
        .stdout
        .lines()
        .find(|line| line.starts_with(mark) && line[mark.len()..].trim().starts_with(what))
        .unwrap_or_else(|| panic!("no {mark} for {what}: {}", ended.stdout))
}

#[test]
fn with_everything_there_a_bench_can_run() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, &["doctor"]);
    ended.assert_good();
    for what in ["QEMU", "vfio-user", "guest kernel", "driver", "initramfs"] {
        finding(&ended, "ok", what);
    }
    assert!(ended.stdout.ends_with("\nready: ./just bench\n"));
    sandbox.assert_nothing_left();
}

#[test]
fn a_missing_qemu_is_told_and_has_a_remedy() {
    let sandbox = Sandbox::new();
    let missing = sandbox.own("no-qemu");
    let ended = run_with(&sandbox, "IRQBED_QEMU", &missing, &["doctor"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert_eq!(ended.stderr, "");
    let line = finding(&ended, "missing", "QEMU");
    assert!(line.contains(missing.to_str().expect("UTF-8")), "{line}");
    assert!(ended.stdout.contains("-> ./just setup, or set IRQBED_QEMU"));
    assert!(ended.stdout.contains("\nnot ready:"));
    sandbox.assert_nothing_left();
}

#[test]
fn a_kernel_that_is_none_is_told() {
    let sandbox = Sandbox::new();
    let kernel = sandbox.own("kernel");
    fs::write(&kernel, "").expect("a file");
    let ended = run_with(&sandbox, "IRQBED_KERNEL", &kernel, &["doctor"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let line = finding(&ended, "missing", "guest kernel");
    assert!(line.contains("is no Linux kernel"), "{line}");
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::new();
    let full = File::options().write(true).open("/dev/full");
    let output = irqbed(&sandbox, &["doctor"])
        .stdout(full.expect("/dev/full"))
        .output()
        .expect("irqbed runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("irqbed: error: "), "{said}");
    assert!(said.contains("standard output"), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn hints_say_of_each_thing_what_it_is_now_and_what_it_does() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, &["doctor", "--fix-hints"]);
    ended.assert_good();
    for what in [
        "frequency governor",
        "turbo",
        "idle states",
        "SMT",
        "isolated processors",
        "transparent huge pages",
        "steal time",
        "load",
    ] {
        let heading = format!("\n{what}: ");
        assert_eq!(
            ended.stdout.matches(&heading).count(),
            1,
            "{what}: {}",
            ended.stdout
        );
    }
    sandbox.assert_nothing_left();
}
