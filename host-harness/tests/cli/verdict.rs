// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What `irqbed test` says of drivers and devices that do what none should: the first lines
//! name the cause.

use std::{env, fs, path::Path, thread, time::Duration};

use device_model::{Bar, BarIndex, Bus, DeviceSpec, Identity, PciDevice, Server, ServerEnd};

use crate::{
    program::{Ended, run},
    sandbox::Sandbox,
    sources::module,
    test::{own, script},
};

/// A scenario with an edu, and the driver that does what none should.
fn faulty(sandbox: &Sandbox, module: &Path, name: &str, fault: &str, agent: &str) -> String {
    script(sandbox, &format!("{name}.sh"), agent);
    let text = format!(
        "agent = '{name}.sh'\nlimit = 20\n[[device]]\nname = 'edu'\n\
         [[module]]\npath = '{}'\nparameters = {{ fault = '{fault}' }}\n",
        module.display()
    );
    own(sandbox, &format!("{name}.toml"), text)
}

/// Runs scenarios that all fail.
fn fails(sandbox: &Sandbox, scenarios: &[String]) -> (Ended, String) {
    let junit = sandbox.own("junit.xml");
    let target = junit.to_str().expect("UTF-8");
    let mut arguments = vec!["test", "--accel=tcg", "--junit", target];
    arguments.extend(scenarios.iter().map(String::as_str));
    let ended = run(sandbox, &arguments);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    sandbox.assert_nothing_left();
    (ended, fs::read_to_string(junit).expect("a file"))
}

/// The failures of a scenario, in order.
fn failures<'a>(ended: &'a Ended, name: &str) -> Vec<&'a str> {
    let start = format!("irqbed: failed: {name}: ");
    let lines = ended.stderr.lines();
    lines.filter_map(|line| line.strip_prefix(&start)).collect()
}

/// The lines behind one that begins so, as far as they are indented.
fn details<'a>(ended: &'a Ended, start: &str) -> Vec<&'a str> {
    let mut lines = ended.stderr.lines();
    assert!(
        lines.any(|line| line.starts_with(start)),
        "no {start:?}: {}",
        ended.stderr
    );
    lines.map_while(|line| line.strip_prefix("    ")).collect()
}

#[track_caller]
fn assert_has(lines: &[&str], parts: &[&str]) {
    let has = |line: &&str| parts.iter().all(|part| line.contains(part));
    assert!(lines.iter().any(has), "no line has {parts:?}: {lines:#?}");
}

#[test]
fn what_a_driver_does_wrong_while_the_guest_goes_on_is_named() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let many = "place=0000:00:01.0\n\
         driver=/sys/bus/pci/drivers/faulty\n\
         for fault in mismatch unhandled dma atomic absent; do\n\
           echo $fault >/sys/module/faulty/parameters/fault\n\
           echo $place >$driver/bind\n\
           [ $fault != unhandled ] || sleep 0.5\n\
           [ ! -e $driver/$place ] || [ $fault = absent ] || echo $place >$driver/unbind\n\
         done 2>/dev/null\n\
         echo none of it was fatal; exit 3";
    let many = faulty(&sandbox, &module, "many", "busy", many);
    let (ended, junit) = fails(&sandbox, &[many]);
    assert_eq!(ended.stdout, "none of it was fatal\n");
    let failures = failures(&ended, "many");
    // A report of the kernel's is the first, and the program's status the last.
    assert_has(&failures[..1], &["the kernel reports: "]);
    let status = "the program ended with exit status 3, expected was 0";
    assert_eq!(failures.last(), Some(&status), "{failures:#?}");
    for parts in [
        &["a probe failed: ", "0000:00:01.0", "failed with error -16"][..],
        &["a probe failed: ", "(-EBUSY: the interrupt is taken)"],
        &[
            "the kernel reports: genirq: Flags mismatch irq ",
            "(faulty-too)",
            "(faulty)",
        ],
        &[
            "the kernel reports: BUG: scheduling while atomic: ",
            "in faulty_probe+",
            "(faulty.c:",
        ],
        &[
            "interrupt ",
            " of faulty (PCI-MSI",
            "no handler took 5 or more: each returned IRQ_NONE",
        ],
        &[
            "the device edu warns: DMA at 0x1000: ",
            "has not enabled bus mastering",
        ],
        &["the device edu warns: edu: clamping DMA address 0x70001000 to 0x1000"],
    ] {
        assert_has(&failures, parts);
        let said = |part: &&str| junit.contains(&part.replace('&', "&amp;"));
        assert!(parts.iter().all(said), "{parts:?} is not in {junit}");
    }
    // What a person wants to see beside it.
    assert_has(
        &details(&ended, "irqbed: the last "),
        &["write BAR0+0x0098 DmaCommand, 4 bytes: 0x00000001"],
    );
}

#[test]
fn a_device_without_its_driver_is_named_unless_it_is_to_be() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let absent = faulty(&sandbox, &module, "absent", "absent", "true");
    let allowed = faulty(&sandbox, &module, "allowed", "absent", "true");
    let text = fs::read_to_string(&allowed).expect("a file");
    fs::write(&allowed, format!("bind = false\n{text}")).expect("a file");
    let (ended, _) = fails(&sandbox, &[absent, allowed]);
    let failures = failures(&ended, "absent");
    let expected = "no driver took 0000:00:01.0, which faulty is for: ";
    assert_eq!(failures.len(), 1, "{ended:#?}");
    assert!(failures[0].starts_with(expected), "{ended:#?}");
    let passed = "irqbed: passed: allowed in ";
    assert!(ended.stderr.contains(passed), "{ended:#?}");
    // A pass says what it is worth.
    let note = "irqbed: note: this kernel did not look for: locks, contexts, memory, leaks \
                (`--kernel 6.12-debug` does)";
    assert!(ended.stderr.contains(note), "{ended:#?}");
}

#[test]
fn the_cause_of_a_death_comes_before_the_death() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let isr = faulty(&sandbox, &module, "isr", "isr", "true");
    let spin = faulty(&sandbox, &module, "spin", "spin", "true");
    let asleep = "echo asleep >/sys/module/faulty/parameters/fault\n\
                  echo 0000:00:01.0 >/sys/bus/pci/drivers/faulty/bind";
    let asleep = faulty(&sandbox, &module, "asleep", "busy", asleep);
    let text = fs::read_to_string(&asleep).expect("a file");
    let text = text.replace("limit = 20", "limit = 1\nbind = false");
    fs::write(&asleep, text).expect("a file");
    let (ended, junit) = fails(&sandbox, &[isr, spin, asleep]);

    let of_isr = failures(&ended, "isr");
    let cause = "BUG: kernel NULL pointer dereference, address: 0000000000000000";
    assert!(of_isr[0].contains(cause), "{ended:#?}");
    assert_has(
        &of_isr[..1],
        &["in faulty_irq+", "(faulty.c:", ", inlined at faulty.c:"],
    );
    assert_has(
        &of_isr[1..],
        &["the guest panicked: ", "Fatal exception in interrupt"],
    );
    let report = details(&ended, "irqbed: failed: isr: the kernel reports: BUG");
    assert_eq!(report.first(), Some(&cause), "{ended:#?}");
    assert_has(&report, &["RIP: 0010:faulty_irq+", "(faulty.c:"]);
    assert_has(&report, &["---[ end trace"]);
    assert!(
        junit.contains(&format!("message=\"the kernel reports: {cause}")),
        "{junit}"
    );

    let of_spin = failures(&ended, "spin");
    assert_eq!(of_spin.len(), 1, "{ended:#?}");
    let start = "faulty.ko does not load: it spins in ";
    assert!(
        of_spin[0].starts_with(start) && of_spin[0].contains("(faulty.c:"),
        "{ended:#?}"
    );

    let of_asleep = failures(&ended, "asleep");
    let start = "the program hangs in the kernel, and cannot be killed; asleep.sh (";
    assert!(of_asleep[0].starts_with(start), "{ended:#?}");
    let processes = details(&ended, &format!("irqbed: failed: asleep: {start}"));
    assert_has(
        &processes,
        &["takes no signal in ", "faulty_probe+", "(faulty.c:"],
    );
}

#[test]
fn a_breakpoint_of_several_emulated_processors_is_doubted() {
    let sandbox = Sandbox::new();
    let module = module(&sandbox, "host-harness/tests/modules/faulty");
    let [one, two] = ["one", "two"].map(|name| faulty(&sandbox, &module, name, "int3", "true"));
    let text = fs::read_to_string(&two).expect("a file");
    fs::write(&two, format!("vcpus = 2\n{text}")).expect("a file");
    let note = "irqbed: note: a breakpoint (int3) that nobody set can be QEMU's fault";
    for (scenario, name, doubted) in [(one, "one", false), (two, "two", true)] {
        let (ended, _) = fails(&sandbox, &[scenario]);
        let failures = failures(&ended, name);
        assert_has(&failures[..1], &["Oops: int3: 0000", "faulty_probe+"]);
        assert_eq!(ended.stderr.contains(note), doubted, "{ended:#?}");
    }
}

/// A device that panics when it is written to, or before.
struct Panics {
    /// How long its attach takes until it panics.
    in_attach: Option<Duration>,
}

impl PciDevice for Panics {
    fn spec(&self) -> DeviceSpec {
        DeviceSpec::new(Identity::new(0x1bed, 0xdead)).bar(BarIndex::BAR0, Bar::trapped(4096))
    }

    fn attach(&mut self, _: Bus) {
        if let Some(after) = self.in_attach {
            thread::sleep(after);
            panic!("the device panics where it is attached");
        }
    }

    fn bar_read(&mut self, _: BarIndex, _: u64, data: &mut [u8]) {
        data.fill(0);
    }

    fn bar_write(&mut self, _: BarIndex, _: u64, _: &[u8]) {
        panic!("the device panics in a write");
    }

    fn reset(&mut self, _: device_model::ResetKind) {}
}

fn serve(device: Panics) {
    let socket = env::args().next_back().unwrap_or_default();
    if !Path::new(&socket).is_absolute() {
        return;
    }
    let server = Server::bind(Path::new(&socket)).expect("a socket");
    let server = server.serve(device).expect("it is served");
    assert_eq!(
        server.join(),
        Some(ServerEnd::ClientLeft),
        "it does not panic"
    );
}

/// No test, but the program of a device, which the test below has started with the path of a
/// socket for its last argument.
#[test]
#[ignore = "the program of a device"]
fn a_device_that_panics_when_written_to() {
    serve(Panics { in_attach: None });
}

/// The same of another one.
#[test]
#[ignore = "the program of a device"]
fn a_device_that_panics_at_once() {
    serve(Panics {
        in_attach: Some(Duration::ZERO),
    });
}

/// The same of one that QEMU waits for when it panics.
#[test]
#[ignore = "the program of a device"]
fn a_device_that_panics_before_it_answers() {
    serve(Panics {
        in_attach: Some(Duration::from_secs(2)),
    });
}

#[test]
fn a_device_model_that_panics_is_named_with_its_panic() {
    let program = env::current_exe().expect("this program");
    let lines = "device=/sys/bus/pci/devices/0000:00:01.0\necho 1 >$device/enable\n\
                 bar=$(head -n 1 $device/resource | cut -d ' ' -f 1)\n\
                 devmem $bar 32 1\nsleep 100";
    let in_attach = [
        "the device model failed: ",
        "the device panics where it is attached",
    ];
    let in_write = [
        "a device is gone: its device model ",
        "the device panics in a write",
    ];
    for (device, words) in [
        ("when_written_to", in_write),
        ("at_once", in_attach),
        ("before_it_answers", in_attach),
    ] {
        let sandbox = Sandbox::new();
        script(&sandbox, "write.sh", lines);
        let text = format!(
            "agent = 'write.sh'\n[[device]]\ncommand = ['{}', '--ignored', '--nocapture', \
             '--exact', 'verdict::a_device_that_panics_{device}', '{{socket}}']\n",
            program.display()
        );
        let scenario = own(&sandbox, "write.toml", text);
        let ended = run(&sandbox, &["test", "--accel=tcg", &scenario]);
        assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
        let reasons = ended.reasons();
        let first = reasons.first().copied().unwrap_or_default();
        for word in words.into_iter().chain(["panicked at "]) {
            assert!(first.contains(word), "no {word:?} in {first}: {ended:#?}");
        }
        sandbox.assert_nothing_left();
    }
}
