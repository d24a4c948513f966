// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Devices that come and go while `irqbed test` runs: by the steps of a scenario,
//! and by `irqbed plug` from outside.

use std::fs;

use crate::{
    program::{Running, irqbed, run},
    sandbox::Sandbox,
    sources::repository,
    test::{assert_bad_input, own, script, verdicts},
};

/// Functions of a shell for the guest: a device is there, or is gone.
const FIND: &str = "there() { ls /sys/bus/pci/devices/$1 >/dev/null 2>&1; }\n\
                    comes() { until there $1; do sleep 0.1; done; echo \"$1 is there\"; }\n\
                    goes() { while there $1; do sleep 0.1; done; echo \"$1 is gone\"; }\n";

fn step(says: &str, action: &str) -> String {
    format!("[[when]]\nsays = '{says}'\n{action}\n")
}

#[test]
fn a_step_that_cannot_be_is_refused_before_a_guest_is_started() {
    let sandbox = Sandbox::new();
    script(&sandbox, "x.sh", "true");
    let agent = "agent = 'x.sh'\n";
    let refused = |text: String, words: &[&str]| {
        let bad = own(&sandbox, "bad.toml", text);
        assert_bad_input(&sandbox, &["test", &bad], words);
    };
    let pull = step("x", "unplug = true");
    refused(
        format!("{agent}{pull}"),
        &["unplug port 0", "has no ports", "give `ports`"],
    );
    let second = step("x", "port = 1\nplug = { name = 'edu' }");
    refused(
        format!("{agent}ports = 1\n{second}"),
        &["plug edu into port 1", "port 0 alone"],
    );
    refused(format!("{agent}ports = 15\n"), &["ports is 15", "14"]);
    let module = "[[module]]\npath = 'x.ko'\n";
    refused(
        format!("ports = 1\n{module}{pull}"),
        &["line of the program's", "give `agent`"],
    );
    let nothing = step("x", "port = 0");
    refused(
        format!("{agent}ports = 1\n{nothing}"),
        &["[[when]] has one of", "plug = {", "unplug = true"],
    );
    let toaster = step("x", "plug = { name = 'toaster' }");
    refused(
        format!("{agent}ports = 1\n{toaster}"),
        &["toaster", "nic-lite"],
    );
    let edu = step("x", "plug = { name = 'edu', msix = false }");
    refused(
        format!("{agent}ports = 1\n{edu}"),
        &["edu", "without MSI-X"],
    );
    let gone = step("x", "plug = { name = 'edu', faults = ['removed'] }");
    refused(
        format!("{agent}ports = 1\n{gone}"),
        &["edu cannot have the fault removed", "delay=5s"],
    );
}

#[test]
fn a_step_that_fails_or_has_no_turn_fails_the_scenario_and_is_named() {
    let sandbox = Sandbox::new();
    // Who is not ended waits to the limit.
    script(&sandbox, "empty.sh", "echo go; sleep 1000");
    script(&sandbox, "silent.sh", "echo 'go on'; printf go");
    script(&sandbox, "taken.sh", "echo one; echo two; sleep 1000");
    let scenario = |name: &str, steps: String| {
        let text = format!("agent = '{name}.sh'\nlimit = 3600\nports = 1\n{steps}");
        own(&sandbox, &format!("{name}.toml"), text)
    };
    let plug = "plug = { name = 'edu' }";
    let scenarios = [
        scenario("empty", step("go", "unplug = true") + &step("gone", plug)),
        scenario("silent", step("go", plug)),
        scenario("taken", step("one", plug) + &step("two", plug)),
    ];
    let junit = sandbox.own("junit.xml");
    let mut arguments = vec!["test", "--accel=tcg", "--junit"];
    arguments.push(junit.to_str().expect("UTF-8"));
    arguments.extend(scenarios.iter().map(String::as_str));
    let ended = run(&sandbox, &arguments);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let failed: Vec<&str> = verdicts(&ended)
        .into_iter()
        .filter(|line| line.starts_with("failed: "))
        .collect();
    assert_eq!(
        failed,
        [
            "failed: empty: step 1 (unplug port 0) failed: port 0 has no device in it",
            "failed: silent: step 1 (plug edu into port 0) had no turn: the program never said \"go\"",
            "failed: taken: step 2 (plug edu into port 0) failed: port 0 has a device in it: \
             unplug it first, or take another port",
        ],
        "{ended:#?}"
    );
    let junit = fs::read_to_string(junit).expect("a file");
    let step = r#"<property name="step 1" value="plug edu into port 0"/>"#;
    assert_eq!(junit.matches(step).count(), 1, "{junit}");
    sandbox.assert_nothing_left();
}

#[test]
fn a_device_model_of_the_users_own_is_started_each_time_it_is_plugged_in() {
    let sandbox = Sandbox::new();
    let lines = format!(
        "{FIND}for turn in first second; do\n\
         echo \"$turn\"; comes 0000:01:00.0\n\
         [ \"$turn\" = first ] || break\n\
         echo out; goes 0000:01:00.0\n\
         done\n\
         echo silent\n\
         comes 0000:02:00.0; cd /sys/bus/pci/devices/0000:02:00.0\n\
         until [ $((bar = $(head -n 1 resource | cut -d ' ' -f 1))) != 0 ]; do sleep 0.1; done\n\
         echo 1 >enable\n\
         echo gone; until [ $(($(devmem $bar 32))) = 4294967295 ]; do sleep 0.1; done"
    );
    script(&sandbox, "agent.sh", &lines);
    let program = repository().join("target/release/device-model");
    let program = program.display();
    let plug = format!("plug = {{ command = ['{program}', 'edu', '--socket', '{{socket}}'] }}");
    let edu = "port = 1\nplug = { name = 'edu' }";
    let text = format!(
        "agent = 'agent.sh'\nports = 2\n{}{}{}{}{}",
        step("first", &plug),
        step("out", "unplug = true"),
        step("second", &plug),
        step("silent", edu),
        step("gone", "port = 1\nfaults = ['removed']"),
    );
    let scenario = own(&sandbox, "plugged.toml", text);
    let ended = run(&sandbox, &["test", "--accel=tcg", &scenario]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let verdicts = verdicts(&ended);
    for line in [
        "step 2: unplug port 0",
        "step 5: arm removed at port 1",
        "fault: edu in port 1: removed happened 1 of 1 time",
    ] {
        assert!(verdicts.contains(&line), "no {line:?}: {ended:#?}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_device_is_plugged_in_and_pulled_from_outside_while_a_test_runs() {
    let sandbox = Sandbox::new();
    let lines =
        format!("{FIND}echo begun >&2; comes 0000:02:00.0; echo found >&2; goes 0000:02:00.0");
    let agent = script(&sandbox, "agent.sh", &lines);
    let socket = sandbox.run().join("control");
    let control = socket.to_str().expect("UTF-8");
    let arguments = ["test", "--accel=tcg", "--ports=2", "--control", control];
    let arguments = [&arguments[..], &["--agent", &agent]].concat();
    let mut running = Running::start(&sandbox, irqbed(&sandbox, &arguments));
    running.wait_for_message("begun");
    let at = ["--control", control, "--port=1"];
    let faulty = ["plug", "edu", "--fault=irq-lost"];
    run(&sandbox, &[&faulty[..], &at].concat()).assert_good();
    // The guest lets go of what it has found.
    running.wait_for_message("found");
    run(&sandbox, &[&["unplug"][..], &at].concat()).assert_good();
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(ended.stdout.contains("0000:02:00.0 is gone"), "{ended:#?}");
    sandbox.assert_nothing_left();
}
