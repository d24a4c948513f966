// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a session boots, and its boot.

use device_model::{Fault, event::EventDevice};

use super::{Guest, Session, SessionError};
use crate::{
    artefacts::Artefacts,
    execution_log::ExecutionLog,
    qemu::{Beside, Connections, ConsoleTo, Machine},
};

/// A guest that is to be booted: with the event device in it, which does nothing
/// wrong, and its console kept, unless it is said otherwise.
///
/// # Example
/// ```no_run
/// use irqbed_machine::{artefacts::Artefacts, execution_log::ExecutionLog, qemu::Machine, session::Setup};
///
/// # fn boot(artefacts: &Artefacts, machine: &Machine) -> anyhow::Result<()> {
/// let log = ExecutionLog::new()?;
/// let session = Setup::of(artefacts, machine).logged(&log).boot()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "nothing runs before it is booted"]
pub struct Setup<'a> {
    artefacts: &'a Artefacts,
    machine: &'a Machine,
    /// What the device does wrong; none where there is no device.
    faults: Option<&'a [Fault]>,
    connections: Connections<'a>,
}

impl<'a> Setup<'a> {
    /// A guest of these parts on this machine.
    pub fn of(artefacts: &'a Artefacts, machine: &'a Machine) -> Self {
        Self {
            artefacts,
            machine,
            faults: Some(&[]),
            connections: Connections::default(),
        }
    }

    /// Without the device, for one to be [plugged in](Session::plug). Until then
    /// [`Session::source`] is of a device that nobody drives.
    pub fn without_device(mut self) -> Self {
        self.faults = None;
        self
    }

    /// With a device that goes wrong as soon as it is served.
    pub fn faulty(mut self, faults: &'a [Fault]) -> Self {
        self.faults = Some(faults);
        self
    }

    /// With the user's terminal for a console.
    pub fn on_terminal(mut self) -> Self {
        self.connections.console = ConsoleTo::Terminal;
        self
    }

    /// With a log of what the guest executes.
    pub fn logged(mut self, log: &'a ExecutionLog) -> Self {
        self.connections.log = Some(log);
        self
    }

    /// With devices of QEMU's own beside ours.
    pub fn beside(mut self, beside: Beside) -> Self {
        self.connections.beside = Some(beside);
        self
    }

    /// Boots the guest and waits for its agent.
    ///
    /// # Errors
    /// [`SessionError`]; nothing is left running.
    pub fn boot(mut self) -> Result<Session, SessionError> {
        let device = EventDevice::new().map_err(failed)?;
        let source = device.source();
        let mut server = None;
        if let Some(faults) = self.faults {
            let served = device_model::serve_with(device, self.machine.options());
            let (served, socket) = served.map_err(failed)?;
            source.faults().arm_all(faults).map_err(failed)?;
            self.connections.devices.push(socket.into());
            server = Some(served);
        }
        Ok(Session {
            guest: Guest::boot(self.artefacts, self.machine, self.connections)?,
            source,
            server,
            parameters: self.artefacts.module_parameters()?,
        })
    }
}

fn failed(error: impl ToString) -> SessionError {
    SessionError::Device(error.to_string())
}
