// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A run that is told to stop stops, at any moment, and leaves nothing.

use std::{fs, thread, time::Duration};

use rustix::process::Signal;

use crate::{
    program::{Running, irqbed},
    sandbox::Sandbox,
};

/// More events than any test waits for.
const ENDLESS: [&str; 5] = ["bench", "--accel", "tcg", "--events", "10000000"];

/// Starts a run that would go on for hours, and tells it to stop.
#[track_caller]
fn stop_after(milliseconds: u64, signal: Signal, arguments: &[&str]) {
    let sandbox = Sandbox::new();
    let command = irqbed(&sandbox, &[&ENDLESS[..], arguments].concat());
    let running = Running::start(&sandbox, command);
    thread::sleep(Duration::from_millis(milliseconds));
    running.signal(signal);
    let ended = running.wait();
    if milliseconds < 500 {
        ended.assert_interrupted_early(signal);
    } else {
        ended.assert_interrupted();
    }
    sandbox.assert_nothing_left();
}

#[test]
fn ctrl_c_at_any_moment_ends_a_run_and_leaves_nothing() {
    for milliseconds in [50, 500, 1500, 3000] {
        stop_after(milliseconds, Signal::INT, &[]);
    }
}

#[test]
fn ctrl_c_ends_a_run_counted_in_instructions() {
    for milliseconds in [500, 4000] {
        stop_after(milliseconds, Signal::INT, &["--clock", "instructions"]);
    }
}

#[test]
fn being_told_to_terminate_or_hung_up_is_the_same() {
    stop_after(1000, Signal::TERM, &[]);
    stop_after(3000, Signal::TERM, &["--rate", "max"]);
    stop_after(2000, Signal::HUP, &[]);
}

#[test]
fn ctrl_c_in_the_middle_of_events_leaves_a_former_result_as_it_was() {
    const FORMER: &str = "what was there before";
    let sandbox = Sandbox::new();
    let target = sandbox.own("result.json");
    fs::write(&target, FORMER).expect("a file");
    let path = target.to_str().expect("UTF-8");
    let command = irqbed(&sandbox, &[&ENDLESS[..], &["-v", "--json", path]].concat());
    let mut running = Running::start(&sandbox, command);
    running.wait_for_message("guest is up");
    thread::sleep(Duration::from_secs(2));
    running.signal(Signal::INT);
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(130), "{ended:#?}");
    assert!(
        ended.stderr.ends_with("irqbed: interrupted\n"),
        "{ended:#?}"
    );
    assert!(!ended.stderr.contains("error"), "{ended:#?}");
    assert_eq!(fs::read_to_string(&target).expect("a file"), FORMER);
    sandbox.assert_nothing_left();
}

#[test]
fn a_killed_irqbed_takes_its_guest_along() {
    let sandbox = Sandbox::new();
    let command = irqbed(&sandbox, &[&ENDLESS[..], &["-v"]].concat());
    let mut running = Running::start(&sandbox, command);
    running.wait_for_message("guest is up");
    assert_eq!(sandbox.processes().len(), 2, "irqbed and QEMU");
    running.signal(Signal::KILL);
    assert_eq!(running.wait().status.code(), None);
    sandbox.wait_until_nothing_is_left();
}
