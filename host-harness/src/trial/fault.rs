// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What went wrong with a device of a trial, as it was asked for.

use std::fmt;

use device_model::Faults;

use crate::{result::FaultCounts, scenario::Builtin};

/// A fault of a device, and how often it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceFault {
    /// The device.
    pub device: Builtin,
    /// The fault.
    pub counts: FaultCounts,
}

impl DeviceFault {
    /// Those that are armed.
    pub(crate) fn all(device: Builtin, faults: &Faults) -> Vec<Self> {
        let reports = faults.list();
        let counts = reports.iter().map(FaultCounts::from);
        counts.map(|counts| Self { device, counts }).collect()
    }
}

impl fmt::Display for DeviceFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.device.as_str(), self.counts)
    }
}
