// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed run-vm` as a person at a terminal has it.

use std::process::{Child, ExitStatus};

use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, Termios},
};

use crate::{
    program::{Running, irqbed, run},
    pty::Terminal,
    sandbox::{Sandbox, wait_until},
};

const PROMPT: &str = "irqbed# ";

/// A guest at a terminal.
struct Visit {
    sandbox: Sandbox,
    terminal: Terminal,
    before: Termios,
    child: Child,
}

impl Visit {
    /// Waits for the shell.
    fn begin() -> Self {
        Self::begin_with(&[])
    }

    /// The same with more options.
    fn begin_with(options: &[&str]) -> Self {
        let sandbox = Sandbox::new();
        let terminal = Terminal::open();
        let before = terminal.settings();
        let arguments = [&["run-vm", "--accel", "tcg"], options].concat();
        let mut child = terminal.start(irqbed(&sandbox, &arguments));
        terminal.wait_for(PROMPT, 1, &mut child);
        let raw = !terminal.settings().local_modes.contains(LocalModes::ICANON);
        assert!(raw, "keys go to the guest");
        let socket = sandbox.run().join("irqbed/run-vm.sock");
        wait_until("the socket is there", || socket.exists());
        Self {
            sandbox,
            terminal,
            before,
            child,
        }
    }

    /// The terminal is as it was, and nothing is left.
    fn end(mut self) -> (ExitStatus, String) {
        let mut status = None;
        wait_until("irqbed ends", || {
            status = self.child.try_wait().expect("a child of ours");
            status.is_some()
        });
        self.sandbox.assert_nothing_left();
        let after = self.terminal.settings();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        (status.expect("it ended"), self.terminal.close())
    }

    fn irqbed(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn qemu(&self) -> Pid {
        let irqbed = self.irqbed();
        let mut processes = self.sandbox.processes().into_iter();
        processes.find(|pid| *pid != irqbed).expect("QEMU runs")
    }
}

#[test]
fn what_is_raised_in_another_terminal_shows_in_the_guest() {
    let mut visit = Visit::begin();
    // The second interrupt brings both events.
    let armed = run(&visit.sandbox, &["fault", "irq-lost:count=1,vector=3"]);
    armed.assert_good();
    let ended = run(
        &visit.sandbox,
        &[
            "raise",
            "--vector",
            "3",
            "--count",
            "2",
            "--payload",
            "hello",
        ],
    );
    ended.assert_good();
    assert!(ended.stdout.contains("raised 2 events on vector 3"));
    let event = r#"vector 3 (5 bytes) "hello""#;
    visit.terminal.wait_for(event, 2, &mut visit.child);

    // Keys reach the shell, and its answer the screen.
    visit.terminal.type_in(b"echo $((6*7))4\n");
    visit.terminal.wait_for("424", 1, &mut visit.child);
    visit.terminal.type_in(b"exit\n");
    let (status, shown) = visit.end();
    assert_eq!(status.code(), Some(0), "{shown}");
    assert_eq!(shown.matches(event).count(), 2, "{shown}");
    assert!(shown.contains("./just raise"), "{shown}");
    let fault = "irqbed: fault: event: irq-lost:vector=3,count=1 happened 1 of 2 times";
    assert!(shown.contains(fault), "{shown}");
}

#[test]
fn a_device_is_plugged_into_a_port_from_another_terminal_and_pulled() {
    let mut visit = Visit::begin_with(&["--ports", "2"]);
    let ports = visit.sandbox.run().join("irqbed/run-vm.ports");
    wait_until("the ports are there", || ports.exists());
    let own = visit.sandbox.own("port0.sock");
    let own = own.to_str().expect("UTF-8");
    let asked = |arguments: &[&str]| run(&visit.sandbox, arguments);
    let plugged = asked(&["plug", "event", "--listen", own]);
    plugged.assert_good();
    assert_eq!(plugged.stdout, "event is in port 0\n");
    asked(&["plug", "edu", "--port", "1"]).assert_good();
    asked(&["plug", "edu", "--port", "1"]).assert_refused(&["port 1 has a device in it"]);
    asked(&["unplug", "--port", "2"]).assert_refused(&["no port 2", "ports 0 to 1"]);

    // The driver of the guest's own event device drives this one, too.
    wait_until("it is driven", || {
        let raised = asked(&["raise", "--control", own, "--payload", "plugged"]);
        raised.stdout.contains("raised event")
    });
    let event = r#"(7 bytes) "plugged""#;
    visit.terminal.wait_for(event, 1, &mut visit.child);
    asked(&["unplug"]).assert_good();
    asked(&["raise", "--control", own]).assert_refused(&["no running guest"]);
    asked(&["unplug"]).assert_refused(&["port 0 has no device in it"]);

    visit.terminal.type_in(b"exit\n");
    let (status, shown) = visit.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}

#[test]
fn ctrl_a_x_leaves_and_a_second_guest_at_one_socket_is_refused() {
    let mut visit = Visit::begin();
    let second = Terminal::open();
    let mut command = irqbed(&visit.sandbox, &["run-vm"]);
    command.env("IRQBED_QEMU", visit.sandbox.forbidden_qemu());
    let mut child = second.start(command);
    let status = child.wait().expect("a child of ours");
    assert_eq!(status.code(), Some(1));
    let shown = second.close();
    assert!(shown.contains("a guest is running already"), "{shown}");
    assert!(shown.contains("--control"), "{shown}");
    visit.sandbox.assert_no_guest_was_started();

    visit.terminal.type_in(b"\x01x");
    let (status, shown) = visit.end();
    assert_eq!(status.code(), Some(0), "{shown}");
}

#[test]
fn a_killed_qemu_gives_the_terminal_back() {
    let visit = Visit::begin();
    kill_process(visit.qemu(), Signal::KILL).expect("it is ours");
    let (status, shown) = visit.end();
    assert_eq!(status.code(), Some(1), "{shown}");
    assert_eq!(shown.matches("irqbed: error: ").count(), 1, "{shown}");
    assert!(shown.contains("QEMU ended"), "{shown}");
}

#[test]
fn being_told_to_terminate_gives_the_terminal_back() {
    let visit = Visit::begin();
    kill_process(visit.irqbed(), Signal::TERM).expect("it is ours");
    let (status, shown) = visit.end();
    assert_eq!(status.code(), Some(130), "{shown}");
    assert!(shown.contains("irqbed: interrupted"), "{shown}");
}

#[test]
fn without_a_terminal_there_is_no_shell() {
    let sandbox = Sandbox::new();
    let mut command = irqbed(&sandbox, &["run-vm"]);
    command.env("IRQBED_QEMU", sandbox.forbidden_qemu());
    Running::start(&sandbox, command).wait().assert_refused(&[
        "run-vm",
        "terminal",
        "irqbed bench",
    ]);
    sandbox.assert_no_guest_was_started();
    sandbox.assert_nothing_left();
}
