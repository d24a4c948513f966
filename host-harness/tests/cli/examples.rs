// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The examples, as somebody tries them: their drivers are built, and their
//! scenarios run.

use std::{fs, path::Path};

use crate::{
    program::{Ended, run},
    sandbox::Sandbox,
    sources::{build, copy, repository},
};

/// Runs scenarios of an example; all of them pass.
#[track_caller]
fn try_example(folder: &str, scenarios: &[&str]) -> Ended {
    let sandbox = Sandbox::new();
    let example = copy(&sandbox, folder);
    build(&example);
    try_scenarios(&sandbox, &example, scenarios)
}

#[track_caller]
fn try_scenarios(sandbox: &Sandbox, folder: &Path, scenarios: &[&str]) -> Ended {
    let paths = scenarios.iter().map(|name| folder.join(name));
    let paths: Vec<_> = paths
        .map(|path| path.to_str().expect("UTF-8").to_owned())
        .collect();
    let mut arguments = vec!["test", "--accel=tcg"];
    arguments.extend(paths.iter().map(String::as_str));
    let ended = run(sandbox, &arguments);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let passed = ended.stderr.matches("irqbed: passed: ").count();
    assert_eq!(passed, scenarios.len(), "{ended:#?}");
    sandbox.assert_nothing_left();
    ended
}

#[test]
fn the_driver_of_the_readme_takes_its_device() {
    let sandbox = Sandbox::new();
    let module = build(&copy(&sandbox, "examples/first"));
    let module = module.to_str().expect("UTF-8");
    let ended = run(&sandbox, &["test", "--device=edu", "--module", module]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(
        ended.stderr.starts_with("irqbed: passed: first in "),
        "{ended:#?}"
    );
    sandbox.assert_nothing_left();
}

#[test]
fn the_card_in_miniature_is_a_network_interface() {
    let ended = try_example(
        "examples/nic-lite",
        &["test.toml", "stopped.toml", "short.toml"],
    );
    for part in [
        " 5 packets received",
        "1000000 bytes received as they were sent",
        "works, and works after a sleep",
        "eth0: restarts, errors 0x",
        "eth0 works again",
        "eth2 works as soon as there is memory",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?}: {ended:#?}");
    }
    let fault = "nic-lite: dma-failed:after=30,count=1 happened 1 of ";
    assert!(ended.stderr.contains(fault), "{ended:#?}");
}

#[test]
fn a_burst_of_packets_is_sent_though_its_last_ones_are_dropped() {
    let sandbox = Sandbox::new();
    build(&copy(&sandbox, "examples/nic-lite"));
    let hog = copy(&sandbox, "host-harness/tests/modules/hog");
    build(&hog);
    fs::copy(sandbox.own("nic-lite/nic_lite.ko"), hog.join("nic_lite.ko")).expect("a copy");
    let ended = try_scenarios(&sandbox, &hog, &["burst.toml"]);
    let sent = "a burst is sent as far as there was memory";
    assert!(ended.stdout.contains(sent), "{ended:#?}");
}

#[test]
fn the_drivers_of_the_examples_let_the_machine_sleep() {
    let sandbox = Sandbox::new();
    for folder in ["scratch", "edu", "nic-lite"] {
        build(&copy(&sandbox, &format!("examples/{folder}")));
    }
    for file in ["sleep.toml", "sleep.sh"] {
        let from = repository().join("examples").join(file);
        fs::copy(from, sandbox.own(file)).expect("a copy");
    }
    let ended = try_scenarios(&sandbox, &sandbox.own(""), &["sleep.toml"]);
    for level in ["devices", "platform"] {
        for state in ["freeze", "mem"] {
            let works = format!("all works after {state} at the level {level}");
            assert!(ended.stdout.contains(&works), "no {works:?}: {ended:#?}");
        }
    }
}

#[test]
fn the_driver_of_the_peers_lets_a_device_go_that_is_in_use() {
    let ended = try_example("bench/peers", &["removed.toml"]);
    for part in ["No such device", "works again"] {
        assert!(ended.stdout.contains(part), "no {part:?}: {ended:#?}");
    }
}

#[test]
fn edu_interrupts_by_message_and_by_line_and_moves_memory_both_ways() {
    let ended = try_example("examples/edu", &["msi.toml", "intx.toml"]);
    for part in ["works by PCI-MSI", "works by IO-APIC"] {
        assert!(ended.stdout.contains(part), "no {part:?}: {ended:#?}");
    }
}

#[test]
fn the_driver_of_edu_lets_a_device_go_that_is_in_use_and_drives_the_next_one() {
    let ended = try_example("examples/edu", &["plugged.toml"]);
    let works = ended.stdout.matches("edu: 0000:01:00.0 works").count();
    assert_eq!(works, 2, "{ended:#?}");
    assert!(ended.stdout.contains("No such device"), "{ended:#?}");
    for line in [
        "irqbed: step 1: plug edu into port 0\n",
        "irqbed: step 2: unplug port 0\n",
        "irqbed: step 3: plug edu into port 0\n",
        "irqbed: fault: edu in port 0: irq-duplicated:gap=100us,count=1 happened 1 of ",
    ] {
        assert!(ended.stderr.contains(line), "no {line:?}: {ended:#?}");
    }
}

#[test]
fn the_driver_of_edu_copes_with_a_lost_interrupt_and_with_a_device_that_stays_busy() {
    let ended = try_example("examples/edu", &["lost.toml", "stuck.toml"]);
    for part in [
        "a transfer ends without its interrupt",
        "Connection timed out",
        "the device is gone, and nobody waits for it",
    ] {
        assert!(ended.stdout.contains(part), "no {part:?}: {ended:#?}");
    }
    let gone = ended.stdout.matches("No such device").count();
    assert_eq!(gone, 6, "{ended:#?}");
    let fault = "fault: edu: irq-lost:after=1,count=1 happened 1 of 3 times";
    assert!(ended.stderr.contains(fault), "{ended:#?}");
}
