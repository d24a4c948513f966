// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed test` and `run-vm` with devices, drivers and programs of the user's
//! own.

use std::{fs, os::unix::net::UnixListener};

use device_model::{Server, event::EventDevice};
use rustix::process::Signal;

use crate::{
    program::{Ended, Running, irqbed, run, run_with},
    pty::Terminal,
    sandbox::{Sandbox, wait_until},
    sources::{module, repository},
};

/// A file of the test's own.
pub fn own(sandbox: &Sandbox, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = sandbox.own(name);
    fs::write(&path, content).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

/// A script for the guest.
pub fn script(sandbox: &Sandbox, name: &str, lines: &str) -> String {
    own(sandbox, name, format!("#!/bin/sh\n{lines}\n"))
}

/// What it is refused for stands in one line, exit status 2, and no guest was
/// started.
#[track_caller]
pub fn assert_bad_input(sandbox: &Sandbox, arguments: &[&str], words: &[&str]) {
    let ended = run_with(sandbox, "IRQBED_QEMU", sandbox.forbidden_qemu(), arguments);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.starts_with("irqbed: error: "),
        "{}",
        ended.stderr
    );
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "no {word:?} in: {}",
            ended.stderr
        );
    }
    sandbox.assert_no_guest_was_started();
    sandbox.assert_nothing_left();
}

#[test]
fn what_the_guest_cannot_run_is_refused_in_one_line() {
    let sandbox = Sandbox::new();
    let check = |arguments: &[&str], words: &[&str]| {
        assert_bad_input(&sandbox, &[&["test"], arguments].concat(), words);
    };
    let good = script(&sandbox, "good.sh", "true");
    let no_script = own(&sandbox, "plain", "echo hello\n");
    let python = own(&sandbox, "x.py", "#!/usr/bin/env python3\n");
    let old = own(&sandbox, "old.sock", "");
    let dead = sandbox.own("dead.sock");
    drop(UnixListener::bind(&dead).expect("a socket"));
    let dead = dead.to_str().expect("UTF-8");
    let folder = sandbox.own("");
    let folder = folder.to_str().expect("UTF-8");

    check(&[], &["nothing to test", "--agent"]);
    check(&["--device", "event"], &["nothing to test"]);
    check(
        &["--agent", &good, "--module-parameter", "a=1"],
        &["a=1", "give --module"],
    );
    check(
        &["--agent", "/nowhere/x"],
        &["program", "/nowhere/x", "No such file"],
    );
    check(&["--agent", folder], &["it is no file"]);
    check(&["--agent", &no_script], &["plain", "#!/bin/sh"]);
    check(&["--agent", &python], &["/usr/bin/env", "not in the guest"]);
    // This program itself needs libraries.
    check(
        &["--agent", env!("CARGO_BIN_EXE_irqbed")],
        &["linked dynamically", "-static"],
    );
    check(&["--module", &good], &["good.sh", "no kernel module"]);
    check(
        &["--module", "uio_pci_genric"],
        &[
            "no module \"uio_pci_genric\"",
            "uio_pci_generic",
            "./uio_pci_genric.ko",
        ],
    );
    check(
        &["--module", "pstore", "--module-parameter", "backend=x"],
        &["built into", "--kernel-parameter pstore.backend=x"],
    );
    check(
        &[&own(&sandbox, "none.toml", "module = 'no_such'\n")],
        &["no module \"no_such\""],
    );
    check(
        &["--agent", &good, "--socket", "/nowhere/sock"],
        &["/nowhere/sock", "start the device model first"],
    );
    check(
        &["--agent", &good, "--socket", &old],
        &["old.sock", "no socket"],
    );
    check(
        &["--agent", &good, "--socket", dead],
        &["dead.sock", "nobody listens"],
    );
    check(
        &["--agent", &good, "--file", &format!("{good}:/init")],
        &["/init", "already"],
    );
    check(
        &["--agent", &good, "--file", &format!("{good}:/a/../b")],
        &["/a/../b", "absolute"],
    );
    check(
        &["--agent", &good, "--file", &format!("{good}:/dev/x")],
        &["/dev/x", "mounted"],
    );
    check(
        &["--agent", &good, "--control", "x.sock"],
        &["x.sock", "nobody would listen", "event", "no ports"],
    );
    check(
        &["--agent", &good, "--device=edu", "--control=/nowhere/x"],
        &["cannot listen", "/nowhere/x", "No such file"],
    );
    let lost = "--fault=irq-lost";
    check(
        &["--agent", &good, lost],
        &["no device that is built in", "--device"],
    );
    check(
        &["--agent", &good, "--device=edu", "--device=event", lost],
        &["(edu, event)", "[[device]]"],
    );
    check(
        &[
            "--agent",
            &good,
            "--device=edu",
            "--fault=irq-lost:vector=9",
        ],
        &[
            "edu cannot have the fault irq-lost: vector=9",
            "vector 0 alone",
        ],
    );
    check(
        &["--agent", &good, "--device=edu", "--fault=removed"],
        &["edu cannot have the fault removed", "delay=5s"],
    );
    for (devices, words) in [
        (&["edu,slot=16"][..], &["slot 16", "1 to 15"][..]),
        (&["edu,slot=2,function=8"], &["function 8", "0 to 7"]),
        (&["edu,function=1"], &["slot 0", "1 to 15"]),
        (
            &["edu,slot=2,function=1"],
            &["slot 2 function 1", "function 0"],
        ),
        (
            &["edu,slot=2", "nic-lite,slot=2"],
            &["slot 2", "two devices"],
        ),
    ] {
        let devices = devices.iter().flat_map(|device| ["--device", device]);
        let arguments: Vec<_> = ["--agent", &good].into_iter().chain(devices).collect();
        check(&arguments, words);
    }
    check(
        &["--agent", &good, "--ports=4", "--port-window=512"],
        &["port-window is 512", "of all ports together"],
    );
    let theirs = "agent = 'good.sh'\n[[device]]\ncommand = ['/bin/true', '{socket}']\n\
                  faults = ['irq-lost']\n";
    check(
        &[&own(&sandbox, "theirs.toml", theirs)],
        &["/bin/true", "cannot be given faults", "edu"],
    );
    check(
        &["--agent", &good, "--kernel", "4.2"],
        &["4.2", "6.12-debug"],
    );
}

#[test]
fn a_module_of_another_kernel_is_refused_with_both_releases() {
    let sandbox = Sandbox::new();
    let image =
        fs::read(repository().join(".irqbed/module/irqbed.ko")).expect("after `./just setup`");
    let mark = b"vermagic=6.";
    let at = image
        .windows(mark.len())
        .position(|part| part == mark)
        .expect("a vermagic");
    let mut other = image;
    other[at + mark.len() - 2] = b'7';
    let other = own(&sandbox, "other.ko", other);
    assert_bad_input(
        &sandbox,
        &["test", "--module", &other],
        &["other.ko", "kernel 7.", "guest's is 6.", "irqbed build"],
    );
    let parameter = ["--module-parameter", "dealy=1"];
    let ours = repository().join(".irqbed/module/irqbed.ko");
    let ours = ours.to_str().expect("UTF-8");
    assert_bad_input(
        &sandbox,
        &[&["test", "--module", ours][..], &parameter].concat(),
        &["irqbed", "dealy=1", "it has: batch"],
    );
}

#[test]
fn a_scenario_of_no_sense_is_refused_by_line_and_key() {
    let sandbox = Sandbox::new();
    for (text, words) in [
        ("agent = 'x'\nlimits = 3\n", &["bad.toml:2:", "limits"][..]),
        ("agent = 'x'\nlimit = 0\n", &["limit is 0", "1 to 86400"]),
        (
            "agent = 'x'\n[[device]]\nname = 'toaster'\n",
            &["toaster", "event"],
        ),
        (
            "agent = 'x'\n[[device]]\ncommand = ['x']\n",
            &["command", "{socket}"],
        ),
        ("agent = 'gone.sh'\n", &["own/gone.sh", "No such file"]),
        ("agent = \n", &["bad.toml:1:"]),
        ("", &["bad.toml", "nothing to test", "agent"]),
    ] {
        let bad = own(&sandbox, "bad.toml", text);
        assert_bad_input(&sandbox, &["test", &bad], words);
    }
    assert_bad_input(
        &sandbox,
        &["test", "/nowhere.toml"],
        &["scenario", "/nowhere.toml"],
    );
}

#[test]
fn options_that_a_scenario_has_itself_are_usage_errors() {
    let sandbox = Sandbox::new();
    let bad = own(&sandbox, "some.toml", "");
    for (arguments, words) in [
        (&["test", &bad, "--limit", "3"][..], &["--limit"][..]),
        (&["test", &bad, "--agent", "x"], &["--agent"]),
        (&["test", &bad, "--ports", "1"], &["--ports"]),
        (&["test", "--ports", "15"], &["--ports", "0..=14"]),
        (
            &["test", "--agent", "x", "--limit", "0"],
            &["--limit", "1..=86400"],
        ),
        (&["test", "--device", "toaster"], &["toaster", "nic-lite"]),
        (
            &["test", "--device", "edu,speed=1"],
            &["edu cannot have speed=1", "irq=msi|intx", "slot=N"],
        ),
        (
            &["test", "--device", "nic-lite,irq=intx"],
            &["nic-lite cannot have irq=intx", "none"],
        ),
        (
            &["run-vm", "--device", "edu,dma_mask=wide"],
            &["dma_mask: give a number"],
        ),
        (
            &["test", "--port-window", "0"],
            &["--port-window", "1..=1024"],
        ),
        (
            &["plug", "event,mapped=on"],
            &["event cannot have mapped=true", "irq=msix|msi"],
        ),
        (
            &["test", "--module", "x", "--module-parameter", "a"],
            &["NAME=VALUE"],
        ),
    ] {
        run(&sandbox, arguments).assert_usage(words);
    }
    sandbox.assert_nothing_left();
}

/// The lines of standard error that are ours.
pub fn verdicts(ended: &Ended) -> Vec<&str> {
    let lines = ended.stderr.lines();
    lines
        .filter_map(|line| line.strip_prefix("irqbed: "))
        .collect()
}

#[test]
fn a_driver_on_a_device_model_of_the_users_own_passes() {
    let sandbox = Sandbox::new();
    let socket = sandbox.own("device.sock");
    let server = Server::bind(&socket).expect("a socket");
    let _server = server
        .serve(EventDevice::new().expect("a device"))
        .expect("it is served");
    let module = module(&sandbox, "examples/scratch");
    fs::copy(
        repository().join("examples/scratch/check.sh"),
        sandbox.own("check.sh"),
    )
    .expect("a copy");
    own(&sandbox, "data", "from the host\n");
    script(
        &sandbox,
        "agent.sh",
        "./check.sh && cat /etc/data && echo \"$1\" >&2 && exit 7",
    );
    let scenario = |name: &str, device: &str| {
        let text = format!(
            "agent = 'agent.sh'\narguments = ['two words']\nexit = 7\n\
             [[device]]\n{device}\n[[module]]\npath = '{}'\n\
             [[file]]\npath = 'check.sh'\n[[file]]\npath = 'data'\nto = '/etc/data'\n",
            module.display()
        );
        own(&sandbox, &format!("{name}.toml"), text)
    };
    let theirs = scenario("theirs", "socket = 'device.sock'");
    let program = repository().join("target/release/device-model");
    let started = format!(
        "command = ['{}', 'event', '--socket', '{{socket}}']",
        program.display()
    );
    let started = scenario("started", &started);
    let junit = sandbox.own("junit.xml");
    let target = junit.to_str().expect("UTF-8");
    let ended = run(
        &sandbox,
        &["test", &theirs, &started, "--accel=tcg", "--junit", target],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let one = ended.stdout.len() / 2;
    assert_eq!(ended.stdout[..one], ended.stdout[one..]);
    for part in ["wrote 0x12345678, read 0x12345678", "from the host\n"] {
        assert!(ended.stdout.contains(part), "{ended:#?}");
    }
    assert!(ended.stderr.starts_with("two words\n"), "{ended:#?}");
    let verdicts = verdicts(&ended);
    for verdict in [
        "passed: theirs in ",
        "passed: started in ",
        "2 passed, 0 failed",
    ] {
        assert!(
            verdicts.iter().any(|line| line.starts_with(verdict)),
            "{ended:#?}"
        );
    }
    let junit = fs::read_to_string(junit).expect("a file");
    for part in [
        r#"tests="2""#,
        r#"failures="0""#,
        "read 0x12345678",
        "the event device is there",
    ] {
        assert!(junit.contains(part), "no {part:?} in {junit}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn the_devices_of_the_project_are_there_by_name() {
    let sandbox = Sandbox::new();
    fs::copy(
        repository().join("examples/edu/check.sh"),
        sandbox.own("check.sh"),
    )
    .expect("a copy");
    // Both are functions of one slot, behind an IOMMU, with modules of the guest's own
    // kernel.
    script(
        &sandbox,
        "agent.sh",
        "./check.sh && grep -l 0x0002 /sys/bus/pci/devices/*/device\n\
         [ -d /sys/bus/pci/devices/0000:00:05.0/iommu_group ] && echo behind an IOMMU\n\
         for module in uio_pci_generic uio vfio_pci vfio; do\n\
         grep -o \"^$module \" /proc/modules; done\n\
         cat /sys/module/vfio_pci/parameters/disable_idle_d3",
    );
    let check = sandbox.own("check.sh");
    let agent = sandbox.own("agent.sh");
    let ended = run(
        &sandbox,
        &[
            "test",
            "--accel=tcg",
            "--device=edu,irq=intx,slot=5",
            "--device=nic-lite,slot=5,function=1",
            "--iommu",
            "--module=uio_pci_generic",
            "--module=vfio-pci",
            "--module-parameter=vfio_pci.disable_idle_d3=1",
            "--file",
            check.to_str().expect("UTF-8"),
            "--agent",
            agent.to_str().expect("UTF-8"),
        ],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(
        ended.stdout.contains("edu: 0000:00:05.0 works"),
        "{ended:#?}"
    );
    assert!(ended.stdout.contains("0000:00:05.1/device"), "{ended:#?}");
    let modules = "behind an IOMMU\nuio_pci_generic \nuio \nvfio_pci \nvfio \nY\n";
    assert!(ended.stdout.ends_with(modules), "{ended:#?}");
    sandbox.assert_nothing_left();
}

#[test]
fn events_can_be_raised_while_a_test_runs() {
    let sandbox = Sandbox::new();
    let module = repository().join(".irqbed/module/irqbed.ko");
    let agent = script(
        &sandbox,
        "agent.sh",
        "interrupts() { awk '/irqbed/ { sum += $2 } END { print sum + 0 }' /proc/interrupts; }\n\
         [ $(interrupts) = 0 ] && echo begun >&2\n\
         until [ $(interrupts) = 2 ]; do sleep 0.1; done",
    );
    let socket = sandbox.run().join("control");
    let control = socket.to_str().expect("UTF-8");
    let module = module.to_str().expect("UTF-8");
    let command = irqbed(
        &sandbox,
        &[
            "test",
            "--accel=tcg",
            "--device=event",
            "--module",
            module,
            "--agent",
            &agent,
            "--control",
            control,
        ],
    );
    let mut running = Running::start(&sandbox, command);
    running.wait_for_message("begun");
    for vector in ["3", "4"] {
        run(
            &sandbox,
            &["raise", "--control", control, "--vector", vector],
        )
        .assert_good();
    }
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    sandbox.assert_nothing_left();
}

#[test]
fn each_way_to_fail_is_said_and_counted() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let scenario = |name: &str, limit: u32, more: &str| {
        let text = format!("agent = '{name}.sh'\nlimit = {limit}\n{more}");
        own(&sandbox, &format!("{name}.toml"), text)
    };
    let module = |fault: &str| {
        let path = module.display();
        format!("[[module]]\npath = '{path}'\nparameters = {{ fault = '{fault}' }}\n")
    };
    for (name, lines) in [
        ("status", "echo some words; exit 3"),
        ("hang", "echo begun; sleep 1000 & sleep 1000"),
        ("warn", "true"),
        ("allowed", "true"),
        ("stay", "true"),
        ("panic", "echo c >/proc/sysrq-trigger"),
    ] {
        script(&sandbox, &format!("{name}.sh"), lines);
    }
    let scenarios = [
        scenario("status", 60, ""),
        scenario("hang", 1, ""),
        scenario("warn", 60, &module("warn")),
        scenario(
            "allowed",
            60,
            &format!("allow = ['faulty_init']\n{}", module("warn")),
        ),
        scenario("stay", 60, &module("stay")),
        scenario("panic", 60, ""),
    ];
    let junit = sandbox.own("junit.xml");
    let junit = junit.to_str().expect("UTF-8");
    let mut arguments = vec!["test", "--accel=tcg", "--junit", junit];
    arguments.extend(scenarios.iter().map(String::as_str));
    let ended = run(&sandbox, &arguments);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert_eq!(ended.stdout, "some words\nbegun\n");
    let verdicts = verdicts(&ended);
    for verdict in [
        "failed: status: the program ended with exit status 3, expected was 0",
        "failed: hang: the program was stopped: it had not ended within 1 s",
        "failed: warn: the kernel reports: WARNING: ",
        "passed: allowed in ",
        "failed: stay: faulty does not unload: it is in use",
        "failed: panic: the guest panicked: ",
        "1 passed, 5 failed",
    ] {
        let said = verdicts
            .iter()
            .filter(|line| line.starts_with(verdict))
            .count();
        assert_eq!(said, 1, "{verdict}: {ended:#?}");
    }
    let document = fs::read_to_string(junit).expect("a file");
    for part in [
        r#"tests="6""#,
        r#"failures="5""#,
        "some words",
        "faulty_init",
    ] {
        assert!(document.contains(part), "no {part:?} in {document}");
    }
    sandbox.assert_nothing_left();
}

#[test]
fn ctrl_c_ends_a_test_and_writes_nothing() {
    let sandbox = Sandbox::new();
    let endless = script(&sandbox, "endless.sh", "echo begun >&2; sleep 1000");
    let junit = sandbox.own("junit.xml");
    let target = junit.to_str().expect("UTF-8");
    let command = irqbed(
        &sandbox,
        &[
            "test",
            "--accel=tcg",
            "--agent",
            &endless,
            "--junit",
            target,
        ],
    );
    let mut running = Running::start(&sandbox, command);
    running.wait_for_message("begun");
    running.signal(Signal::INT);
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(130), "{ended:#?}");
    assert_eq!(ended.stderr, "begun\nirqbed: interrupted\n");
    assert!(!junit.exists());
    sandbox.assert_nothing_left();
}

#[test]
fn a_person_finds_their_own_driver_and_files_in_the_guest() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let data = own(&sandbox, "data", "from the host\n");
    let mut terminal = Terminal::open();
    let trace = sandbox.own("lines.info");
    let coverage = format!("--coverage={}", trace.display());
    let arguments = ["run-vm", &coverage, "--file", &data, "--module"];
    let module = module.to_str().expect("UTF-8");
    let mut child = terminal.start(irqbed(&sandbox, &[&arguments[..], &[module]].concat()));
    terminal.wait_for("irqbed# ", 1, &mut child);
    assert!(
        terminal.shown().contains("irqbed: faulty is loaded"),
        "{}",
        terminal.shown()
    );
    terminal.type_in(b"lsmod; cat /test/data; exit 0\n");
    let mut status = None;
    wait_until("irqbed ends", || {
        status = child.try_wait().expect("a child of ours");
        status.is_some()
    });
    let shown = terminal.close();
    assert_eq!(status.and_then(|status| status.code()), Some(0), "{shown}");
    assert!(
        shown.contains("from the host") && shown.contains("\nfaulty "),
        "{shown}"
    );
    assert!(shown.contains("faulty.c: "), "{shown}");
    let trace = fs::read_to_string(trace).expect("a trace file");
    assert!(trace.contains("\nFNDA:1,"), "{trace}");
    sandbox.assert_nothing_left();
}
