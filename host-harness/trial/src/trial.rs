// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A [`Scenario`] tried: its guest booted with its devices, and visited by a person, or
//! [run](Trial::run) to a verdict.

mod checks;
mod coverage;
mod debug_info;
mod devices;
mod evidence;
mod fault;
mod junit;
mod kernel_log;
mod leaks;
mod outcome;
mod output;
mod program;
mod run;
mod source_lines;
mod steps;

use std::{
    io,
    process::ExitStatus,
    time::{Duration, Instant},
};

use device_model::control::Target;
use irqbed_abi::control::Request;
use irqbed_machine::{
    accel::Accelerator,
    agent::AgentError,
    initramfs,
    qemu::{ClockKind, Connections, ConsoleTo, Machine},
    session::{Guest, SessionError},
};
use irqbed_results::coverage::Coverage;

pub use evidence::Evidence;
pub use fault::DeviceFault;
pub use junit::{Case, junit};
pub use outcome::{Failure, Outcome, Unbound, Unhandled};
pub use output::Output;
pub use program::Company;

use coverage::Covered;
use devices::Devices;

use crate::scenario::{FOLDER, Module, Scenario};

/// How long a module may take to load. The agent's own limit is shorter, and so is the one
/// behind which the kernel reports a processor that does not come back.
const LOAD_LIMIT: Duration = Duration::from_secs(40);
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
    devices: Devices,
    /// What of the modules is executed, where that is asked.
    covered: Option<Covered>,
    started: Instant,
    /// Several processors are emulated at once.
    emulates_several: bool,
}

impl Trial {
    /// Boots the guest. Its modules are not loaded yet. What is executed of them is in
    /// the outcome if `covers`; that needs [`Accelerator::Tcg`].
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot(
        scenario: &Scenario,
        accelerator: Accelerator,
        console: ConsoleTo,
        covers: bool,
    ) -> Result<Self, SessionError> {
        let started = Instant::now();
        let own = match console {
            ConsoleTo::Kept => WATCHFUL.map(str::to_owned).to_vec(),
            // The harness, and nobody else, says what happens in the guest.
            ConsoleTo::Terminal => vec!["irqbed.mode=control".to_owned()],
        };
        let asked = &scenario.description;
        let machine = Machine {
            vcpus: asked.vcpus,
            memory_mib: asked.memory_mib,
            iommu: asked.iommu,
            ports: asked.ports,
            port_window_mib: asked.port_window_mib,
            suspends_to_ram: asked.suspends_to_ram(),
            kernel_parameters: [own, asked.kernel_parameters.clone()].concat(),
            poll: asked.poll,
            ..Machine::new(accelerator, ClockKind::Wall)
        };
        let (mut devices, sockets) = Devices::serve(scenario, machine.options())?;
        let covered = covers.then(|| Covered::new(scenario)).transpose()?;
        let connections = Connections {
            console,
            coverage: covered.as_ref().map(Covered::map),
            devices: sockets,
            initramfs: Some(initramfs::with_files(&scenario.initramfs, &scenario.files)?),
            ..Connections::default()
        };
        let guest = Guest::boot(&scenario.artefacts, &machine, connections)
            .map_err(|error| devices.cause(error))?;
        Ok(Self {
            guest,
            devices,
            covered,
            started,
            emulates_several: accelerator == Accelerator::Tcg && asked.vcpus > 1,
        })
    }

    /// What a control socket asks: the event device, else the first one of ours.
    #[must_use]
    pub fn target(&self) -> Option<&Target> {
        self.devices.target()
    }

    /// The faults that are armed at the devices that were there from the start, and
    /// what each did.
    #[must_use]
    pub fn faults(&self) -> Vec<DeviceFault> {
        self.devices.faults()
    }

    /// The guest.
    pub fn guest(&mut self) -> &mut Guest {
        &mut self.guest
    }

    /// What of the modules was executed until now, and what is to be said of it; `None` where
    /// that is not asked, and from the second time on.
    ///
    /// # Errors
    /// [`io::Error`] when the memory of it cannot be read.
    pub fn take_coverage(&mut self) -> io::Result<Option<(Coverage, Vec<String>)>> {
        self.covered.take().map(Covered::finish).transpose()
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
        self.guest
            .answer_watching(LOAD_LIMIT, &waiting_for, alive)?;
        match &mut self.covered {
            Some(covered) => covered.was_loaded(&module.name, &mut self.guest),
            None => Ok(()),
        }
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
        let Self { guest, devices, .. } = self;
        guest.wait_attending(|guest| {
            attend(guest);
            devices.check(guest)
        })
    }
}
