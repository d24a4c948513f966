// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A [`Scenario`] tried: its guest booted with its devices, and visited by a person, or
//! [run](Trial::run) to a verdict.

mod fault;
mod findings;
mod junit;
mod leaks;
mod outcome;
mod output;
mod program;
mod run;
mod steps;

use std::{process::ExitStatus, time::Instant};

use device_model::{ServerEnd, ServerHandle, control::Target};
use irqbed_abi::control::Request;

pub use fault::DeviceFault;
pub use findings::{Finding, findings};
pub use junit::{Case, junit};
pub use outcome::{Failure, Outcome};
pub use output::Output;
pub use program::Company;

use crate::{
    accel::Accelerator,
    agent::AgentError,
    initramfs,
    qemu::{ClockKind, Connections, ConsoleTo, DeviceSocket, Machine},
    scenario::{Builtin, DeviceProcess, FOLDER, Module, Scenario},
    session::{Guest, SessionError, devices_there},
};

/// The kernel's own limits, and its log on the console: what it says last is
/// all there is of a guest that died. They come behind our `nowatchdog` and
/// `quiet` (Documentation/admin-guide/kernel-parameters.txt, `sysctl.*=`).
const WATCHFUL: [&str; 3] = [
    "sysctl.kernel.watchdog=1",
    "sysctl.kernel.hung_task_timeout_secs=10",
    "sysctl.kernel.printk=7",
];

/// A guest with the devices, modules and files of a scenario.
#[derive(Debug)]
pub struct Trial {
    // QEMU goes before the devices it is connected to.
    guest: Guest,
    servers: Vec<(Builtin, ServerHandle)>,
    _processes: Vec<DeviceProcess>,
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
            accelerator,
            clock: ClockKind::Wall,
            vcpus: scenario.vcpus,
            memory_mib: scenario.memory_mib,
            iommu: scenario.iommu,
            ports: scenario.ports,
            port_window_mib: scenario.port_window_mib,
            kernel_parameters: [own, scenario.kernel_parameters.clone()].concat(),
            poll: scenario.poll,
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
        Ok(Self {
            guest: Guest::boot(&scenario.artefacts, &machine, connections)?,
            servers,
            _processes: processes,
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
        self.guest.ask(request).map(drop)
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
        let Self { guest, servers, .. } = self;
        guest.wait_attending(|guest| {
            attend(guest);
            devices_work(servers, &|_| None)
        })
    }

    fn devices_work(&mut self) -> Result<(), SessionError> {
        let Self { guest, servers, .. } = self;
        devices_work(servers, &|text| guest.qemu_said(text))
    }
}

/// `Err` once a device is gone. `qemu_said` finds a message of QEMU's.
fn devices_work(
    servers: &[(Builtin, ServerHandle)],
    qemu_said: &dyn Fn(&str) -> Option<String>,
) -> Result<(), SessionError> {
    for (_, server) in servers {
        if let Some(ServerEnd::Failed(why) | ServerEnd::Panicked(why)) = server.ended() {
            return Err(SessionError::Device(why));
        }
    }
    devices_there(qemu_said)
}
