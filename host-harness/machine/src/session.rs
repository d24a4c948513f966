// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A booted guest with the event device in it: what benches, tests and
//! `run-vm` stand on.
//!
//! ```no_run
//! use irqbed_machine::{accel, artefacts::Artefacts, qemu::{ClockKind, Machine}, session::Setup};
//!
//! # fn main() -> anyhow::Result<()> {
//! let machine = Machine::new(accel::choose(accel::AccelRequest::Auto)?.accelerator, ClockKind::Wall);
//! let mut session = Setup::of(&Artefacts::locate()?, &machine).boot()?;
//! session.load_module([])?;
//! session.power_off()?;
//! # Ok(())
//! # }
//! ```

mod boot_wait;
mod driver;
mod error;
mod guest;
mod hotplug;
mod plug;
mod setup;
mod suspend;
mod trace;

use std::{process::ExitStatus, time::Duration};

use device_model::{ServerEnd, ServerHandle, event::EventSource};
use irqbed_abi::control::{Accesses, Hello, Load, Reply, Request, Symbol};

pub use error::SessionError;
pub use guest::{Guest, ends_over_a_device, unexpected};
pub use hotplug::PlugError;
pub use setup::Setup;
pub use suspend::SuspendError;

use guest::ended;

/// How long QEMU may take from its last word to the device to its end.
const GONE_LIMIT: Duration = Duration::from_secs(1);

/// A booted guest with a device, as a [`Setup`] boots it. Dropping it ends the guest
/// and the device.
#[derive(Debug)]
pub struct Session {
    // QEMU goes before the device it is connected to.
    guest: Guest,
    source: EventSource,
    /// None where the guest was booted without a device.
    server: Option<ServerHandle>,
    /// Parameters that the driver has.
    parameters: Vec<String>,
}

impl Session {
    /// The guest, whatever devices it has.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// The device.
    #[must_use]
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// What the agent said of the guest.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        self.guest.hello()
    }

    /// From the start of QEMU to the agent's hello.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.guest.boot_time()
    }

    /// Process id of QEMU.
    #[must_use]
    pub fn qemu_id(&self) -> u32 {
        self.guest.qemu_id()
    }

    /// `Err` when the guest is gone, or the user wants to stop.
    ///
    /// # Errors
    /// [`SessionError`] that says why.
    pub fn alive(&mut self) -> Result<(), SessionError> {
        self.guest.alive()?;
        self.server.iter().try_for_each(device_works)
    }

    /// Why the guest is gone, if it is: the device notices a moment before
    /// QEMU is seen to have ended.
    pub fn gone(&mut self) -> Option<SessionError> {
        match self.guest.qemu.wait(GONE_LIMIT) {
            Ok(Some(status)) => Some(ended(status, &mut self.guest.qemu)),
            _ => self.alive().err(),
        }
    }

    /// Waits until the guest ends by itself.
    ///
    /// # Errors
    /// [`SessionError`] when it does not end well.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, SessionError> {
        self.wait_attending(&mut |_| {})
    }

    /// [`Session::wait_for_end`] in which `attend` is called every now and then.
    ///
    /// # Errors
    /// [`SessionError`] when it does not end well.
    pub fn wait_attending(
        &mut self,
        attend: &mut dyn FnMut(&mut Guest),
    ) -> Result<ExitStatus, SessionError> {
        let Self { guest, server, .. } = self;
        guest.wait_attending(|guest| {
            attend(guest);
            server.iter().try_for_each(device_works)
        })
    }

    /// Takes away what makes the same path take different numbers of
    /// instructions and no kernel parameter can: the scheduler's deadline
    /// server for fair tasks, which keeps account of idle time for one part of
    /// each second and not for the rest, and its estimate of how busy a task
    /// is, which takes another way when the task was busier than it thought.
    ///
    /// # Errors
    /// [`SessionError`]; not when the kernel has no such thing.
    pub fn steady(&mut self) -> Result<(), SessionError> {
        const SCRIPT: &str = "mount -t debugfs none /sys/kernel/debug;
            for server in /sys/kernel/debug/sched/fair_server/*; do echo 0 > $server/runtime; done;
            echo NO_UTIL_EST > /sys/kernel/debug/sched/features";
        let (_, _, error) = self.run(&["sh", "-c", SCRIPT])?;
        if !error.is_empty() {
            tracing::debug!("the guest is less steady than it could be: {error}");
        }
        Ok(())
    }

    /// Asks the agent.
    ///
    /// # Errors
    /// [`SessionError::Agent`] with its words when it refuses.
    pub fn ask(&mut self, request: Request) -> Result<Reply, SessionError> {
        self.guest.ask(request)
    }

    /// Kernel messages of level warning and worse.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn kernel_log(&mut self) -> Result<Vec<String>, SessionError> {
        self.guest
            .ask_for(Request::KernelLog, |answer| match answer {
                Reply::KernelLog { lines } => Ok(lines),
                answer => Err(answer),
            })
    }

    /// Has the guest disturbed from now on, or no more.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn disturb(&mut self, load: Option<Load>) -> Result<(), SessionError> {
        self.guest.expect_done(Request::Disturb { load })
    }

    /// The kernel functions that addresses belong to, each once, in the order
    /// of their own addresses.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn symbols(&mut self, addresses: Vec<u64>) -> Result<Vec<Symbol>, SessionError> {
        self.guest
            .ask_for(Request::Symbols { addresses }, |answer| match answer {
                Reply::Symbols { symbols } => Ok(symbols),
                answer => Err(answer),
            })
    }

    /// Times accesses of a process in the guest: of each batch, cycles of the
    /// guest's time stamp counter.
    ///
    /// # Errors
    /// [`SessionError::Agent`] when there is no such word, or a driver has the
    /// device.
    pub fn time_accesses(&mut self, accesses: Accesses) -> Result<Vec<u64>, SessionError> {
        self.guest.time_accesses(accesses)
    }

    /// Runs a program in the guest: exit status, standard output, standard error.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn run(&mut self, argv: &[&str]) -> Result<(i32, String, String), SessionError> {
        self.guest.run(argv)
    }

    /// Has the agent answer calibration pings while `exchange` runs, which
    /// must end with a ping of `PING_STOP`.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn while_calibrating<T>(
        &mut self,
        exchange: impl FnOnce(&EventSource) -> T,
    ) -> Result<T, SessionError> {
        self.guest
            .ask_for(Request::Calibrate, |answer| match answer {
                Reply::Calibrating => Ok(()),
                answer => Err(answer),
            })?;
        let outcome = exchange(&self.source);
        match self.guest.answer(&Request::Calibrate)? {
            Reply::Done => Ok(outcome),
            answer => Err(unexpected("calibration".to_owned(), &answer)),
        }
    }

    /// Ends the guest in good order.
    ///
    /// # Errors
    /// [`SessionError`] when it does not go.
    pub fn power_off(self) -> Result<(), SessionError> {
        self.guest.power_off()
    }
}

fn device_works(server: &ServerHandle) -> Result<(), SessionError> {
    match server.ended() {
        Some(ServerEnd::Failed(why)) => Err(SessionError::Device(why)),
        Some(ServerEnd::Panicked(panic)) => Err(SessionError::Device(panic.to_string())),
        _ => Ok(()),
    }
}
