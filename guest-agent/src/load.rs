// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What disturbs the guest while events are on their way, when the harness asks
//! for it: processes of the agent's own binary that do one thing for ever.

use std::{
    convert::Infallible,
    hint::black_box,
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    thread::available_parallelism,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use irqbed_abi::control::Load;
use rustix::{
    io::read,
    process::{Pid, Signal},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};

use crate::{
    children::{Children, PATH, SELF},
    scheduling,
};

/// First argument of a load's process.
pub const ROLE: &str = "load";
/// Between two timer interrupts.
const TICK: Duration = Duration::from_micros(100);
/// A datagram, bytes.
const DATAGRAM: usize = 1000;
/// How long a process has to die of `SIGKILL`.
const END: Duration = Duration::from_secs(5);

/// The processes of a load.
#[derive(Debug, Default)]
pub struct Disturbance(Vec<Pid>);

impl Disturbance {
    /// Ends what there is and starts a load on each processor.
    pub fn set(&mut self, children: &mut Children, load: Option<Load>) -> Result<()> {
        for pid in std::mem::take(&mut self.0) {
            children.signal(pid, Signal::KILL);
            ensure!(
                children.wait(pid, END).is_some(),
                "a load did not end within {END:?}"
            );
        }
        let Some(load) = load else {
            return Ok(());
        };
        if load == Load::Net {
            loopback_up(children)?;
        }
        for cpu in 0..available_parallelism()?.get() {
            let mut command = Command::new(SELF);
            command.args([ROLE, load.as_str(), &cpu.to_string()]);
            let (pid, _child) = children
                .spawn(&mut command)
                .context("cannot start a load")?;
            self.0.push(pid);
        }
        Ok(())
    }
}

fn loopback_up(children: &mut Children) -> Result<()> {
    let mut command = Command::new("ip");
    command.args(["link", "set", "lo", "up"]).env("PATH", PATH);
    let (pid, _child) = children.spawn(&mut command).context("cannot run ip")?;
    match children.wait(pid, END) {
        Some(0) => Ok(()),
        status => bail!("the loopback interface does not come up: ip ended with {status:?}"),
    }
}

/// A load on one processor; does not return.
pub fn main(name: Option<String>, cpu: Option<String>) -> Result<()> {
    let name = name.unwrap_or_default();
    scheduling::pin(cpu.unwrap_or_default().parse()?)?;
    let load = Load::ALL.iter().find(|load| load.as_str() == name);
    match load.with_context(|| format!("there is no load {name:?}"))? {
        Load::Cpu => compute(),
        Load::Net => match send()? {},
        Load::Irq => match wake()? {},
    }
}

fn compute() -> ! {
    let mut number = 1_u64;
    loop {
        number = black_box(number.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (number >> 29));
    }
}

fn send() -> Result<Infallible> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot open a socket")?;
    socket.connect(socket.local_addr()?)?;
    let mut datagram = [0; DATAGRAM];
    loop {
        socket.send(&datagram).context("cannot send to myself")?;
        socket
            .recv(&mut datagram)
            .context("cannot hear from myself")?;
    }
}

fn wake() -> Result<Infallible> {
    let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC)?;
    let tick = Timespec::try_from(TICK)?;
    let periodic = Itimerspec {
        it_interval: tick,
        it_value: tick,
    };
    timerfd_settime(&timer, TimerfdTimerFlags::empty(), &periodic)?;
    let mut expired = [0; 8];
    loop {
        read(&timer, &mut expired).context("cannot wait for the timer")?;
    }
}
