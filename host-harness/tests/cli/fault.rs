// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed fault` on a device that `device-model` serves, and where there is
//! none; with a guest it is in `run_vm` and `test`.

use std::path::Path;

use device_model::{control::ControlServer, edu::EduDevice};

use crate::{program::run, sandbox::Sandbox};

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
        let bound = ControlServer::bind(Path::new(&control), server.faults().clone());
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
    run(&sandbox, &["fault", "--list"]).assert_refused(&["no running guest", "./just run-vm"]);
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
