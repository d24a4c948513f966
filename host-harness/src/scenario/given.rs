// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device as a scenario has it: where it comes from, and what goes wrong
//! with it.

use std::time::Duration;

use device_model::{
    Fault, Options,
    fault::{FaultKind, When},
};

use super::{
    ScenarioError,
    device::{Builtin, Device, Served, failed},
};
use crate::session::SessionError;

/// QEMU and the guest's firmware hang over a device that is gone before they have
/// looked at it.
const GONE: FaultKind = FaultKind::Removed(When::In(Duration::ZERO));

/// A device of a scenario, and what goes wrong with it.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenDevice {
    /// The device.
    pub device: Device,
    /// What goes wrong, from the moment that it is served; only with one of ours.
    pub faults: Vec<Fault>,
}

impl From<Device> for GivenDevice {
    fn from(device: Device) -> Self {
        let faults = Vec::new();
        Self { device, faults }
    }
}

impl GivenDevice {
    /// Makes sure that there is one, and that it can have the faults.
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        self.device.check()?;
        match &self.device {
            _ if self.faults.is_empty() => Ok(()),
            Device::Builtin(device) => {
                let refused = |why| ScenarioError::Fault {
                    device: device.as_str(),
                    why,
                };
                if self.faults.iter().any(|fault| *fault.kind() == GONE) {
                    return Err(refused(format!(
                        "{}: no guest boots with a device that is gone: give delay=5s, or when=dma",
                        GONE.name()
                    )));
                }
                device.can_have(&self.faults).map_err(refused)
            }
            other => Err(ScenarioError::NoFaults(other.to_string())),
        }
    }

    /// The device, if it is one of ours.
    pub(crate) fn builtin(&self) -> Option<Builtin> {
        match self.device {
            Device::Builtin(device) => Some(device),
            _ => None,
        }
    }

    /// Serves it with its faults, where it is one of ours, or finds who does.
    pub(crate) fn serve(&self, options: Options) -> Result<Served, SessionError> {
        let served = self.device.serve(options)?;
        if let Some(server) = &served.server {
            let armed = server.faults().arm_all(&self.faults);
            armed.map_err(|error| failed(&error))?;
        }
        Ok(served)
    }
}
