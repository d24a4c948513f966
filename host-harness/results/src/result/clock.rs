// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a run was timed by, and how good that was.

use serde::{Deserialize, Serialize};

use crate::units::{Nanos, Unit};

/// The clock behind the figures of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Clock {
    /// Wall time of the host. The error applies to the stages that cross from
    /// host to guest or back; the others are differences of readings of one
    /// clock.
    Wall {
        /// How far a time that crosses from host to guest can be off.
        error_bound_ns: Nanos,
        /// How far the calibrations before and after the run lie apart.
        drift_ns: Nanos,
        /// Largest error bound and drift of a valid result.
        claim_ns: Nanos,
        /// Whether both are within the claim.
        valid: bool,
    },
    /// Executed guest instructions; exact.
    Instructions {},
}

impl Clock {
    /// Wall time, valid when neither error bound nor drift exceeds `claim`.
    #[must_use]
    pub fn wall(error_bound: Nanos, drift: Nanos, claim: Nanos) -> Self {
        Self::Wall {
            error_bound_ns: error_bound,
            drift_ns: drift,
            claim_ns: claim,
            valid: error_bound <= claim && drift <= claim,
        }
    }

    /// Guest instructions.
    #[must_use]
    pub const fn instructions() -> Self {
        Self::Instructions {}
    }

    /// The unit of the figures.
    #[must_use]
    pub const fn unit(&self) -> Unit {
        match self {
            Self::Wall { .. } => Unit::Nanoseconds,
            Self::Instructions {} => Unit::Instructions,
        }
    }

    /// Whether the clock was as good as the result claims.
    #[must_use]
    pub const fn is_valid(&self) -> bool {
        match self {
            Self::Wall { valid, .. } => *valid,
            Self::Instructions {} => true,
        }
    }

    /// Why it was not, in a sentence.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::Wall {
                error_bound_ns,
                drift_ns,
                claim_ns,
                valid: false,
            } => Some(format!(
                "the clock is not good enough: error bound {error_bound_ns}, drift {drift_ns}, \
                 at most {claim_ns} each is claimed; measure again when the machine is less busy, \
                 or by --clock instructions, which no load changes"
            )),
            _ => None,
        }
    }
}
