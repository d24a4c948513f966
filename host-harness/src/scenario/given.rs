// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device as somebody asks for it, in a scenario or by `irqbed plug`: where it
//! comes from, what it lacks, and what goes wrong with it.

use std::time::Duration;

use device_model::{
    Fault, Options,
    fault::{FaultKind, When},
};

use serde::{Deserialize, Serialize};

use super::{
    Builtin, Device, ScenarioError,
    device::{Served, failed},
};
use crate::session::SessionError;

/// QEMU and the guest's firmware hang over a device that is gone before they have
/// looked at it.
const GONE: FaultKind = FaultKind::Removed(When::In(Duration::ZERO));

/// A device, and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GivenDevice {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// Whether it has MSI-X, where that can be had otherwise: only with the event
    /// device.
    pub msix: bool,
    /// What goes wrong, from the moment that it is served; only with one of ours.
    pub faults: Vec<Fault>,
}

impl From<Device> for GivenDevice {
    fn from(device: Device) -> Self {
        Self {
            device,
            msix: true,
            faults: Vec::new(),
        }
    }
}

impl GivenDevice {
    /// Makes sure that there is one, and that it can be as it is asked for.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.device.check()?;
        if !self.msix && !self.builtin().is_some_and(Builtin::can_lack_msix) {
            return Err(ScenarioError::NoChoiceOfMsix(self.device.to_string()));
        }
        match &self.device {
            _ if self.faults.is_empty() => Ok(()),
            Device::Builtin(device) => {
                let refused = |why| ScenarioError::Fault {
                    device: device.as_str(),
                    why,
                };
                if self.faults.iter().any(|fault| *fault.kind() == GONE) {
                    return Err(refused(format!(
                        "{}: no guest finds a device that is gone: give delay=5s, or when=dma",
                        GONE.name()
                    )));
                }
                device.can_have(self.msix, &self.faults).map_err(refused)
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
        let served = self.device.serve(self.msix, options)?;
        if let Some(server) = &served.server {
            let armed = server.faults().arm_all(&self.faults);
            armed.map_err(|error| failed(&error))?;
        }
        Ok(served)
    }
}
