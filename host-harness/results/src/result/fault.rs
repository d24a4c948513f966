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

impl FaultCounts {
    /// What a fault did, which is written as it was asked for.
    #[must_use]
    pub fn new(fault: &impl fmt::Display, opportunities: u64, hits: u64) -> Self {
        Self {
            fault: fault.to_string(),
            opportunities,
            hits,
        }
    }
}

impl fmt::Display for FaultCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = times(self.hits, self.opportunities);
        write!(f, "{} happened {times}", self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_a_sentence() {
        let lost = FaultCounts::new(&"irq-lost:chance=0.1", 2000, 203);
        assert_eq!(
            lost.to_string(),
            "irq-lost:chance=0.1 happened 203 of 2,000 times"
        );
        assert_eq!(times(1, 1), "1 of 1 time");
    }
}
