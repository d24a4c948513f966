// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A [`Scenario`] tried: its guest booted with its devices, and visited by a person, or
//! [run](Trial::run) to a verdict.

mod checks;
mod evidence;
mod fault;
mod junit;
mod leaks;
mod log;
mod outcome;
mod output;
mod program;
mod run;
mod steps;
mod symbols;

use std::{
    process::ExitStatus,
    time::{Duration, Instant},
};

use device_model::{Recorder, ServerEnd, ServerHandle, control::Target};
use irqbed_abi::control::Request;

pub use evidence::Evidence;
pub use fault::DeviceFault;
pub use junit::{Case, junit};
pub use outcome::{Failure, Outcome, Unbound, Unhandled};
pub use output::Output;
pub use program::Company;

use crate::{
    accel::Accelerator,
    agent::AgentError,
    initramfs,
    qemu::{ClockKind, Connections, ConsoleTo, DeviceSocket, Machine},
    scenario::{Builtin, DeviceEnd, DeviceProcess, FOLDER, Module, Scenario},
    session::{Guest, SessionError, devices_there},
};

/// How long a module may take to load. The agent's own limit is shorter, and so is the one
/// behind which the kernel reports a processor that does not come back.
const LOAD_LIMIT: Duration = Duration::from_secs(40);
/// How long a device model may take from its last word to QEMU to its end.
const END_LIMIT: Duration = Duration::from_secs(2);
/// The kernel's own limits, and its log on the console: what it says last is
/// all there is of a guest that died. They come behind our `nowatchdog` and
/// `quiet` (Documentation/admin-guide/kernel-parameters.txt, `sysctl.*=`).
const WATCHFUL: [&str; 4] = [
    "sysctl.kernel.watchdog=1",
    "sysctl.kernel.hung_task_timeout_secs=10",
    "sysctl.kernel.printk=7",
    // A guest that does not come back from its sleep says where it was.
    "no_console_suspend",
];

/// A guest with the devices, modules and files of a scenario.
#[derive(Debug)]
pub struct Trial {
    // QEMU goes before the devices it is connected to.
    guest: Guest,
    servers: Vec<(Builtin, ServerHandle)>,
    processes: Vec<DeviceProcess>,
    target: Option<Target>,
    started: Instant,
}

impl Trial {
    /// Boots the guest. Its modules are not loaded yet.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot(
        scenario: &Scenario,
        accelerator: Accelerator,
        console: ConsoleTo,
    ) -> Result<Self, SessionError> {
        let started = Instant::now();
        let (mut servers, mut processes) = (Vec::new(), Vec::new());
        let (mut devices, mut targets) = (Vec::new(), Vec::new());
        let own = match console {
            ConsoleTo::Kept => WATCHFUL.map(str::to_owned).to_vec(),
            // The harness, and nobody else, says what happens in the guest.
            ConsoleTo::Terminal => vec!["irqbed.mode=control".to_owned()],
        };
        let machine = Machine {
            vcpus: scenario.vcpus,
            memory_mib: scenario.memory_mib,
            iommu: scenario.iommu,
            ports: scenario.ports,
            port_window_mib: scenario.port_window_mib,
            suspends_to_ram: scenario.suspends_to_ram,
            kernel_parameters: [own, scenario.kernel_parameters.clone()].concat(),
            poll: scenario.poll,
            ..Machine::new(accelerator, ClockKind::Wall)
        };
        for device in &scenario.devices {
            let served = device.serve(machine.options())?;
            targets.extend(served.target());
            servers.extend(device.builtin().zip(served.server));
            processes.extend(served.process);
            devices.push(DeviceSocket {
                handle: served.handle,
                address: device.address,
            });
        }
        let connections = Connections {
            console,
            devices,
            initramfs: Some(initramfs::with_files(&scenario.initramfs, &scenario.files)?),
            ..Connections::default()
        };
        let guest = Guest::boot(&scenario.artefacts, &machine, connections)
            .map_err(|error| cause(error, &mut processes))?;
        Ok(Self {
            guest,
            servers,
            processes,
            // Of several that are equal it is the first.
            target: targets
                .into_iter()
                .min_by_key(|target| matches!(target, Target::Other(_))),
            started,
        })
    }

    /// What a control socket asks: the event device, else the first one of ours.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The faults that are armed at the devices that were there from the start, and
    /// what each did.
    #[must_use]
    pub fn faults(&self) -> Vec<DeviceFault> {
        let servers = self.servers.iter();
        servers
            .flat_map(|(device, server)| DeviceFault::all(*device, None, server.faults()))
            .collect()
    }

    /// What happened at the devices that were there from the start, by the name of each.
    fn recorders(&self) -> Vec<(String, Recorder)> {
        let servers = self.servers.iter();
        let named = servers.map(|(device, server)| {
            let name = device.as_str().to_owned();
            (name, server.recorder().clone())
        });
        named.collect()
    }

    /// The guest.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// Loads a module.
    ///
    /// # Errors
    /// [`AgentError::Failed`] with the kernel's words when it does not load.
    pub fn load(&mut self, module: &Module) -> Result<(), SessionError> {
        let request = Request::InsertModule {
            path: module.path.clone(),
            parameters: module.parameters.clone(),
        };
        let waiting_for = format!("the start of {}", module.name);
        self.guest.send(&request)?;
        let alive = |guest: &mut Guest| guest.alive();
        let answer = self.guest.answer_watching(LOAD_LIMIT, &waiting_for, alive);
        answer.map(drop)
    }

    /// Loads the modules, gives the person at the terminal a shell, and waits for
    /// the end of the guest. What fails is said there: a person whose driver does
    /// not load needs the shell most. `attend` is called every now and then.
    ///
    /// # Errors
    /// [`SessionError`] when the guest does not end well.
    pub fn visit(
        &mut self,
        scenario: &Scenario,
        attend: &mut dyn FnMut(&mut Guest),
    ) -> Result<ExitStatus, SessionError> {
        let mut words = String::from("\n");
        for module in &scenario.modules {
            let name = &module.name;
            match self.load(module) {
                Ok(()) => words += &format!("irqbed: {name} is loaded\n"),
                Err(SessionError::Agent(AgentError::Failed(why))) => {
                    words += &format!("irqbed: {why}\n");
                }
                Err(error) => return Err(error),
            }
        }
        words += &format!(
            "irqbed: your files are in {FOLDER}; `dmesg` shows the kernel's log, `exit` ends the guest.\n"
        );
        const SAY: &str = "printf '%s\\n' \"$1\" >/dev/console";
        self.guest.run(&["sh", "-c", SAY, "sh", &words])?;
        self.guest.ask(Request::Shell)?;
        let Self {
            guest,
            servers,
            processes,
            ..
        } = self;
        guest.wait_attending(|guest| {
            attend(guest);
            devices_work(servers, processes, &|_| None)
        })
    }

    fn devices_work(&mut self) -> Result<(), SessionError> {
        let Self {
            guest,
            servers,
            processes,
            ..
        } = self;
        devices_work(servers, processes, &|text| guest.qemu_said(text))
    }
}

impl Trial {
    /// `Err` where a device did not survive the end of the guest.
    fn devices_ended(&mut self) -> Result<(), SessionError> {
        for (device, server) in &self.servers {
            if let Some(ServerEnd::Panicked(panic)) = server.wait(END_LIMIT) {
                let why = format!("{}: {panic}", device.as_str());
                return Err(SessionError::Device(why));
            }
        }
        // Some wait for another guest.
        let deadline = Instant::now() + Duration::from_millis(500);
        for process in &mut self.processes {
            let end = loop {
                match process.ended() {
                    None if Instant::now() < deadline => {
                        std::thread::sleep(Duration::from_millis(10));
                    }
                    end => break end,
                }
            };
            if let Some(end) = end.filter(DeviceEnd::is_panic) {
                return Err(SessionError::Device(end.to_string()));
            }
        }
        Ok(())
    }
}

/// `Err` once a device is gone. `qemu_said` finds a message of QEMU's.
fn devices_work(
    servers: &[(Builtin, ServerHandle)],
    processes: &mut [DeviceProcess],
    qemu_said: &dyn Fn(&str) -> Option<String>,
) -> Result<(), SessionError> {
    for (device, server) in servers {
        if let Some(why) = server.ended().and_then(|end| failed(*device, end)) {
            return Err(SessionError::Device(why));
        }
    }
    if let Some(end) = ended(processes) {
        return Err(SessionError::Device(end.to_string()));
    }
    let Err(gone) = devices_there(qemu_said) else {
        return Ok(());
    };
    // QEMU may learn of it before the process is at its end.
    let deadline = Instant::now() + END_LIMIT;
    while !processes.is_empty() && Instant::now() < deadline {
        if let Some(end) = ended(processes) {
            return Err(SessionError::Device(end.to_string()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(gone)
}

/// Why a guest did not boot: QEMU does not start with a device model that has ended.
fn cause(error: SessionError, processes: &mut [DeviceProcess]) -> SessionError {
    if matches!(error, SessionError::Interrupted(_)) {
        return error;
    }
    match ended(processes) {
        Some(end) => SessionError::Device(end.to_string()),
        None => error,
    }
}

/// Why a device of ours ended, if not by its client.
fn failed(device: Builtin, end: ServerEnd) -> Option<String> {
    let name = device.as_str();
    match end {
        ServerEnd::Panicked(panic) => Some(format!("{name}: {panic}")),
        ServerEnd::Failed(why) => Some(format!("{name}: {why}")),
        ServerEnd::ClientLeft | ServerEnd::Stopped => None,
    }
}

/// The first device model of a scenario that has ended.
fn ended(processes: &mut [DeviceProcess]) -> Option<DeviceEnd> {
    processes.iter_mut().find_map(DeviceProcess::ended)
}
