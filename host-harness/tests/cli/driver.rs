// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A driver that does not load: it says why, and so do we.

use crate::{program::run, sandbox::Sandbox};

#[track_caller]
fn assert_does_not_load(parameter: &str, words: &[&str]) {
    let sandbox = Sandbox::new();
    run(
        &sandbox,
        &["bench", "--accel", "tcg", "--module-parameter", parameter],
    )
    .assert_refused(words);
    sandbox.assert_nothing_left();
}

#[test]
fn a_taken_unit_is_named_with_the_remedy() {
    assert_does_not_load("unit=16", &["unit 16", "taken", "unit="]);
}

#[test]
fn a_ring_that_cannot_be_is_named_with_those_that_can() {
    assert_does_not_load(
        "ring_entries=3",
        &["ring_entries=3", "power of two", "65536"],
    );
}

#[test]
fn an_unknown_parameter_is_named_with_those_there_are() {
    assert_does_not_load(
        "delay=20000",
        &["\"delay\"", "delay_ns", "delay_insns", "unit"],
    );
}
