// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The devices of this project: what each is called, how it is made, and what
//! can be asked of it. Nobody else knows them all.

pub mod options;

use clap::ValueEnum;
use device_model::{
    Fault, FaultInjection, Function, Options, PciDevice,
    edu::EduDevice,
    event::{EventDevice, EventSource},
    nic_lite::NicLite,
};
use serde::{Deserialize, Serialize};

pub use options::{DeviceOptions, Interrupts};

use crate::{served::Served, session::SessionError};

/// A device that this project brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Builtin {
    /// The event device, which `irqbed raise` makes interrupt
    Event,
    /// QEMU's educational device, register by register
    Edu,
    /// A network card in miniature: queues, doorbells, a loop-back
    NicLite,
}

fn failed(error: &dyn std::error::Error) -> SessionError {
    SessionError::Device(error.to_string())
}

/// A device as it was made.
struct Made {
    device: Box<dyn PciDevice>,
    /// What raises its events, where it does.
    source: Option<EventSource>,
}

impl Made {
    fn new(device: impl PciDevice) -> Self {
        Self {
            device: Box::new(device),
            source: None,
        }
    }
}

impl Builtin {
    /// The name on command lines and in tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Edu => "edu",
            Self::NicLite => "nic-lite",
        }
    }

    /// Whether it can be had without MSI-X.
    #[must_use]
    pub fn can_lack_msix(self) -> bool {
        self == Self::Event
    }

    /// Makes one with options that it [has](DeviceOptions::check).
    fn make(self, options: DeviceOptions) -> Result<Made, SessionError> {
        Ok(match self {
            Self::Event => {
                let device = EventDevice::new().map_err(|error| failed(&error))?;
                let source = Some(device.source());
                let made = match options.irq {
                    Some(Interrupts::Msi) => Made::new(device.without_msix()),
                    _ => Made::new(device),
                };
                Made { source, ..made }
            }
            Self::Edu => {
                let mut device = EduDevice::new();
                if options.irq == Some(Interrupts::Intx) {
                    device = device.without_msi();
                }
                if let Some(mask) = options.dma_mask {
                    device = device.dma_mask(mask);
                }
                if options.mapped == Some(true) {
                    device = device.mapped()?;
                }
                Made::new(device)
            }
            Self::NicLite => Made::new(NicLite::new()),
        })
    }

    /// Whether it can have faults; `Err` with the reason.
    ///
    /// # Errors
    /// The first fault that it cannot have, or why there is no such device.
    pub fn can_have(self, options: DeviceOptions, faults: &[Fault]) -> Result<(), String> {
        let made = self.make(options).map_err(|error| error.to_string())?;
        let function = Function::new(made.device).map_err(|error| error.to_string())?;
        let checked = function.faults().check(faults);
        checked.map_err(|error| error.to_string())
    }

    /// Serves one from now on.
    ///
    /// # Errors
    /// [`SessionError::Device`].
    pub fn serve(self, options: DeviceOptions, how: Options) -> Result<Served, SessionError> {
        let Made { device, source } = self.make(options)?;
        let served = Served::by_us(device, how).map_err(|error| failed(&error))?;
        Ok(Served { source, ..served })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_made_as_its_options_say() {
        let spec = |device: Builtin, options: DeviceOptions| {
            let made = device.make(options).expect("a device");
            made.device.spec()
        };
        let irq = |irq| DeviceOptions {
            irq: Some(irq),
            ..DeviceOptions::default()
        };
        let plain = spec(Builtin::Edu, DeviceOptions::default());
        assert!(plain.msi.is_some() && plain.bars[2].is_none());
        let line = spec(Builtin::Edu, irq(Interrupts::Intx));
        assert!(line.msi.is_none() && line.intx.is_some());
        let mapped = DeviceOptions {
            mapped: Some(true),
            ..DeviceOptions::default()
        };
        assert!(spec(Builtin::Edu, mapped).bars[2].is_some());
        assert!(spec(Builtin::Event, irq(Interrupts::Msix)).msix.is_some());
        assert!(spec(Builtin::Event, irq(Interrupts::Msi)).msix.is_none());
    }

    #[test]
    fn a_device_has_one_name_on_command_lines_and_in_messages() {
        for device in Builtin::value_variants() {
            let name = device.as_str();
            assert_eq!(Builtin::from_str(name, false).as_ref(), Ok(device));
            let json = serde_json::to_string(device).expect("JSON");
            assert_eq!(json, format!("{name:?}"));
        }
    }
}
