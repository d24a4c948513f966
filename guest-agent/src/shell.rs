// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The guest for a person: the driver loaded, a listener that prints each
//! event, and a shell on the console. The guest ends with the shell.

use std::{fs::OpenOptions, os::unix::process::CommandExt, process::Command};

use anyhow::{Context, Result};
use irqbed_abi::control::{Behaviour, ListenerSpec, Mechanism};
use rustix::{
    process::{ioctl_tiocsctty, setsid},
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
};

use crate::{
    agent::Agent,
    children::{PATH, SELF},
    init::say,
    module,
};

/// First argument of the process that becomes the shell.
pub const ROLE: &str = "shell";
/// The terminal of the person.
const TERMINAL: &str = "/dev/ttyS0";

/// Starts everything. What fails is said on the console: a person whose driver
/// does not load needs the shell most.
pub fn start(agent: &mut Agent, command_line: &str) {
    let unicast = ListenerSpec::new(Mechanism::Netlink, Behaviour::Print);
    // A driver told to broadcast takes no subscribers.
    let broadcast = ListenerSpec::new(Mechanism::NetlinkBroadcast, Behaviour::Print);
    let listening = module::load(&module::parameters_from(command_line)).and_then(|()| {
        agent
            .listen(&unicast)
            .or_else(|error| agent.listen(&broadcast).map_err(|_| error))
    });
    match listening {
        Ok((_, port_id)) => say(&format!(
            "\nirqbed: the driver is loaded, and a listener (netlink port {port_id}) prints each event.\n\
             irqbed: `./just raise` in another terminal makes the device interrupt;\n\
             irqbed: `dmesg` shows the driver's log, `exit` ends the guest.\n"
        )),
        Err(error) => say(&format!("\nirqbed: no listener runs: {error:#}\n")),
    }
    if let Err(error) = open(agent) {
        say(&format!("irqbed: no shell: {error:#}"));
    }
}

/// Starts a shell alone.
pub fn open(agent: &mut Agent) -> Result<()> {
    agent.run_until_end_of(Command::new(SELF).arg(ROLE))
}

/// Becomes the shell, the leader of its own session on the terminal, so that
/// its job control and Ctrl-C work.
pub fn main() -> Result<()> {
    setsid().context("cannot start a session")?;
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(TERMINAL)
        .with_context(|| format!("cannot open {TERMINAL}"))?;
    ioctl_tiocsctty(&terminal).with_context(|| format!("cannot take {TERMINAL}"))?;
    dup2_stdin(&terminal)?;
    dup2_stdout(&terminal)?;
    dup2_stderr(&terminal)?;
    drop(terminal);
    let error = Command::new("/bin/sh")
        .arg("-i")
        .env_clear()
        .envs([
            ("PATH", PATH),
            ("PS1", "irqbed# "),
            ("HOME", "/"),
            ("TERM", "linux"),
        ])
        .exec();
    Err(error).context("cannot run /bin/sh")
}
