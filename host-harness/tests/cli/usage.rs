// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Command lines that make no sense.

use std::io;

use crate::{
    program::{Running, irqbed, run, run_with},
    sandbox::Sandbox,
};

/// Refused as usage, with no guest, and nothing left.
#[track_caller]
fn assert_usage(arguments: &[&str], words: &[&str]) {
    let sandbox = Sandbox::new();
    let qemu = sandbox.forbidden_qemu();
    run_with(&sandbox, "IRQBED_QEMU", qemu, arguments).assert_usage(words);
    sandbox.assert_no_guest_was_started();
    sandbox.assert_nothing_left();
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    let cases: [(&[&str], &[&str]); 28] = [
        (
            &["bench", "--payload", "5000"],
            &["--payload", "5000", "0..=4096"],
        ),
        (&["bench", "--payload", "-1"], &["-1"]),
        (&["bench", "--events", "0"], &["--events", "1.."]),
        (
            &["bench", "--vectors", "33"],
            &["--vectors", "33", "1..=32"],
        ),
        (&["bench", "--vcpus", "0"], &["--vcpus", "1..=64"]),
        (&["bench", "--listeners", "0"], &["--listeners", "1..=64"]),
        (&["bench", "--burst", "0"], &["--burst", "1..=1024"]),
        (&["bench", "--rounds", "0"], &["--rounds", "1..=1000"]),
        (&["bench", "--batch", "65"], &["--batch", "1..=64"]),
        (&["bench", "--fifo", "100"], &["--fifo", "1..=99"]),
        (
            &["bench", "--pin", "0-1"],
            &["--pin", "auto, none", "0,0,1"],
        ),
        (&["trace", "--pin", ""], &["--pin"]),
        (
            &["bench", "--pin", "0,4096"],
            &["--pin", "processor 4096", "but on"],
        ),
        (&["bench", "--load", "moon"], &["--load", "moon"]),
        (&["bench", "--memory", "1"], &["--memory", "128.."]),
        (&["path", "--events", "0"], &["--events", "1..=10000"]),
        (
            &["path", "--payload", "4097"],
            &["--payload", "4097", "0..=4096"],
        ),
        (&["path", "--events", "-1"], &["-1"]),
        (&["raise", "--vector", "32"], &["--vector", "32", "0..32"]),
        (&["raise", "--count", "0"], &["--count", "1..="]),
        (&["run-vm", "--vcpus", "65"], &["--vcpus", "1..=64"]),
        (
            &["trace", "--stop-above", "0"],
            &["--stop-above", "from 0.001"],
        ),
        (&["trace", "--stop-above", "NaN"], &["--stop-above", "NaN"]),
        (&["bench", "--events", "1e3"], &["--events", "1e3"]),
        (&["bench", "--payload", ""], &["--payload"]),
        (
            &["bench", "--poll-us", "1000001"],
            &["--poll-us", "1000001"],
        ),
        (&["test", "--poll-us", "-1"], &["-1"]),
        (&["run-vm", "--poll-us", "1e3"], &["--poll-us", "1e3"]),
    ];
    for (arguments, words) in cases {
        assert_usage(arguments, words);
    }
}

#[test]
fn a_rate_of_no_sense_is_refused_with_what_makes_sense() {
    for rate in [
        "nonsense",
        "0",
        "-5",
        "inf",
        "NaN",
        "1e9",
        "poisson:0",
        "poisson:",
    ] {
        assert_usage(
            &["bench", &format!("--rate={rate}")],
            &["--rate", rate, "from 0.01 to 1000000", "max"],
        );
    }
}

#[test]
fn options_that_cannot_go_together_say_why() {
    let cases: [(&[&str], &str); 9] = [
        (&["--fault", "removed:delay=1s"], "irqbed test"),
        (
            &["--fault", "irq-delayed", "--clock", "instructions"],
            "--clock wall",
        ),
        (&["--saturate", "--clock", "instructions"], "events in time"),
        (&["--saturate", "--events", "5"], "--saturate"),
        (
            &["--rate", "poisson:10", "--clock", "instructions"],
            "waits for the one before",
        ),
        (&["--rate", "max", "--burst", "500"], "at most 128"),
        (&["--cpu", "1"], "give more --vcpus"),
        (&["--module-parameter", "irq=intx"], "give --irq intx"),
        (&["--module-parameter", "notifier=mmap"], "give --mechanism"),
    ];
    for (arguments, words) in cases {
        assert_usage(&[&["bench"], arguments].concat(), &[words]);
    }
}

#[test]
fn a_fault_of_no_sense_is_refused_with_what_makes_sense() {
    let cases: [(&[&str], &[&str]); 6] = [
        (&["irq-last"], &["there is no fault `irq-last`", "irq-lost"]),
        (
            &["irq-lost:chance=2"],
            &["irq-lost: chance=2", "above 0, at most 1"],
        ),
        (&["irq-lost:chanse=1"], &["no key `chanse`", "chance"]),
        (&["irq-lost", "--list"], &["--list"]),
        (&["--list", "--clear"], &["--clear"]),
        (&[], &["required"]),
    ];
    for (arguments, words) in cases {
        assert_usage(&[&["fault"], arguments].concat(), words);
    }
}

#[test]
fn what_cannot_be_traced_says_why() {
    let cases: [(&[&str], &str); 4] = [
        (&[], "--output"),
        (
            &["-o", "t", "--mechanism", "vfio"],
            "vfio-pci stamps nothing",
        ),
        (&["-o", "t", "--clock", "instructions"], "irqbed path"),
        (&["-o", "t", "--cpu", "1"], "give more --vcpus"),
    ];
    for (arguments, words) in cases {
        assert_usage(&[&["trace"], arguments].concat(), &[words]);
    }
}

#[test]
fn words_that_are_none_of_ours_are_named() {
    assert_usage(
        &["bench", "--json", ""],
        &["--json", "- for standard output"],
    );
    assert_usage(&["bench", "--frobnicate"], &["--frobnicate"]);
    assert_usage(&["brew"], &["brew"]);
    assert_usage(&["bench", "--clock", "sun"], &["--clock", "sun"]);
    assert_usage(
        &["path", "--mechanism", "pigeon"],
        &["--mechanism", "pigeon"],
    );
    assert_usage(&["path", "--context", "dream"], &["--context", "dream"]);
    assert_usage(&["path", "--stamps", "some"], &["--stamps", "some"]);
    assert_usage(&["path", "--vcpus", "2"], &["--vcpus"]);
    assert_usage(
        &["path", "--module-parameter", "unit"],
        &["--module-parameter", "NAME=VALUE"],
    );
    assert_usage(&["bench", "--accel", "xen"], &["--accel", "xen"]);
    assert_usage(
        &["bench", "--delivery", "pigeon"],
        &["--delivery", "pigeon"],
    );
    assert_usage(
        &["bench", "--module-parameter", "unit"],
        &["--module-parameter", "NAME=VALUE"],
    );
}

#[test]
fn a_payload_that_no_event_can_carry_is_refused_with_its_length() {
    let payload = "x".repeat(4097);
    assert_usage(
        &["raise", "--payload", &payload],
        &["4097 bytes", "at most 4096"],
    );
}

#[test]
fn no_command_at_all_shows_the_commands() {
    let sandbox = Sandbox::new();
    let ended = Running::start(&sandbox, irqbed(&sandbox, &[])).wait();
    assert_eq!(ended.status.code(), Some(2));
    for command in [
        "bench", "path", "trace", "run-vm", "raise", "fault", "test", "doctor",
    ] {
        assert!(ended.stderr.contains(command), "{}", ended.stderr);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn help_and_version_are_what_was_asked_for() {
    let sandbox = Sandbox::new();
    for arguments in [&["--help"][..], &["bench", "--help"], &["--version"]] {
        let ended = Running::start(&sandbox, irqbed(&sandbox, arguments)).wait();
        ended.assert_good();
        assert!(!ended.stdout.is_empty());
    }
}

/// What is no kernel, or no file that can be written, is a command line that makes no sense,
/// whichever command it is given to.
#[test]
fn what_a_command_cannot_do_with_its_arguments_is_told_by_its_status() {
    let folder = env!("CARGO_MANIFEST_DIR");
    let cases = [
        &["bench", "--kernel", "5.0"][..],
        &["trace", "--kernel", "5.0", "-o", "trace"],
        &["test", "--kernel", "5.0", "--agent", "/bin/true"],
        &["bench", "--json", folder],
        &["path", "--json", folder],
        &[
            "bench-mmio",
            "--socket",
            "/nowhere",
            "--region",
            "0",
            "--json",
            folder,
        ],
        &["test", "--agent", "/bin/true", "--junit", folder],
    ];
    for arguments in cases {
        let sandbox = Sandbox::new();
        let ended = run(&sandbox, arguments);
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {ended:#?}");
        assert_eq!(ended.stderr.lines().count(), 1, "{arguments:?}: {ended:#?}");
        sandbox.assert_nothing_left();
    }
}

/// `irqbed doctor | head -1` and the like.
#[test]
fn who_reads_no_further_changes_no_status() {
    let sandbox = Sandbox::new();
    for arguments in [
        &["doctor"][..],
        &["bench", "--json", "/"],
        &["compare", "/nowhere", "/nowhere"],
    ] {
        let expected = run(&sandbox, arguments).status.code();
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut command = irqbed(&sandbox, arguments);
        command
            .stdout(writer.try_clone().expect("a pipe"))
            .stderr(writer);
        let ended = command.status().expect("irqbed runs");
        assert_eq!(ended.code(), expected, "{arguments:?}");
    }
}
