// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent as PID 1: sets the guest up, serves the control line, and turns
//! every way in which it could fail into one line on the console and a guest
//! that is off, so that the harness need not wait for a time limit.

use std::{
    fs,
    io::{self, Write},
    panic,
};

use anyhow::{Context, Result};
use rustix::{
    mount::{MountFlags, mount},
    process::getpid,
    system::{RebootCommand, reboot},
    termios::tcdrain,
};

use crate::{
    agent::Agent,
    console::{console, print_line},
    control::Line,
    interactive,
};

/// The serial line of the harness.
const CONTROL_LINE: &str = "/dev/ttyS1";

/// What is mounted where, in this order.
const MOUNTS: &[(&str, &str)] = &[
    ("devtmpfs", "/dev"),
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("tmpfs", "/tmp"),
    ("tmpfs", "/run"),
];

/// What the guest is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The harness drives it over the control line.
    Control,
    /// A person does, at the console; the harness still may.
    Shell,
}

/// PID 1: returns never, the guest ends with it.
pub fn main() -> Result<()> {
    panic::set_hook(Box::new(|panic| fatal(&format!("{panic}"))));
    match run() {
        Ok(()) => power_off(),
        Err(error) => fatal(&format!("{error:#}")),
    }
}

fn run() -> Result<()> {
    for (kind, target) in MOUNTS {
        mount_one(kind, target)?;
    }
    let command_line = fs::read_to_string("/proc/cmdline").context("cannot read /proc/cmdline")?;
    let mode = mode(&command_line)?;
    let line = Line::open_tty(CONTROL_LINE)?;
    let mut agent = Agent::new(line)?;
    if mode == Mode::Shell {
        interactive::start(&mut agent, &command_line);
    }
    agent.serve()
}

fn mount_one(kind: &str, target: &str) -> Result<()> {
    match fs::create_dir(target) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(error).with_context(|| format!("cannot make {target}"));
        }
        _ => {}
    }
    match mount(kind, target, kind, MountFlags::NOSUID, None) {
        // The kernel itself may have mounted it.
        Ok(()) | Err(rustix::io::Errno::BUSY) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot mount {target}")),
    }
}

/// The mode that the kernel's command line asks for.
fn mode(command_line: &str) -> Result<Mode> {
    let asked = command_line
        .split_ascii_whitespace()
        .filter_map(|word| word.strip_prefix("irqbed.mode="))
        .next_back();
    match asked {
        None | Some("control") => Ok(Mode::Control),
        Some("shell") => Ok(Mode::Shell),
        Some(other) => anyhow::bail!(
            "irqbed.mode={other} on the kernel command line: it is `control` or `shell`"
        ),
    }
}

/// The end of the guest, with the reason as the console's last line.
fn fatal(reason: &str) -> ! {
    let reason = reason.replace('\n', " ");
    let line = format!("irqbed-agent: fatal: {reason}\n");
    match console().and_then(|mut console| console.write_all(line.as_bytes())) {
        Ok(()) => {}
        Err(_) => print_line(line.trim_end()),
    }
    power_off()
}

/// Lets the console's last characters out, then switches the guest off.
pub fn power_off() -> ! {
    if let Ok(console) = console() {
        // A console that cannot be drained is no reason to stay on.
        let _ = tcdrain(&console);
    }
    // Out of PID 1 this would be the end of somebody else's machine.
    if getpid().is_init() {
        let error = reboot(RebootCommand::PowerOff);
        print_line(&format!(
            "irqbed-agent: the guest cannot be switched off: {error:?}"
        ));
    }
    std::process::exit(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mode_is_control_unless_said_otherwise() {
        assert_eq!(mode("console=ttyS0 quiet").expect("a mode"), Mode::Control);
        assert_eq!(mode("irqbed.mode=shell\n").expect("a mode"), Mode::Shell);
        assert_eq!(
            mode("irqbed.mode=shell irqbed.mode=control").expect("a mode"),
            Mode::Control
        );
    }

    #[test]
    fn an_unknown_mode_is_named() {
        let error = mode("irqbed.mode=party").expect_err("no such mode");
        assert!(error.to_string().contains("party"), "{error}");
    }
}
