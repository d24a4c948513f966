// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A driver that does not load: it says why, and so do we. And one that is the same wherever it
//! is built.

use std::{env, fs, path::PathBuf};

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

/// Nothing in them depends on a folder: another clone, or another user, has the same files.
#[test]
fn driver_and_agent_do_not_say_where_they_were_built() {
    let store = repository().join(".irqbed");
    let crates = env::var_os("CARGO_HOME").map(PathBuf::from);
    let crates = crates.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let folders = [Some(store.clone()), Some(repository().to_owned()), crates];
    for file in ["module/irqbed.ko", "initramfs.cpio"] {
        let content = fs::read(store.join(file)).expect("./just setup built it");
        for folder in folders.iter().flatten() {
            let folder = format!("{}/", folder.display());
            let mut parts = content.windows(folder.len());
            let said = parts.any(|part| part == folder.as_bytes());
            assert!(!said, "{file} has {folder}");
        }
    }
}
