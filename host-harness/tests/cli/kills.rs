// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whoever takes part in a run may die at any moment: `irqbed`, QEMU, a device model, the
//! program in the guest, the guest itself. Each time the command ends within its limits,
//! says why in one line, and leaves no process and no file. `./just kills COUNT SEED` has
//! many die; a few do in every run of the tests.

use std::{
    env, fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    program::{Ended, Running, irqbed},
    sandbox::Sandbox,
    sources::repository,
    test::{own, script},
};

/// The latest moment, from the start of the command.
const LATEST: Duration = Duration::from_secs(8);

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Irqbed,
    Qemu,
    DeviceModel,
    Program,
    Guest,
}

impl Victim {
    const ALL: [Self; 5] = [
        Self::Irqbed,
        Self::Qemu,
        Self::DeviceModel,
        Self::Program,
        Self::Guest,
    ];

    /// One of these stands in the line that says why.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Irqbed => &[],
            Self::Qemu => &[
                "QEMU ended (signal: 9",
                "before the guest was up (signal: 9",
            ],
            Self::DeviceModel => &["device model", "of its device", "cannot connect"],
            Self::Program => &["signal 9", "killed"],
            Self::Guest => &["the guest panicked"],
        }
    }

    /// The process on the host, if it is there by now.
    fn process(self, sandbox: &Sandbox, running: &Running) -> Option<Pid> {
        let word = match self {
            Self::Irqbed => return Pid::from_raw(running.id()),
            Self::Qemu => "-nodefaults",
            Self::DeviceModel => "device-model",
            Self::Program | Self::Guest => return None,
        };
        let is_it = |pid: &Pid| {
            let path = format!("/proc/{}/cmdline", pid.as_raw_nonzero());
            let line = fs::read(path).unwrap_or_default();
            let own = pid.as_raw_nonzero().get() == running.id();
            !own && String::from_utf8_lossy(&line).contains(word)
        };
        sandbox.processes().into_iter().find(is_it)
    }
}

/// A scenario whose guest has a device of each kind and whose program goes on for a while,
/// and then does `last`.
fn scenario(sandbox: &Sandbox, last: &str) -> String {
    let model = repository().join("target/release/device-model");
    script(
        sandbox,
        "agent.sh",
        &format!("echo begun; for i in 1 2 3 4 5 6; do sleep 0.5; done\n{last}"),
    );
    let text = format!(
        "agent = 'agent.sh'\nports = 1\n[[device]]\ncommand = ['{}', 'event', '--socket', \
         '{{socket}}']\n[[device]]\nname = 'edu'\n[[when]]\nsays = 'begun'\n\
         plug = {{ name = 'nic-lite' }}\n",
        model.display()
    );
    own(sandbox, "killed.toml", text)
}

/// One command, one death: what it says of it, after all else was checked.
fn kill(victim: Victim, after: Duration) -> String {
    let sandbox = Sandbox::new();
    let last = match victim {
        Victim::Program => "kill -9 $$",
        Victim::Guest => "echo c >/proc/sysrq-trigger; sleep 60",
        _ => "true",
    };
    let scenario = scenario(&sandbox, last);
    let command = irqbed(&sandbox, &["test", "--accel=tcg", &scenario]);
    let started = Instant::now();
    let running = Running::start(&sandbox, command);
    let mut killed = false;
    if !matches!(victim, Victim::Program | Victim::Guest) {
        thread::sleep(after);
        let alive = || running.is_alive();
        while !killed && alive() {
            let process = victim.process(&sandbox, &running);
            killed = process.is_some_and(|process| kill_process(process, Signal::KILL).is_ok());
            thread::sleep(Duration::from_millis(1));
        }
    }
    let ended = running.wait();
    sandbox.wait_until_nothing_is_left();
    let what = format!("{victim:?} after {after:?}, {:?} in all", started.elapsed());
    let reasons = ended.reasons();
    match (victim, ended.status.code()) {
        // It was through before.
        (_, Some(0)) => assert!(reasons.is_empty(), "{what}: {ended:#?}"),
        (Victim::Irqbed, None) => {}
        (Victim::Irqbed, _) => panic!("{what}: {ended:#?}"),
        (_, Some(1)) => {
            assert_eq!(reasons.len(), 1, "{what}: {ended:#?}");
            let words = victim.words();
            let says = words.iter().any(|words| reasons[0].contains(words));
            assert!(
                says,
                "{what}: {} has none of {words:?}: {ended:#?}",
                reasons[0]
            );
        }
        _ => panic!("{what}: {ended:#?}"),
    }
    format!("{what}: {}", reasons.first().unwrap_or(&"no word"))
}

fn kill_many(count: usize, seed: u64) {
    let mut random = Rng::with_seed(seed);
    for number in 0..count {
        let victim = Victim::ALL[number % Victim::ALL.len()];
        let after = LATEST.mul_f64(random.f64());
        println!("{}", kill(victim, after));
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let given = env::var(variable).ok();
    given.map_or(default, |text| text.parse().expect(variable))
}

#[test]
fn whoever_dies_the_command_says_so_in_one_line_and_leaves_nothing() {
    kill_many(Victim::ALL.len(), 1);
}

#[test]
#[ignore = "takes an hour: ./just kills"]
fn many_deaths_are_all_told_in_one_line_and_leave_nothing() {
    let count = number("IRQBED_KILLS", 200) as usize;
    kill_many(count, number("IRQBED_SEED", 1));
}

/// Runs the scenario while `disturb` has its way with the processes.
fn disturbed(limit: &str, disturb: impl Fn(&Sandbox, &Running, &AtomicBool) + Sync) -> Ended {
    let sandbox = Sandbox::new();
    let scenario = scenario(&sandbox, "true");
    let mut command = irqbed(&sandbox, &["test", "--accel=tcg", &scenario]);
    command.env("IRQBED_BOOT_LIMIT", limit);
    let running = Running::start(&sandbox, command);
    let over = Arc::new(AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| disturb(&sandbox, &running, &over));
        while running.is_alive() {
            thread::sleep(Duration::from_millis(20));
        }
        over.store(true, Ordering::Relaxed);
    });
    let ended = running.wait();
    sandbox.wait_until_nothing_is_left();
    ended
}

#[test]
#[ignore = "takes minutes: ./just kills"]
fn a_guest_that_stands_still_is_told_within_the_limit() {
    let ended = disturbed("20", |sandbox, running, over| {
        while !over.load(Ordering::Relaxed) {
            if let Some(qemu) = Victim::Qemu.process(sandbox, running) {
                // As if the host never let it run.
                let _ = kill_process(qemu, Signal::STOP);
                return;
            }
        }
    });
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert_eq!(ended.reasons().len(), 1, "{ended:#?}");
    assert!(ended.reasons()[0].contains("the guest hangs"), "{ended:#?}");
}

#[test]
#[ignore = "takes minutes: ./just kills"]
fn a_host_of_a_tenth_of_a_processor_is_slow_and_no_more() {
    let ended = disturbed("600", |sandbox, _, over| {
        while !over.load(Ordering::Relaxed) {
            for (signal, milliseconds) in [(Signal::STOP, 90), (Signal::CONT, 10)] {
                for process in sandbox.processes() {
                    let _ = kill_process(process, signal);
                }
                thread::sleep(Duration::from_millis(milliseconds));
            }
        }
    });
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
}

#[test]
#[ignore = "boots a guest: ./just kills"]
fn a_full_disk_is_named_with_the_file() {
    let sandbox = Sandbox::new();
    let agent = script(&sandbox, "agent.sh", "echo begun");
    let command = irqbed(
        &sandbox,
        &[
            "test",
            "--accel=tcg",
            "--agent",
            &agent,
            "--junit",
            "/dev/full",
        ],
    );
    let ended = Running::start(&sandbox, command).wait();
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    let reasons = ended.reasons();
    assert_eq!(reasons.len(), 1, "{ended:#?}");
    for word in ["/dev/full", "No space left"] {
        assert!(reasons[0].contains(word), "{ended:#?}");
    }
    sandbox.assert_nothing_left();
}
