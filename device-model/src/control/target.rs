// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device behind a control socket: any can have faults, one raises events.

use super::Reply;
use crate::{
    event::EventSource,
    fault::{Fault, Faults},
};

/// The device that a control socket is of.
#[derive(Debug, Clone)]
pub enum Target {
    /// The event device.
    Event(EventSource),
    /// Another one.
    Other(Faults),
}

impl From<EventSource> for Target {
    fn from(source: EventSource) -> Self {
        Self::Event(source)
    }
}

impl From<Faults> for Target {
    fn from(faults: Faults) -> Self {
        Self::Other(faults)
    }
}

impl Target {
    /// What raises its events, or why nothing does.
    pub(super) fn source(&self) -> Result<&EventSource, String> {
        match self {
            Self::Event(source) => Ok(source),
            Self::Other(_) => Err(
                "this device has no events to raise: only the device `event` has, others are \
                 asked for faults alone"
                    .to_owned(),
            ),
        }
    }

    /// What goes wrong with it.
    pub(super) fn faults(&self) -> Faults {
        match self {
            Self::Event(source) => source.faults(),
            Self::Other(faults) => faults.clone(),
        }
    }

    pub(super) fn arm(&self, faults: &[Fault]) -> Reply {
        match self.faults().arm_all(faults) {
            Ok(ids) => Reply::Armed { ids },
            Err(error) => Reply::Failed {
                error: error.to_string(),
            },
        }
    }
}
