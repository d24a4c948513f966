// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A booted guest with the event device in it: what benches, tests and
//! `run-vm` stand on.
//!
//! ```no_run
//! use host_harness::{accel, artefacts::Artefacts, qemu::{ClockKind, Machine}, session::Session};
//!
//! # fn main() -> anyhow::Result<()> {
//! let machine = Machine {
//!     accelerator: accel::choose(accel::AccelRequest::Auto)?.accelerator,
//!     clock: ClockKind::Wall,
//!     vcpus: 1,
//!     memory_mib: 256,
//!     iommu: false,
//!     kernel_parameters: Vec::new(),
//! };
//! let mut session = Session::boot(&Artefacts::locate()?, &machine)?;
//! session.load_module([])?;
//! session.power_off()?;
//! # Ok(())
//! # }
//! ```

mod boot;
mod error;
mod trace;

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use device_model::{
    ServerEnd, ServerHandle,
    event::{EventDevice, EventSource},
};
use irqbed_abi::{
    control::{Hello, ListenerReport, ListenerSpec, Load, Reply, Request, Symbol},
    counters::Counters,
};

pub use error::SessionError;

use crate::{
    agent::{AgentError, AgentLine},
    artefacts::Artefacts,
    interrupt,
    path::ExecutionLog,
    qemu::{Beside, ConsoleTo, Machine, Qemu},
};
use error::quoted;

/// An agent that has not answered by then hangs; its own limits are shorter.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long QEMU may take from the agent's last word to its end.
const POWER_OFF_LIMIT: Duration = Duration::from_secs(10);
/// How long QEMU may take from its last word to the device to its end.
const GONE_LIMIT: Duration = Duration::from_secs(1);
/// How long the device may take to be enabled by a driver that has loaded.
const READY_LIMIT: Duration = Duration::from_secs(5);
/// Console lines shown with an error.
const SHOWN: usize = 15;

/// A booted guest with a device. Dropping it ends the guest and the device.
#[derive(Debug)]
pub struct Session {
    // QEMU goes before the device it is connected to.
    qemu: Qemu,
    agent: AgentLine,
    source: EventSource,
    server: ServerHandle,
    hello: Hello,
    boot_time: Duration,
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
        Self::start(artefacts, machine, &ConsoleTo::Kept, None, Some(beside))
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
        Self::start(artefacts, machine, console, log, None)
    }

    fn start(
        artefacts: &Artefacts,
        machine: &Machine,
        console: &ConsoleTo,
        log: Option<&ExecutionLog>,
        beside: Option<Beside>,
    ) -> Result<Self, SessionError> {
        interrupt::check()?;
        artefacts.check()?;
        let parameters = artefacts.module_parameters()?;
        let limit = boot::limit()?;
        let started = Instant::now();
        let device = EventDevice::new().map_err(|error| SessionError::Device(error.to_string()))?;
        let source = device.source();
        let (server, socket) =
            device_model::serve(device).map_err(|error| SessionError::Device(error.to_string()))?;
        let (mut qemu, control) = Qemu::start(machine, artefacts, console, socket, log, beside)?;
        let mut agent = AgentLine::new(control)?;
        let hello = agent
            .hello(limit, || alive(&mut qemu))
            .map_err(|error| in_words(error, boot::WAIT, &mut qemu))
            .map_err(|error| boot::in_words(error, &artefacts.qemu))?;
        let boot_time = started.elapsed();
        tracing::info!(?boot_time, kernel = hello.kernel, "guest is up");
        Ok(Self {
            qemu,
            agent,
            source,
            server,
            hello,
            boot_time,
            parameters,
        })
    }

    /// The device.
    #[must_use]
    pub fn source(&self) -> &EventSource {
        &self.source
    }

    /// What the agent said of the guest.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// From the start of QEMU to the agent's hello.
    #[must_use]
    pub fn boot_time(&self) -> Duration {
        self.boot_time
    }

    /// Process id of QEMU.
    #[must_use]
    pub fn qemu_id(&self) -> u32 {
        self.qemu.id()
    }

    /// `Err` when the guest is gone, or the user wants to stop.
    ///
    /// # Errors
    /// [`SessionError`] that says why.
    pub fn alive(&mut self) -> Result<(), SessionError> {
        alive(&mut self.qemu)?;
        self.device_works()
    }

    fn device_works(&self) -> Result<(), SessionError> {
        match self.server.ended() {
            Some(ServerEnd::Failed(why) | ServerEnd::Panicked(why)) => {
                Err(SessionError::Device(why))
            }
            _ => Ok(()),
        }
    }

    /// Why the guest is gone, if it is: the device notices a moment before
    /// QEMU is seen to have ended.
    pub fn gone(&mut self) -> Option<SessionError> {
        match self.qemu.wait(GONE_LIMIT) {
            Ok(Some(status)) => Some(ended(status, &mut self.qemu)),
            _ => self.alive().err(),
        }
    }

    /// Waits until the guest ends by itself.
    ///
    /// # Errors
    /// [`SessionError`] when it does not end well.
    pub fn wait_for_end(&mut self) -> Result<ExitStatus, SessionError> {
        loop {
            if let Some(status) = self.qemu.wait(Duration::from_millis(50))? {
                return Ok(status);
            }
            interrupt::check()?;
            self.device_works()?;
        }
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
        self.agent.send(&request)?;
        self.answer(&request)
    }

    fn answer(&mut self, request: &Request) -> Result<Reply, SessionError> {
        let Self { agent, qemu, .. } = self;
        agent
            .reply(ANSWER_LIMIT, || alive(qemu))
            .map_err(|error| in_words(error, &format!("{request:?}"), qemu))
    }

    /// Asks the agent for one kind of answer.
    fn ask_for<T>(
        &mut self,
        request: Request,
        pick: impl FnOnce(Reply) -> Result<T, Reply>,
    ) -> Result<T, SessionError> {
        let asked = format!("{request:?}");
        pick(self.ask(request)?).map_err(|answer| unexpected(asked, &answer))
    }

    fn expect_done(&mut self, request: Request) -> Result<(), SessionError> {
        self.ask_for(request, |answer| match answer {
            Reply::Done => Ok(()),
            answer => Err(answer),
        })
    }

    /// Loads the driver and waits until it has enabled the device.
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
        self.expect_done(Request::LoadModule { parameters })?;
        if self.source.wait_ready(READY_LIMIT) {
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
        self.expect_done(Request::UnloadModule)
    }

    /// Gives the device to `vfio-pci`, for a listener to drive.
    ///
    /// # Errors
    /// [`SessionError::Agent`] when the machine has no IOMMU, or a driver has
    /// the device.
    pub fn bind_vfio(&mut self) -> Result<(), SessionError> {
        self.expect_done(Request::BindVfio)
    }

    /// Takes the device from `vfio-pci`.
    ///
    /// # Errors
    /// [`SessionError::Agent`] while a listener drives it.
    pub fn unbind_vfio(&mut self) -> Result<(), SessionError> {
        self.expect_done(Request::UnbindVfio)
    }

    /// Starts a listener; it is subscribed on return. Returns its number.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn listen(&mut self, spec: ListenerSpec) -> Result<u32, SessionError> {
        self.ask_for(Request::Listen(spec), |answer| match answer {
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
        self.ask_for(request, |answer| match answer {
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
        self.ask_for(request, |answer| match answer {
            Reply::Counters(counters) => Ok(*counters),
            answer => Err(answer),
        })
    }

    /// Kernel messages of level warning and worse.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn kernel_log(&mut self) -> Result<Vec<String>, SessionError> {
        self.ask_for(Request::KernelLog, |answer| match answer {
            Reply::KernelLog { lines } => Ok(lines),
            answer => Err(answer),
        })
    }

    /// Has the guest disturbed from now on, or no more.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn disturb(&mut self, load: Option<Load>) -> Result<(), SessionError> {
        self.expect_done(Request::Disturb { load })
    }

    /// The kernel functions that addresses belong to, each once, in the order
    /// of their own addresses.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn symbols(&mut self, addresses: Vec<u64>) -> Result<Vec<Symbol>, SessionError> {
        self.ask_for(Request::Symbols { addresses }, |answer| match answer {
            Reply::Symbols { symbols } => Ok(symbols),
            answer => Err(answer),
        })
    }

    /// Runs a program in the guest: exit status, standard output, standard error.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn run(&mut self, argv: &[&str]) -> Result<(i32, String, String), SessionError> {
        let request = Request::Run {
            argv: argv.iter().map(ToString::to_string).collect(),
        };
        self.ask_for(request, |answer| match answer {
            Reply::Ran {
                status,
                stdout,
                stderr,
            } => Ok((status, stdout, stderr)),
            answer => Err(answer),
        })
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
        self.ask_for(Request::Calibrate, |answer| match answer {
            Reply::Calibrating => Ok(()),
            answer => Err(answer),
        })?;
        let outcome = exchange(&self.source);
        match self.answer(&Request::Calibrate)? {
            Reply::Done => Ok(outcome),
            answer => Err(unexpected("calibration".to_owned(), &answer)),
        }
    }

    /// Ends the guest in good order.
    ///
    /// # Errors
    /// [`SessionError`] when it does not go.
    pub fn power_off(mut self) -> Result<(), SessionError> {
        self.agent.send(&Request::PowerOff)?;
        match self.qemu.wait(POWER_OFF_LIMIT)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(ended(status, &mut self.qemu)),
            None => Err(SessionError::Hangs {
                waiting_for: "power off".to_owned(),
                limit: POWER_OFF_LIMIT,
                console: self.qemu.console.tail(SHOWN),
            }),
        }
    }
}

fn unexpected(request: String, answer: &Reply) -> SessionError {
    let answer = format!("{answer:?}");
    AgentError::Unexpected { request, answer }.into()
}

fn alive(qemu: &mut Qemu) -> Result<(), SessionError> {
    interrupt::check()?;
    match qemu.ended()? {
        Some(status) => Err(ended(status, qemu)),
        None => Ok(()),
    }
}

fn ended(status: ExitStatus, qemu: &mut Qemu) -> SessionError {
    // The readers may be a moment behind the process.
    std::thread::sleep(Duration::from_millis(50));
    let console = qemu.console.tail(SHOWN);
    for sign in ["irqbed-agent: fatal", "Kernel panic"] {
        if let Some(line) = qemu.console.find(sign) {
            return SessionError::Panicked { line, console };
        }
    }
    SessionError::QemuEnded {
        status,
        messages: qemu.messages.tail(3),
        console,
    }
}

/// Puts what only the session knows into an error of the control line.
fn in_words(error: SessionError, waiting_for: &str, qemu: &mut Qemu) -> SessionError {
    match error {
        SessionError::Agent(AgentError::Silent(limit)) => SessionError::Hangs {
            waiting_for: waiting_for.to_owned(),
            limit,
            console: qemu.console.tail(SHOWN),
        },
        SessionError::Agent(AgentError::Closed) => match qemu.wait(Duration::from_secs(2)) {
            Ok(Some(status)) => ended(status, qemu),
            _ => error,
        },
        error => error,
    }
}
