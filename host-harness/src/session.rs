// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A booted guest with the event device in it: what benches, tests and
//! `run-vm` stand on.
//!
//! ```no_run
//! use host_harness::{accel, artefacts::Artefacts, qemu::{ClockKind, Machine}, session::Session};
//!
//! # fn main() -> anyhow::Result<()> {
//! let machine = Machine::new(accel::choose(accel::AccelRequest::Auto)?.accelerator, ClockKind::Wall);
//! let mut session = Session::boot(&Artefacts::locate()?, &machine)?;
//! session.load_module([])?;
//! session.power_off()?;
//! # Ok(())
//! # }
//! ```

mod boot;
mod error;
mod guest;
mod hotplug;
mod plug;
mod trace;

use std::{process::ExitStatus, time::Duration};

use device_model::{
    Fault, ServerEnd, ServerHandle,
    event::{EventDevice, EventSource},
};
use irqbed_abi::{
    control::{Accesses, Hello, ListenerReport, ListenerSpec, Load, Reply, Request, Symbol},
    counters::Counters,
};

pub use error::SessionError;
pub use guest::{Guest, Setup};
pub use hotplug::PlugError;

use crate::{
    artefacts::Artefacts,
    path::ExecutionLog,
    qemu::{Beside, ConsoleTo, Machine},
};
use error::quoted;
use guest::{ended, unexpected};

/// How long QEMU may take from its last word to the device to its end.
const GONE_LIMIT: Duration = Duration::from_secs(1);
/// How long the device may take to be enabled by a driver that has loaded.
const READY_LIMIT: Duration = Duration::from_secs(5);
/// A booted guest with a device. Dropping it ends the guest and the device.
#[derive(Debug)]
pub struct Session {
    // QEMU goes before the device it is connected to.
    guest: Guest,
    source: EventSource,
    /// None of a session that was booted without a device.
    server: Option<ServerHandle>,
    /// Parameters that the driver has.
    parameters: Vec<String>,
}

impl Session {
    /// Boots a guest and waits for its agent.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot(artefacts: &Artefacts, machine: &Machine) -> Result<Self, SessionError> {
        Self::boot_with(artefacts, machine, &ConsoleTo::Kept, None)
    }

    /// [`Session::boot`] with a log of what the guest executes.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot_logged(
        artefacts: &Artefacts,
        machine: &Machine,
        log: &ExecutionLog,
    ) -> Result<Self, SessionError> {
        artefacts.check_plugin()?;
        Self::boot_with(artefacts, machine, &ConsoleTo::Kept, Some(log))
    }

    /// [`Session::boot`] with devices of QEMU's own beside ours.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot_beside(
        artefacts: &Artefacts,
        machine: &Machine,
        beside: Beside,
    ) -> Result<Self, SessionError> {
        Self::start(
            artefacts,
            machine,
            &ConsoleTo::Kept,
            None,
            Some(beside),
            &[],
        )
    }

    /// [`Session::boot`] with a device that goes wrong as soon as it is served,
    /// and the console where the caller wants it.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot_faulty(
        artefacts: &Artefacts,
        machine: &Machine,
        console: &ConsoleTo,
        faults: &[Fault],
    ) -> Result<Self, SessionError> {
        Self::start(artefacts, machine, console, None, None, faults)
    }

    /// [`Session::boot`] with the console where the caller wants it, and
    /// [logged](Session::boot_logged) if it does.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot_with(
        artefacts: &Artefacts,
        machine: &Machine,
        console: &ConsoleTo,
        log: Option<&ExecutionLog>,
    ) -> Result<Self, SessionError> {
        Self::start(artefacts, machine, console, log, None, &[])
    }

    /// [`Session::boot`] of a machine without a device, for one to be [plugged
    /// in](Session::plug). Until then [`Session::source`] is of a device that nobody
    /// drives.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot_without_device(
        artefacts: &Artefacts,
        machine: &Machine,
    ) -> Result<Self, SessionError> {
        let setup = Setup {
            console: &ConsoleTo::Kept,
            devices: Vec::new(),
            initramfs: None,
            log: None,
            beside: None,
        };
        Ok(Self {
            guest: Guest::boot(artefacts, machine, setup)?,
            source: new_device()?.source(),
            server: None,
            parameters: artefacts.module_parameters()?,
        })
    }

    fn start(
        artefacts: &Artefacts,
        machine: &Machine,
        console: &ConsoleTo,
        log: Option<&ExecutionLog>,
        beside: Option<Beside>,
        faults: &[Fault],
    ) -> Result<Self, SessionError> {
        let device = new_device()?;
        let source = device.source();
        let (server, socket) = device_model::serve_with(device, machine.options())
            .map_err(|error| SessionError::Device(error.to_string()))?;
        let armed = source.faults().arm_all(faults);
        armed.map_err(|error| SessionError::Device(error.to_string()))?;
        let setup = Setup {
            console,
            devices: vec![socket],
            initramfs: None,
            log,
            beside,
        };
        Ok(Self {
            guest: Guest::boot(artefacts, machine, setup)?,
            source,
            server: Some(server),
            parameters: artefacts.module_parameters()?,
        })
    }

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

    /// The first socket that closes makes the kernel rebuild its table of the
    /// unit's sockets, which may put the driver's own in front of a listener's.
    /// What opens later stays in front.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn settle_sockets(&mut self) -> Result<(), SessionError> {
        self.counters().map(drop)
    }

    /// Asks the agent.
    ///
    /// # Errors
    /// [`SessionError::Agent`] with its words when it refuses.
    pub fn ask(&mut self, request: Request) -> Result<Reply, SessionError> {
        self.guest.ask(request)
    }

    /// Loads the driver and waits until it has enabled the device, if there is one.
    ///
    /// # Errors
    /// [`SessionError::NoParameter`]; [`SessionError::Agent`] with the driver's
    /// own message when it refuses.
    pub fn load_module<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<(), SessionError> {
        let parameters: Vec<_> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // The kernel itself only warns of one.
        if let Some((name, _)) = parameters
            .iter()
            .find(|(name, _)| !self.parameters.contains(name))
        {
            return Err(SessionError::NoParameter {
                name: name.clone(),
                known: self.parameters.clone(),
            });
        }
        let parameters = parameters.into_iter().collect();
        self.guest.expect_done(Request::LoadModule { parameters })?;
        let has_device = self.server.is_some() || self.guest.ports.servers().next().is_some();
        if !has_device || self.source.wait_ready(READY_LIMIT) {
            Ok(())
        } else {
            Err(SessionError::Device(format!(
                "the driver has loaded but did not enable the device within {READY_LIMIT:?}{}",
                quoted("the guest said", &self.kernel_log()?)
            )))
        }
    }

    /// Unloads the driver.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn unload_module(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::UnloadModule)
    }

    /// Gives the device to `vfio-pci`, for a listener to drive.
    ///
    /// # Errors
    /// [`SessionError::Agent`] when the machine has no IOMMU, or a driver has
    /// the device.
    pub fn bind_vfio(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::BindVfio)
    }

    /// Takes the device from `vfio-pci`.
    ///
    /// # Errors
    /// [`SessionError::Agent`] while a listener drives it.
    pub fn unbind_vfio(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::UnbindVfio)
    }

    /// Starts a listener; it is subscribed on return. Returns its number.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn listen(&mut self, spec: ListenerSpec) -> Result<u32, SessionError> {
        self.guest
            .ask_for(Request::Listen(spec), |answer| match answer {
                Reply::Listening { listener, .. } => Ok(listener),
                answer => Err(answer),
            })
    }

    /// What a listener has seen.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn report(&mut self, listener: u32) -> Result<ListenerReport, SessionError> {
        self.listener_report(Request::Report { listener })
    }

    /// Ends a listener, by `SIGKILL` if told so.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn end_listener(
        &mut self,
        listener: u32,
        kill: bool,
    ) -> Result<ListenerReport, SessionError> {
        self.listener_report(Request::EndListener { listener, kill })
    }

    fn listener_report(&mut self, request: Request) -> Result<ListenerReport, SessionError> {
        self.guest.ask_for(request, |answer| match answer {
            Reply::Listener(report) => Ok(report),
            answer => Err(answer),
        })
    }

    /// The driver's counters, once it has handed on every record there is.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn flush(&mut self) -> Result<Counters, SessionError> {
        self.counters_by(Request::Flush)
    }

    /// The driver's counters as they are.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn counters(&mut self) -> Result<Counters, SessionError> {
        self.counters_by(Request::Counters)
    }

    fn counters_by(&mut self, request: Request) -> Result<Counters, SessionError> {
        self.guest.ask_for(request, |answer| match answer {
            Reply::Counters(counters) => Ok(*counters),
            answer => Err(answer),
        })
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

fn new_device() -> Result<EventDevice, SessionError> {
    EventDevice::new().map_err(|error| SessionError::Device(error.to_string()))
}

fn device_works(server: &ServerHandle) -> Result<(), SessionError> {
    match server.ended() {
        Some(ServerEnd::Failed(why) | ServerEnd::Panicked(why)) => Err(SessionError::Device(why)),
        _ => Ok(()),
    }
}
