// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed ab`: what it refuses, how it stops, and a comparison of these sources
//! with themselves.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;

use crate::{
    program::{Ended, Running, irqbed, run},
    sandbox::{Sandbox, wait_until},
};

/// These sources.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A folder with sources whose setup is a script. Another process writes it, as
/// [`Sandbox::fake_qemu`] explains.
fn sources(sandbox: &Sandbox, script: &str) -> PathBuf {
    let root = sandbox.own("sources");
    for folder in ["images", ".irqbed"] {
        fs::create_dir_all(root.join(folder)).expect("a folder");
    }
    let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod +x "$0""#;
    let status = Command::new("/bin/sh")
        .args(["-c", write])
        .arg(root.join("images/setup.sh"))
        .arg(script)
        .status();
    assert!(status.expect("/bin/sh runs").success());
    root
}

/// Nothing to compare: exit status 2, and the first line says why.
#[track_caller]
fn assert_refused(ended: &Ended, words: &[&str]) {
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    let first = ended.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("irqbed: error: "), "{}", ended.stderr);
    for word in words {
        assert!(ended.stderr.contains(word), "no {word:?}: {}", ended.stderr);
    }
}

#[test]
fn what_holds_no_sources_is_named() {
    let sandbox = Sandbox::new();
    let empty = sandbox.own("empty");
    fs::create_dir(&empty).expect("a folder");
    let empty = empty.to_str().expect("UTF-8");
    for (name, words) in [
        ("no-such-thing", "neither a folder nor a revision"),
        ("--output=x", "neither a folder nor a revision"),
        (empty, "no images/setup.sh"),
    ] {
        let name_of = |side| format!("--{side}={name}");
        for arguments in [
            vec!["ab", &name_of("base")],
            vec!["ab", "--base", HERE, &name_of("new")],
        ] {
            let ended = run(&sandbox, &arguments);
            assert_refused(&ended, &[name, words]);
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
        }
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_side_that_does_not_build_shows_the_end_of_its_log_and_where_it_is() {
    let sandbox = Sandbox::new();
    let root = sources(&sandbox, "echo first; echo 'no luck' >&2; exit 3");
    let root = root.to_str().expect("UTF-8");
    let ended = run(&sandbox, &["ab", "--base", root, "--new", HERE]);
    let log = format!("{root}/.irqbed/log/ab.log");
    assert_refused(&ended, &["the base", "does not build", &log, "no luck"]);
    assert_eq!(fs::read_to_string(log).expect("a log"), "first\nno luck\n");
    let ended = run(
        &sandbox,
        &["ab", "--base", root, "--new", HERE, "--no-build"],
    );
    assert_refused(&ended, &["the base", "not built", "--no-build"]);
    fs::remove_dir_all(format!("{root}/.irqbed")).expect("a folder");
    let ended = run(&sandbox, &["ab", "--base", root, "--new", HERE]);
    assert_refused(&ended, &["not set up", root]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_build_that_is_told_to_stop_stops() {
    let sandbox = Sandbox::new();
    let root = sources(&sandbox, "sleep 1000 & wait");
    let root = root.to_str().expect("UTF-8");
    let running = Running::start(&sandbox, irqbed(&sandbox, &["ab", "--base", root]));
    wait_until("it builds", || sandbox.processes().len() == 3);
    running.signal(Signal::INT);
    running.wait().assert_interrupted();
    sandbox.assert_nothing_left();
}

#[test]
fn what_the_bench_of_a_side_does_not_take_is_said_before_a_guest_boots() {
    let sandbox = Sandbox::new();
    let here = ["ab", "--base", HERE, "--new", HERE, "--no-build"];
    let ended = run(&sandbox, &[&here[..], &["--", "--frobnicate"]].concat());
    assert_refused(&ended, &["does not take", "--frobnicate"]);
    for word in ["--json=x", "--rounds", "--clock", "--in-turns=2"] {
        let ended = run(&sandbox, &[&here[..], &["--", word]].concat());
        let word = word.split('=').next().expect("a word");
        ended.assert_usage(&[word, "not for the bench"]);
    }
    for (arguments, words) in [
        (&["--rounds", "0"][..], "1..=200"),
        (&["--threshold", "-1"], "-1"),
        (&["--format", "smoke"], "smoke"),
    ] {
        run(&sandbox, &[&here[..], arguments].concat()).assert_usage(&[words]);
    }
    assert_eq!(run(&sandbox, &["ab"]).status.code(), Some(2));
    let ended = run(
        &sandbox,
        &[&here[..], &["--save", "/proc/nowhere"]].concat(),
    );
    assert_refused(&ended, &["/proc/nowhere"]);
    sandbox.assert_nothing_left();
}

#[test]
fn these_sources_are_the_same_as_themselves() {
    let sandbox = Sandbox::new();
    let folder = sandbox.own("results");
    let ended = run(
        &sandbox,
        &[
            &[
                "ab",
                "--base",
                HERE,
                "--new",
                HERE,
                "--no-build",
                "--rounds=2",
            ],
            &["--clock=instructions", "--save"][..],
            &[folder.to_str().expect("UTF-8"), "--", "--events", "20"],
        ]
        .concat(),
    );
    ended.assert_good();
    assert!(
        ended.stdout.contains("\n0 worse, 0 better, 3 the same"),
        "{ended:#?}"
    );
    for name in ["base.json", "new.json"] {
        let results = kept(&folder, name);
        assert_eq!(results.len(), 2);
        for result in results {
            assert_eq!(result["account"]["delivered"], 20, "{result}");
        }
    }
    sandbox.assert_nothing_left();
}

/// The results of a side, as they were kept.
fn kept(folder: &Path, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder.join(name)).expect("a result");
    let document: Value = serde_json::from_str(&text).expect("one JSON value");
    document["results"].as_array().expect("results").clone()
}

#[test]
fn rounds_that_are_told_to_stop_stop_leave_no_guest_and_keep_what_was_measured() {
    let sandbox = Sandbox::new();
    let folder = sandbox.own("results");
    let arguments = [
        &["ab", "--base", HERE, "--new", HERE, "--no-build"][..],
        &["--rounds=12", "--turns=3", "--save"],
        &[folder.to_str().expect("UTF-8"), "--", "--events=20"],
    ]
    .concat();
    let running = Running::start(&sandbox, irqbed(&sandbox, &arguments));
    // Both guests at once, each with its own irqbed.
    wait_until("two guests boot", || sandbox.processes().len() == 5);
    let first = sandbox.processes();
    wait_until("a second round begins", || {
        let now = sandbox.processes();
        // All but the one that compares are others.
        now.len() == 5 && now.iter().filter(|one| first.contains(one)).count() == 1
    });
    running.signal(Signal::INT);
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(130), "{ended:#?}");
    let said: Vec<&str> = ended.stderr.lines().collect();
    let [.., rounds, "irqbed: interrupted"] = &*said else {
        panic!("{ended:#?}");
    };
    let words = "irqbed: 1 of 12 rounds were measured: they are kept in ";
    assert!(rounds.starts_with(words), "{ended:#?}");
    for name in ["base.json", "new.json"] {
        let results = kept(&folder, name);
        assert_eq!(results.len(), 1);
        // 20 events do not divide by 3: each turn has one more.
        assert_eq!(results[0]["account"]["delivered"], 21);
        for stage in ["raise_to_isr", "isr_to_user", "raise_to_user"] {
            let medians = results[0]["turns"][stage].as_array().expect("medians");
            let all: Vec<u64> = medians.iter().filter_map(Value::as_u64).collect();
            assert_eq!(all.len(), 3, "{medians:?}");
            let stats = &results[0]["stages"][stage];
            let within = stats["min"].as_u64()..=stats["max"].as_u64();
            assert!(all.iter().all(|&median| within.contains(&Some(median))));
        }
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_side_that_takes_no_turns_is_booted_in_turns() {
    let sandbox = Sandbox::new();
    let folder = sandbox.own("results");
    // What irqbed said before it knew of turns; all else is its own.
    let root = sources(&sandbox, "exit 0");
    let old = sandbox.fake_qemu(&format!(
        r#"case " $* " in *" --in-turns "*)
             echo "error: unexpected argument '--in-turns' found" >&2; exit 2 ;;
           esac
           exec {} "$@""#,
        env!("CARGO_BIN_EXE_irqbed")
    ));
    fs::remove_dir(root.join(".irqbed")).expect("it is empty");
    symlink(format!("{HERE}/.irqbed"), root.join(".irqbed")).expect("a link");
    fs::create_dir_all(root.join("target/release")).expect("a folder");
    fs::rename(old, root.join("target/release/irqbed")).expect("a program");
    let ended = run(
        &sandbox,
        &[
            &["ab", "--base", root.to_str().expect("UTF-8")][..],
            &["--new", HERE, "--no-build", "--rounds=2", "--save"],
            &[folder.to_str().expect("UTF-8"), "--", "--events=20"],
        ]
        .concat(),
    );
    // Two rounds of time are too few, which the first of them says.
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    for words in [
        "irqbed: the guests did not take turns, one boot followed the other: the bench of the base",
        "unexpected argument '--in-turns'",
        "irqbed: 1 of 2 rounds were measured: they are kept in ",
        "need 10 rounds on each side, not 2",
    ] {
        assert!(ended.stderr.contains(words), "no {words:?}: {ended:#?}");
    }
    for name in ["base.json", "new.json"] {
        let results = kept(&folder, name);
        assert_eq!(results.len(), 1);
        assert_eq!(results[0]["account"]["delivered"], 20);
        assert_eq!(results[0].get("turns"), None);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn what_cannot_take_turns_is_refused_before_a_guest_boots() {
    let sandbox = Sandbox::new();
    for (arguments, words) in [
        (&["--clock", "instructions"][..], "wall time"),
        (&["--mechanism", "netlink,mmap-poll"], "never idle"),
        (&["--all"], "never idle"),
        (&["--saturate"], "--saturate"),
        (&["--json", "x"], "--json"),
    ] {
        let ended = run(&sandbox, &[&["bench", "--in-turns=2"], arguments].concat());
        ended.assert_usage(&["--in-turns", words]);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_bench_whose_orders_end_ends_with_its_guest() {
    let sandbox = Sandbox::new();
    // Standard input has no orders.
    let ended = run(&sandbox, &["bench", "--in-turns=2"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert_eq!(ended.stdout, "\"prepared\"\n");
    assert!(
        ended.stderr.contains("the orders have ended early"),
        "{ended:#?}"
    );
    sandbox.assert_nothing_left();
}
