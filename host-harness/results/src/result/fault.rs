// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The faults of a run, in its document.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::times;

/// A fault of a run, and how often it happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultCounts {
    /// What was asked for, `KIND:KEY=VALUE,...`; a document may know kinds that
    /// this version does not.
    pub fault: String,
    /// How often it could have happened.
    pub opportunities: u64,
    /// How often it did.
    pub hits: u64,
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = times(self.hits, self.opportunities);
        write!(f, "{} happened {times}", self.fault)
    }
}
