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
        run(&sandbox, command).assert_refused(&[socket, "./just run-vm --ports"]);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn what_makes_no_sense_is_refused_as_usage() {
    let cases: [(&[&str], &[&str]); 7] = [
        (&["plug"], &["required"]),
        (&["plug", "toaster"], &["toaster"]),
        (&["plug", "edu", "--socket", "x"], &["--socket"]),
        (&["plug", "edu", "--no-msix"], &["--no-msix", "edu"]),
        (&["plug", "nic-lite", "--listen", "x"], &["--listen"]),
        (&["unplug", "--port", "first"], &["--port", "first"]),
        (&["run-vm", "--ports", "15"], &["--ports", "0..=14"]),
    ];
    for (arguments, words) in cases {
        let sandbox = Sandbox::new();
        run(&sandbox, arguments).assert_usage(words);
        sandbox.assert_nothing_left();
    }
}
