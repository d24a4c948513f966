// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A project that `irqbed new` begins, outside this repository.

use std::fs;

use rustix::process::{Pid, Signal};

use crate::{
    program::{Running, irqbed, run},
    sandbox::{Sandbox, wait_until},
    sources::compiles,
};

#[test]
fn a_new_project_passes_its_own_tests() {
    let sandbox = Sandbox::new();
    let project = sandbox.own("my_card");
    let folder = project.to_str().expect("UTF-8");
    let ended = run(&sandbox, &["new", "my_card", "--dir", folder]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let next = format!("cd {folder} && cargo test");
    assert!(ended.stdout.contains(&next), "{ended:#?}");

    let tested = compiles(&sandbox, &project, "cargo")
        .args(["test", "--quiet"])
        .output()
        .expect("cargo runs");
    let said =
        [tested.stdout, tested.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(tested.status.success(), "{said:#?}");
    let passed = "irqbed: passed: the driver takes the device, which works";
    assert!(said[1].contains(passed), "{said:#?}");

    // Its device has faults, which its code does not know of.
    let scenario = fs::read_to_string(project.join("test.toml")).expect("a scenario");
    for (fault, status, words) in [
        (
            "irq-lost",
            1,
            &["probe", "fault: my_card: irq-lost happened 1 of 1 time"][..],
        ),
        ("irq-lost:vector=9", 1, &["my_card: ", "vector=9"]),
    ] {
        let faults = format!("{{control}}\"]\nfaults = [{fault:?}]");
        let faulty = scenario.replace("{control}\"]", &faults);
        assert_ne!(faulty, scenario);
        fs::write(project.join("faulty.toml"), faulty).expect("a file");
        let mut command = irqbed(&sandbox, &["test", "faulty.toml"]);
        command.current_dir(&project);
        let ended = Running::start(&sandbox, command).wait();
        assert_eq!(ended.status.code(), Some(status), "{ended:#?}");
        for word in words {
            assert!(ended.stderr.contains(word), "no {word:?}: {ended:#?}");
        }
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_project_that_cannot_be_is_refused_and_nothing_is_written() {
    let sandbox = Sandbox::new();
    let there = sandbox.own("there");
    fs::create_dir(&there).expect("a folder");
    let there = there.to_str().expect("UTF-8");
    let within = sandbox.own("no/such/folder");
    for (arguments, word) in [
        (&["new", "struct"][..], "a word of C"),
        (&["new", "my-card"], "2 to 31 of a-z, 0-9 and _"),
    ] {
        run(&sandbox, arguments).assert_usage(&[word]);
    }
    let nameless = run(&sandbox, &["new"]);
    assert_eq!(nameless.status.code(), Some(2), "{nameless:#?}");
    assert!(nameless.stderr.contains("<NAME>"), "{nameless:#?}");
    run(&sandbox, &["new", "my_card", "--dir", there]).assert_bad_input(&["exists"]);
    let within = within.to_str().expect("UTF-8");
    run(&sandbox, &["new", "my_card", "--dir", within]).assert_refused(&["cannot create", within]);
    run(&sandbox, &["link", there]).assert_bad_input(&["no Cargo.toml in", there]);
    assert_eq!(fs::read_dir(there).expect("it is there").count(), 0);
}

#[test]
fn a_build_that_is_told_to_stop_takes_along_what_it_runs() {
    let sandbox = Sandbox::new();
    let folder = sandbox.own("slow");
    fs::create_dir(&folder).expect("a folder");
    fs::write(
        folder.join("Kbuild"),
        "obj-m := slow.o\n$(shell sleep 1000)\n",
    )
    .expect("a file");
    let folder = folder.to_str().expect("UTF-8");
    for signal in [Signal::INT, Signal::TERM] {
        let running = Running::start(&sandbox, irqbed(&sandbox, &["build", folder]));
        let is_sleep = |pid: &Pid| {
            let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
            name.is_ok_and(|name| name == "sleep\n")
        };
        wait_until("make runs", || sandbox.processes().iter().any(is_sleep));
        running.signal(signal);
        let ended = running.wait();
        assert_eq!(ended.status.code(), Some(130), "{ended:#?}");
        assert!(ended.stderr.contains("irqbed: interrupted\n"), "{ended:#?}");
        sandbox.assert_nothing_left();
    }
}

#[test]
fn modules_that_cannot_be_built_are_refused() {
    let sandbox = Sandbox::new();
    let empty = sandbox.own("empty");
    fs::create_dir(&empty).expect("a folder");
    let empty = empty.to_str().expect("UTF-8");
    let ended = run(&sandbox, &["build", empty]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("has no Kbuild file"), "{ended:#?}");
    run(&sandbox, &["build", "no-such-folder"])
        .assert_bad_input(&["there is no folder no-such-folder"]);
    run(&sandbox, &["build", "--kernel=4.2"]).assert_bad_input(&["there is no kernel \"4.2\""]);
}
