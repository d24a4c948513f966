// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What went wrong with a device of a trial, as it was asked for.

use std::fmt;

use device_model::Faults;
use irqbed_machine::{builtin::Builtin, qemu::Port};
use irqbed_results::result::FaultCounts;

/// A fault of a device, and how often it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// The device.
    pub device: Builtin,
    /// Where it was plugged in; `None` where it was there from the start.
    pub port: Option<Port>,
    /// The fault.
    pub counts: FaultCounts,
}

impl DeviceFault {
    /// Those that are armed.
    #[must_use]
    pub fn all(device: Builtin, port: Option<Port>, faults: &Faults) -> Vec<Self> {
        let reports = faults.list().into_iter();
        reports
            .map(|did| Self {
                device,
                port,
                counts: FaultCounts::new(&did.fault, did.opportunities, did.hits),
            })
            .collect()
    }

    /// Which device it was, as `edu`, or `edu in port 0`.
    #[must_use]
    pub fn owner(&self) -> String {
        let name = self.device.as_str();
        self.port
            .map_or_else(|| name.to_owned(), |port| format!("{name} in port {port}"))
    }
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.owner(), self.counts)
    }
}
