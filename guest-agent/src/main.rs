// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent: PID 1 of the test guest, and the process that the guest's
//! interrupts are to reach. It is the last leg of an event's journey.
//!
//! Started by the kernel as `/init` it sets the guest up and serves the control
//! line. Started by itself, with a role as its first argument, it is one of
//! the processes that the guest needs: a listener, an unprivileged sender, the
//! shell of a person.

#![deny(unsafe_code)]

mod access;
mod agent;
mod calibrate;
mod capture;
mod children;
mod console;
mod control;
mod ftrace;
mod fuzz;
mod genetlink;
mod init;
mod insmod;
mod inspect;
mod instrument;
mod interactive;
mod io_ports;
mod kmsg;
mod listener;
mod listeners;
mod load;
mod mapping;
mod module;
mod netlink;
mod nlmsg;
mod probe;
mod proc_stat;
mod program;
mod raw_netlink;
mod receivers;
mod repliers;
mod scheduling;
mod shell;
mod sigbus;
mod signal;
mod sink;
mod stats;
mod supervise;
mod suspend;
mod symbols;
mod tsc;
mod vfio;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let result = match arguments.next().as_deref() {
        Some(listener::ROLE) => listener::main(arguments.next()),
        Some(insmod::ROLE) => insmod::main(&arguments.collect::<Vec<_>>()),
        Some(fuzz::ROLE) => fuzz::main(&arguments.collect::<Vec<_>>()),
        Some(fuzz::WORKER_ROLE) => fuzz::worker(&arguments.collect::<Vec<_>>()),
        Some(load::ROLE) => load::main(arguments.next(), arguments.next()),
        Some(raw_netlink::ROLE) => raw_netlink::main(arguments.next()),
        Some(probe::ROLE) => probe::main(arguments.next().as_deref()),
        Some(capture::ROLE) => capture::main(),
        Some(shell::ROLE) => shell::main(),
        _ if rustix::process::getpid().is_init() => init::main(),
        _ => Err(anyhow::anyhow!(
            "this program is PID 1 of irqbed's test guest; `irqbed run-vm` boots one"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console::print_line(&format!("irqbed-agent: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
