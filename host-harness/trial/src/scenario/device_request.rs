// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device as somebody asks for it, in a scenario or by `irqbed plug`: where it
//! comes from, what it lacks, and what goes wrong with it.

use std::time::Duration;

use device_model::{
    Fault, Options,
    fault::{FaultKind, When},
};

use irqbed_machine::{
    builtin::{Builtin, DeviceOptions, options::number},
    qemu::Address,
    served::Served,
    session::SessionError,
};
use serde::{Deserialize, Serialize};

use super::{Device, ScenarioError, device::builtin};

/// QEMU and the guest's firmware hang over a device that is gone before they have
/// looked at it.
const GONE: FaultKind = FaultKind::Removed(When::In(Duration::ZERO));

/// A device, and its options.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeviceRequest {
    /// The device.
    #[serde(flatten)]
    pub device: Device,
    /// How it is to be; only with one of ours.
    #[serde(default)]
    pub options: DeviceOptions,
    /// Where on the root bus it is, of one that is there from the start; `None` for the
    /// next free slot.
    #[serde(skip)]
    pub address: Option<Address>,
    /// What goes wrong, from the moment that it is served; only with one of ours.
    pub faults: Vec<Fault>,
}

impl From<Device> for DeviceRequest {
    fn from(device: Device) -> Self {
        Self {
            device,
            options: DeviceOptions::default(),
            address: None,
            faults: Vec::new(),
        }
    }
}

impl DeviceRequest {
    /// A device of ours as a command line has it, in QEMU's style:
    /// `NAME,KEY=VALUE,...`.
    ///
    /// # Errors
    /// [`ScenarioError::UnknownDevice`], [`ScenarioError::Option`].
    pub fn of_word(word: &str) -> Result<Self, ScenarioError> {
        let mut parts = word.split(',');
        let device = builtin(parts.next().unwrap_or_default())?;
        let mut given = Self::from(Device::Builtin(device));
        for part in parts {
            let wrong = |why: String| ScenarioError::Option {
                device: device.as_str().to_owned(),
                why,
            };
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let known = match key {
                "slot" | "function" => {
                    let number = number(value).and_then(|number| u8::try_from(number).ok());
                    let number = number.ok_or_else(|| wrong(format!("{part}: give a number")))?;
                    let address = given.address.unwrap_or(Address {
                        slot: 0,
                        function: 0,
                    });
                    given.address = Some(match key {
                        "slot" => Address {
                            slot: number,
                            ..address
                        },
                        _ => Address {
                            function: number,
                            ..address
                        },
                    });
                    true
                }
                _ => given.options.set(key, value).map_err(wrong)?,
            };
            if !known {
                let has = DeviceOptions::of(device);
                return Err(wrong(format!(
                    "{part}: its options are: {has}; and each has slot=N, function=N"
                )));
            }
        }
        given
            .options
            .check(device)
            .map_err(|why| ScenarioError::Option {
                device: device.as_str().to_owned(),
                why,
            })?;
        Ok(given)
    }

    /// Makes sure that it can be plugged into a port.
    ///
    /// # Errors
    /// [`ScenarioError::InPort`].
    pub fn check_for_port(&self) -> Result<(), ScenarioError> {
        match self.address {
            Some(_) => Err(ScenarioError::InPort),
            None => self.check(),
        }
    }

    /// Makes sure that there is one, and that it can be as it is asked for.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ScenarioError> {
        self.device.check()?;
        let refused = |why| ScenarioError::Option {
            device: self.device.to_string(),
            why,
        };
        match self.builtin() {
            Some(device) => self.options.check(device).map_err(refused)?,
            None if self.options != DeviceOptions::default() => {
                return Err(refused("options: it is not one of ours".to_owned()));
            }
            None => {}
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
                device.can_have(self.options, &self.faults).map_err(refused)
            }
            other if other.has_control() => Ok(()),
            other => Err(ScenarioError::NoFaults(other.to_string())),
        }
    }

    /// The device, if it is one of ours.
    #[must_use]
    pub fn builtin(&self) -> Option<Builtin> {
        match self.device {
            Device::Builtin(device) => Some(device),
            _ => None,
        }
    }

    /// Serves it, where it is one of ours, or finds who does; with its faults.
    pub(crate) fn serve(&self, options: Options) -> Result<Served, SessionError> {
        let served = self.device.serve(self.options, options)?;
        if let Some(faults) = served.faults() {
            let failed = |why| SessionError::Device(format!("{}: {why}", self.device.name()));
            faults.arm(&self.faults).map_err(failed)?;
        }
        Ok(served)
    }
}
