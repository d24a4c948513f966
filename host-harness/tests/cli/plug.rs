// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed plug` and `unplug` where there is nothing to plug into; with a guest
//! they are in `run_vm`.

use crate::{program::run, sandbox::Sandbox};

#[test]
fn without_a_guest_they_say_how_to_start_one() {
    let sandbox = Sandbox::new();
    let socket = sandbox.run().join("irqbed/run-vm.sock");
    let socket = socket.to_str().expect("UTF-8");
    for command in [&["plug", "edu"][..], &["unplug"]] {
        run(&sandbox, command).assert_refused(&[socket, "irqbed run-vm --ports"]);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn what_makes_no_sense_is_refused_as_usage() {
    let cases: [(&[&str], &[&str]); 9] = [
        (&["plug"], &["required"]),
        (&["plug", "toaster"], &["toaster"]),
        (&["plug", "edu", "--socket", "x"], &["--socket"]),
        (&["plug", "--socket=x", "--listen=y"], &["--listen"]),
        (&["plug", "--socket=x", "--no-msix"], &["--no-msix"]),
        (&["plug", "edu", "--fault=lost"], &["lost", "irq-lost"]),
        (&["unplug", "--port", "first"], &["--port", "first"]),
        (&["unplug", "--port", "14"], &["--port", "0..14"]),
        (&["run-vm", "--ports", "15"], &["--ports", "0..=14"]),
    ];
    for (arguments, words) in cases {
        let sandbox = Sandbox::new();
        run(&sandbox, arguments).assert_usage(words);
        sandbox.assert_nothing_left();
    }
}

#[test]
fn a_device_that_cannot_be_so_is_refused_before_a_guest_is_asked() {
    let cases: [(&[&str], &[&str]); 4] = [
        (&["edu", "--no-msix"], &["edu", "without MSI-X"]),
        (
            &["edu,slot=3"],
            &["a port takes one device", "leave out slot"],
        ),
        (&["edu", "--fault=irq-lost:vector=9"], &["edu", "vector=9"]),
        (&["--socket=/nowhere"], &["/nowhere", "no such socket"]),
    ];
    for (arguments, words) in cases {
        let sandbox = Sandbox::new();
        let ended = run(&sandbox, &[&["plug"], arguments].concat());
        assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
        for word in words {
            assert!(ended.stderr.contains(word), "no {word:?}: {ended:#?}");
        }
        sandbox.assert_nothing_left();
    }
}
