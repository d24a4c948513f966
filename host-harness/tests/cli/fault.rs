// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed fault` on a device that `device-model` serves, and where there is
//! none; with a guest it is in `run_vm` and `test`.

use std::{fs, path::Path};

use device_model::{FaultInjection, control::ControlServer, edu::EduDevice};

use crate::{
    program::{Running, irqbed, run},
    sandbox::Sandbox,
    test::script,
};

/// `edu` with a control socket, and nobody who drives it.
struct Served {
    sandbox: Sandbox,
    control: String,
    _server: device_model::ServerHandle,
    _control: ControlServer,
    _for_qemu: std::os::fd::OwnedFd,
}

impl Served {
    fn edu() -> Self {
        let sandbox = Sandbox::new();
        let (server, handle) = device_model::serve(EduDevice::new()).expect("a device");
        let control = sandbox.own("control").to_str().expect("UTF-8").to_owned();
        let bound = ControlServer::bind(Path::new(&control), server.faults());
        Self {
            sandbox,
            control,
            _server: server,
            _control: bound.expect("a socket"),
            _for_qemu: handle,
        }
    }

    fn fault(&self, arguments: &[&str]) -> crate::program::Ended {
        let command = ["fault", "--control", &self.control];
        run(&self.sandbox, &[&command, arguments].concat())
    }
}

#[test]
fn what_is_armed_is_listed_until_it_is_cleared() {
    let served = Served::edu();
    let armed = served.fault(&["irq-lost:chance=0.10", "removed:delay=50s"]);
    armed.assert_good();
    assert_eq!(
        armed.stdout,
        "armed fault 1: irq-lost:chance=0.1\narmed fault 2: removed:delay=50s\n"
    );
    let table = "id  fault                opportunities  hits\n \
                 1  irq-lost:chance=0.1              0     0\n \
                 2  removed:delay=50s                0     0\n";
    for option in ["--list", "--clear"] {
        let ended = served.fault(&[option]);
        ended.assert_good();
        assert_eq!(ended.stdout, table);
    }
    let none = served.fault(&["--list"]);
    none.assert_good();
    assert_eq!(none.stdout, "no fault is armed\n");
}

#[test]
fn what_the_device_cannot_have_is_refused_in_one_line() {
    let served = Served::edu();
    served
        .fault(&["irq-lost", "reads-ones:bar=4"])
        .assert_refused(&["reads-ones: bar=4: the device has no such BAR"]);
    let list = served.fault(&["--list"]);
    assert_eq!(list.stdout, "no fault is armed\n");
    let control = ["raise", "--control", &served.control];
    run(&served.sandbox, &control).assert_refused(&["no events to raise"]);
}

#[test]
fn without_a_guest_it_says_how_to_start_one() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["fault", "--list"]).assert_refused(&["no running guest", "irqbed run-vm"]);
    sandbox.assert_nothing_left();
}

#[test]
fn the_kinds_are_shown_without_a_guest() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, &["fault", "--kinds"]);
    ended.assert_good();
    for words in ["irq-lost", "dma-torn", "chance=NUMBER", "[vector gap]"] {
        assert!(ended.stdout.contains(words), "{}", ended.stdout);
    }
}

/// Waits until the first register of a device reads so.
fn until_it_reads(value: &str) -> String {
    format!(
        "device=/sys/bus/pci/devices/0000:00:01.0\necho 1 >$device/enable\n\
         read bar rest <$device/resource\necho begun >&2\n\
         until [ $(devmem $bar) = {value} ]; do sleep 0.1; done"
    )
}

#[test]
fn a_fault_is_armed_from_outside_while_a_test_runs() {
    let sandbox = Sandbox::new();
    let agent = script(&sandbox, "agent.sh", &until_it_reads("0x12345678"));
    let control = sandbox.run().join("control");
    let control = control.to_str().expect("UTF-8");
    let mut arguments = vec!["test", "--accel=tcg", "--device=edu", "--agent", &agent];
    arguments.extend(["--control", control]);
    let mut running = Running::start(&sandbox, irqbed(&sandbox, &arguments));
    running.wait_for_message("begun");
    let stuck = "bits-stuck:bar=0,offset=0x0,mask=0xffffffff,value=0x12345678";
    run(&sandbox, &["fault", "--control", control, stuck]).assert_good();
    let ended = running.wait();
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let said = format!("irqbed: fault: edu: {stuck} happened ");
    assert!(ended.stderr.contains(&said), "{ended:#?}");
    sandbox.assert_nothing_left();
}

#[test]
fn the_faults_of_a_scenario_and_what_they_did_stand_in_its_report() {
    let sandbox = Sandbox::new();
    script(&sandbox, "agent.sh", &until_it_reads("0x010000ED"));
    let scenario = sandbox.own("ones.toml");
    let text = "agent = 'agent.sh'\nlimit = 30\n[[device]]\nname = 'edu'\n\
                faults = ['reads-ones:bar=0,size=4,count=2', 'irq-lost']\n";
    fs::write(&scenario, text).expect("a file");
    let arguments = ["test", "--accel=tcg", "--junit=-"];
    let scenario = scenario.to_str().expect("UTF-8");
    let ended = run(&sandbox, &[&arguments[..], &[scenario]].concat());
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    for property in [
        r#"<property name="fault edu reads-ones:bar=0,size=0x4,count=2" value="2 of 3"/>"#,
        r#"<property name="fault edu irq-lost" value="0 of 0"/>"#,
    ] {
        assert!(ended.stdout.contains(property), "{}", ended.stdout);
    }
    sandbox.assert_nothing_left();
}
