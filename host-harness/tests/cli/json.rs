// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Results as JSON: where they can go, where they cannot, and when that is said.

use std::{
    fs::{self, File, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{
    bench::assert_sound,
    program::{Running, irqbed, run},
    sandbox::Sandbox,
};

const SHORT: [&str; 5] = ["bench", "--accel", "tcg", "--events", "100"];

/// Refused before the boot, with the path and the reason, once.
#[track_caller]
fn assert_refused_before_the_boot(sandbox: &Sandbox, target: &Path, reason: &str) {
    let target = target.to_str().expect("UTF-8");
    let mut command = irqbed(sandbox, &["bench", "--json", target]);
    command.env("IRQBED_QEMU", sandbox.forbidden_qemu());
    let ended = Running::start(sandbox, command).wait();
    ended.assert_bad_input(&["cannot write the results", target, reason]);
    assert_eq!(ended.stderr.matches(reason).count(), 1, "{}", ended.stderr);
    sandbox.assert_no_guest_was_started();
    sandbox.assert_nothing_left();
}

#[test]
fn a_missing_folder_is_named_before_the_boot() {
    let sandbox = Sandbox::new();
    let target = sandbox.own("missing").join("result.json");
    assert_refused_before_the_boot(&sandbox, &target, "there is no folder");
}

#[test]
fn a_folder_is_no_file_and_that_is_said_before_the_boot() {
    let sandbox = Sandbox::new();
    let target = sandbox.own("");
    assert_refused_before_the_boot(&sandbox, &target, "is a directory");
}

#[test]
fn a_folder_that_may_not_be_written_is_named_before_the_boot() {
    let sandbox = Sandbox::new();
    let folder = if rustix::process::geteuid().is_root() {
        // To root everything is open but what lets nobody make files.
        PathBuf::from("/sys/kernel")
    } else {
        let folder = sandbox.own("closed");
        fs::create_dir(&folder).expect("a folder");
        fs::set_permissions(&folder, Permissions::from_mode(0o500)).expect("it is ours");
        folder
    };
    let target = folder.join("irqbed-result.json");
    assert_refused_before_the_boot(&sandbox, &target, "ermission denied");
}

#[test]
fn a_full_disk_is_an_error() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, &[&SHORT[..], &["--json", "/dev/full"]].concat());
    let others = ended.assert_failed(&["/dev/full", "No space left on device"]);
    assert!(others.is_empty(), "{ended:#?}");
    // What was measured is not lost with it.
    assert!(ended.stdout.contains("raise_to_user"), "{}", ended.stdout);
    sandbox.assert_nothing_left();
}

#[test]
fn a_table_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::new();
    let full = File::options().write(true).open("/dev/full");
    let output = irqbed(&sandbox, &SHORT)
        .stdout(full.expect("/dev/full"))
        .output()
        .expect("irqbed runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("irqbed: error: "), "{said}");
    assert!(said.contains("No space left on device"), "{said}");
}

#[test]
fn on_standard_output_there_is_nothing_but_the_document() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, &[&SHORT[..], &["--json", "-"]].concat());
    ended.assert_measured();
    let document = assert_sound(&ended.stdout, 100);
    for part in ["qemu", "accelerator", "command_line"] {
        assert!(!document["environment"][part].is_null(), "no {part}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_file_that_was_there_is_replaced_as_a_whole() {
    const FORMER: &str = "what was there before";
    let sandbox = Sandbox::new();
    let target = sandbox.own("results/result.json");
    fs::create_dir(sandbox.own("results")).expect("a folder");
    fs::write(&target, FORMER).expect("a file");
    fs::set_permissions(&target, Permissions::from_mode(0o640)).expect("it is ours");
    let mut reader = File::open(&target).expect("a file");

    let path = target.to_str().expect("UTF-8");
    let ended = run(&sandbox, &[&SHORT[..], &["--json", path]].concat());
    ended.assert_measured();
    assert!(ended.stdout.contains("account: raised 100"), "{ended:#?}");

    // Who has the former file open still reads it, whole.
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("a file");
    assert_eq!(text, FORMER);
    assert_sound(&fs::read_to_string(&target).expect("a file"), 100);
    let mode = fs::metadata(&target).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    let beside = fs::read_dir(sandbox.own("results")).expect("a folder");
    assert_eq!(beside.count(), 1);
    sandbox.assert_nothing_left();
}
