// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What went wrong with a device of a trial, as it was asked for.

use std::fmt;

use device_model::fault::FaultReport;
use irqbed_machine::qemu::Port;
use irqbed_results::result::FaultCounts;

/// A fault of a device, and how often it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// The device, as `edu`, or the program that serves it.
    pub device: String,
    /// Where it was plugged in; `None` where it was there from the start.
    pub port: Option<Port>,
    /// The fault.
    pub counts: FaultCounts,
}

impl DeviceFault {
    /// Those that are armed.
    #[must_use]
    pub fn all(device: &str, port: Option<Port>, reports: Vec<FaultReport>) -> Vec<Self> {
        let reports = reports.into_iter();
        reports
            .map(|did| Self {
                device: device.to_owned(),
                port,
                counts: FaultCounts::new(&did.fault, did.opportunities, did.hits),
            })
            .collect()
    }

    /// Which device it was, as `edu`, or `edu in port 0`.
    #[must_use]
    pub fn owner(&self) -> String {
        let name = &self.device;
        self.port
            .map_or_else(|| name.clone(), |port| format!("{name} in port {port}"))
    }
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.owner(), self.counts)
    }
}
