// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed run-vm`: a shell in the guest, with the driver loaded, a listener
//! running, and a device that `irqbed raise` makes interrupt and `irqbed fault` go
//! wrong; or with devices,
//! drivers and files of the user's own.

use std::{
    io::{self, IsTerminal},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{ExitCode, ExitStatus},
};

use anyhow::ensure;
use clap::Args;
use device_model::log;
use irqbed_machine::{
    accel::Accelerator,
    artefacts::Artefacts,
    builtin::Builtin,
    qemu::{ClockKind, ConsoleTo, Machine},
    session::Setup,
};
use irqbed_trial::{
    scenario::{Description, Scenario, ScenarioError},
    trial::{DeviceFault, Trial},
};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::{
    control::{attend, check, listen, socket_or_default},
    coverage::CoverageArguments,
    guest::GuestArguments,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    guest: GuestArguments,
    /// Where to listen for `irqbed raise` and `irqbed fault`
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
    #[command(flatten)]
    coverage: CoverageArguments,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    ensure!(
        io::stdin().is_terminal(),
        "run-vm gives an interactive shell and needs a terminal on standard input; \
         for a run without one use `irqbed bench` or `irqbed test`"
    );
    let guest = Visited::new(&arguments.guest)?.map_err(super::bad_input)?;
    let choice = arguments.coverage.accelerator(arguments.guest.accel)?;
    let is_ours = matches!(guest, Visited::Ours(..));
    if arguments.coverage.are_given() && is_ours {
        return Err(super::bad_input(NothingOfYours));
    }
    super::ensure_writable(arguments.coverage.files())?;
    let socket = socket_or_default(arguments.control.as_deref())?;
    ensure!(
        !(guest.is_asked() || arguments.guest.ports > 0) || UnixStream::connect(&socket).is_err(),
        "a guest is running already, with its socket at {}: leave it, or give --control SOCKET",
        socket.display()
    );
    if guest.is_asked() || arguments.guest.ports > 0 {
        check(&socket).map_err(|error| match arguments.control {
            Some(_) => super::bad_input(error),
            None => error.into(),
        })?;
    }
    log::say(format_args!(
        "irqbed: booting ({}: {}); Ctrl-A X leaves",
        choice.accelerator, choice.reason
    ));
    if let Some(path) = &arguments.control {
        log::say(format_args!(
            "irqbed: `irqbed raise` and `irqbed fault` need --control {}",
            path.display()
        ));
    }
    let _terminal = TerminalRestorer::new();
    let accelerator = choice.accelerator;
    let status = match guest {
        Visited::Ours(parts) => visit(&parts.0, &parts.1, accelerator, &socket)?,
        Visited::Own(scenario) => visit_own(&scenario, accelerator, &socket, &arguments.coverage)?,
    };
    ensure!(status.success(), "QEMU ended badly ({status})");
    Ok(ExitCode::SUCCESS)
}

/// The guest to visit.
enum Visited {
    /// With the event device and our driver.
    Ours(Box<(Artefacts, Description)>),
    /// With devices, drivers and files of the user's own.
    Own(Box<Scenario>),
}

impl Visited {
    /// The guest that options ask for; what is wrong with them is the inner error.
    fn new(arguments: &GuestArguments) -> anyhow::Result<Result<Self, ScenarioError>> {
        if arguments.are_own() {
            let scenario = arguments.description();
            let scenario = scenario.and_then(Description::check);
            return Ok(scenario.map(|scenario| Self::Own(Box::new(scenario))));
        }
        let description = arguments.description_of_ours();
        let description = match description.and_then(|given| given.check_devices().map(|()| given))
        {
            Ok(description) => description,
            Err(error) => return Ok(Err(error)),
        };
        let artefacts = super::artefacts(description.kernel.as_deref())?;
        Ok(Ok(Self::Ours(Box::new((artefacts, description)))))
    }

    /// Whether it has a device that listens at a control socket.
    fn is_asked(&self) -> bool {
        match self {
            Self::Ours(..) => true,
            Self::Own(scenario) => scenario.description.has_builtin(),
        }
    }
}

fn visit(
    artefacts: &Artefacts,
    description: &Description,
    accelerator: Accelerator,
    socket: &Path,
) -> anyhow::Result<ExitStatus> {
    let machine = Machine {
        vcpus: description.vcpus,
        memory_mib: description.memory_mib,
        iommu: description.iommu,
        ports: description.ports,
        port_window_mib: description.port_window_mib,
        kernel_parameters: description.kernel_parameters.clone(),
        poll: description.poll,
        ..Machine::new(accelerator, ClockKind::Wall)
    };
    let faults: Vec<_> = description
        .devices
        .iter()
        .flat_map(|given| given.faults.clone())
        .collect();
    let setup = Setup::of(artefacts, &machine).on_terminal();
    let mut session = setup.faulty(&faults).boot()?;
    let _control = listen(socket, session.source().clone().into())?;
    let mut attend = attend(machine.ports, socket)?;
    let status = session.wait_attending(&mut attend)?;
    let faults = session.source().faults().list();
    say_faults(&DeviceFault::all(Builtin::Event.as_str(), None, faults));
    Ok(status)
}

fn say_faults(faults: &[DeviceFault]) {
    for fault in faults {
        log::say(format_args!("irqbed: fault: {fault}"));
    }
}

fn visit_own(
    scenario: &Scenario,
    accelerator: Accelerator,
    socket: &Path,
    coverage: &CoverageArguments,
) -> anyhow::Result<ExitStatus> {
    let covers = coverage.are_given();
    let mut trial = Trial::boot(scenario, accelerator, ConsoleTo::Terminal, covers)?;
    let target = trial.target().cloned();
    let control = target.map(|target| listen(socket, target));
    let _control = control.transpose()?;
    let mut attend = attend(scenario.description.ports, socket)?;
    let status = trial.visit(scenario, &mut attend)?;
    say_faults(&trial.faults());
    if let Some((covered, notes)) = trial.take_coverage()? {
        for note in notes {
            log::say(format_args!("irqbed: note: {note}"));
        }
        coverage.write(&covered)?;
    }
    Ok(status)
}

#[derive(Debug, thiserror::Error)]
#[error("--coverage is of drivers of yours: give --module")]
struct NothingOfYours;

/// QEMU puts the terminal into raw mode; if it dies it cannot take it back.
struct TerminalRestorer(Option<Termios>);

impl TerminalRestorer {
    fn new() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for TerminalRestorer {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            // Nothing to be done where the terminal itself is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, state);
        }
    }
}
