// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest that `irqbed test` suspends: by the steps of a scenario, and by an option.

use std::fs;

use crate::{
    program::run,
    sandbox::Sandbox,
    sources::{module, repository},
    test::{assert_bad_input, own, script, verdicts},
};

/// A function of a shell for the guest: it has been suspended so many times.
const SLEPT: &str =
    "slept() { until [ $(cat /sys/power/suspend_stats/success) = $1 ]; do sleep 0.1; done; }\n";

fn step(says: &str, action: &str) -> String {
    format!("[[when]]\nsays = '{says}'\n{action}\n")
}

#[test]
fn a_suspend_that_cannot_be_is_refused_before_a_guest_is_started() {
    let sandbox = Sandbox::new();
    let agent = script(&sandbox, "x.sh", "true");
    let refused = |action: &str, words: &[&str]| {
        let text = format!("agent = 'x.sh'\n{}", step("x", action));
        let bad = own(&sandbox, "bad.toml", text);
        assert_bad_input(&sandbox, &["test", &bad], words);
    };
    refused("suspend = 'disk'", &["disk", "freeze", "mem"]);
    refused("wake = '1s'", &["wake", "no `suspend`"]);
    refused("suspend = 'mem'\nwake = '2m'", &["\"2m\"", "unit"]);
    refused("suspend = 'mem'\nport = 1", &["the whole guest"]);
    refused("suspend = 'mem'\nunplug = true", &["[[when]] has one of"]);
    refused(
        "suspend = 'freeze'\npm-test = 'core'",
        &["suspend to idle", "no such test"],
    );
    // What an option of the program's own cannot be is said by its parser.
    let bad = run(&sandbox, &["test", "--agent", &agent, "--suspend=disk"]);
    assert_eq!(bad.status.code(), Some(2), "{bad:#?}");
    assert!(bad.stderr.contains("freeze or mem"), "{bad:#?}");
}

#[test]
fn a_guest_sleeps_when_its_program_says_so_and_its_devices_work_afterwards() {
    let sandbox = Sandbox::new();
    let check = repository().join("examples/edu/check.sh");
    fs::copy(check, sandbox.own("check.sh")).expect("a copy");
    let lines = "echo one; slept 1; ./check.sh\n\
                 echo two; slept 2; ./check.sh\n\
                 echo three; slept 3; ./check.sh\n\
                 echo four; slept 4; ./check.sh";
    script(&sandbox, "agent.sh", &format!("{SLEPT}set -e\n{lines}"));
    let text = [
        "agent = 'agent.sh'\nvcpus = 2\n[[device]]\nname = 'edu'\n[[file]]\npath = 'check.sh'\n",
        &step("one", "suspend = 'mem'\npm-test = 'core'\nwake = '100ms'"),
        &step("two", "suspend = 'freeze'\nwake = '500ms'"),
        &step("three", "suspend = 'mem'\nwake = '500ms'"),
        &step("four", "suspend = 'mem'\nwake = '0s'"),
    ];
    let scenario = own(&sandbox, "sleeps.toml", text.concat());
    let ended = run(&sandbox, &["test", &scenario, "--accel=tcg"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let works = ended.stdout.matches("works").count();
    assert_eq!(works, 4, "{ended:#?}");
    let verdicts = verdicts(&ended);
    for line in [
        "step 1: suspend to RAM as far as pm_test=core",
        "step 2: suspend to idle, wake after 500ms",
        "step 3: suspend to RAM, wake after 500ms",
        "step 4: suspend to RAM, wake after 0ns",
    ] {
        assert!(verdicts.contains(&line), "no {line:?} in {ended:#?}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_driver_that_fails_to_sleep_or_to_wake_fails_the_test_and_is_named() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let lines = "fault() { printf %s $1 >/sys/module/faulty/parameters/fault; }\n\
                 fault resume; echo one; slept 1; fault suspend; echo two; sleep 1000";
    script(&sandbox, "agent.sh", &format!("{SLEPT}{lines}"));
    let test = "suspend = 'mem'\npm-test = 'devices'\nwake = '0s'";
    let text = format!(
        "agent = 'agent.sh'\nlimit = 3600\n[[module]]\npath = '{}'\n{}{}",
        module.display(),
        step("one", test),
        step("two", test)
    );
    let scenario = own(&sandbox, "fails.toml", text);
    let agent = sandbox.own("agent.sh");
    let module = module.to_str().expect("UTF-8");
    let before = run(
        &sandbox,
        &[
            "test",
            "--accel=tcg",
            "--module",
            module,
            "--module-parameter=fault=suspend",
            "--suspend=freeze",
            "--agent",
            agent.to_str().expect("UTF-8"),
        ],
    );
    assert_eq!(before.status.code(), Some(1), "{before:#?}");
    for words in [
        "failed: agent: suspend to idle, wake after 1s: cannot write \"freeze\" to ",
        "failed: agent: the kernel reports: faulty faulty: PM: dpm_run_callback(): \
         platform_pm_suspend",
    ] {
        assert!(before.stderr.contains(words), "no {words:?} in {before:#?}");
    }
    assert_eq!(before.stdout, "", "the program does not run");

    let ended = run(&sandbox, &["test", &scenario, "--accel=tcg"]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let failed: Vec<_> = verdicts(&ended)
        .into_iter()
        .filter_map(|line| line.strip_prefix("failed: fails: "))
        .collect();
    let begins = [
        "the kernel reports: faulty faulty: PM: dpm_run_callback(): platform_pm_resume",
        "the kernel reports: faulty faulty: PM: dpm_run_callback(): platform_pm_suspend",
        "step 2 (suspend to RAM as far as pm_test=devices) failed: cannot write \"mem\" to ",
    ];
    assert_eq!(failed.len(), begins.len(), "{ended:#?}");
    for (line, begin) in failed.iter().zip(begins) {
        assert!(line.starts_with(begin), "no {begin:?} in {ended:#?}");
    }
    sandbox.assert_nothing_left();
}
