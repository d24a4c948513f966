// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A driver that does not load: it says why, and so do we. And one that is the same wherever it
//! is built.

use std::fs;

use crate::{program::run, sandbox::Sandbox, sources::repository};

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

/// Nothing in it depends on the folder: another clone has the same file.
#[test]
fn the_driver_does_not_say_where_it_was_built() {
    let store = repository().join(".irqbed");
    let driver = fs::read(store.join("module/irqbed.ko")).expect("./just setup built it");
    let folder = store.to_string_lossy().into_owned();
    let mut parts = driver.windows(folder.len());
    assert!(!parts.any(|part| part == folder.as_bytes()), "{folder}");
}
