// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a run was asked for.

use std::collections::BTreeMap;

use irqbed_abi::control::{Load, Mechanism};
use serde::{Deserialize, Serialize};

use crate::{mechanism::InterruptType, placement::Placement};

/// How a listener runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scheduling {
    /// Priority in `SCHED_FIFO`; `None` for `SCHED_OTHER`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fifo: Option<u8>,
    /// The one processor it may run on; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<u32>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Parameters {
    /// Events to raise.
    pub events: u64,
    /// Events a second; `None` for as fast as the guest takes them.
    pub rate_hz: Option<f64>,
    /// Most events on their way at once, where no rate is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<u64>,
    /// Seed of the random gaps between events, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poisson_seed: Option<u64>,
    /// Events that come at once, with one interrupt.
    #[serde(default = "one")]
    pub burst: u32,
    /// Most events in a message.
    #[serde(default = "one")]
    pub batch: u32,
    /// What disturbed the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// How the listeners ran.
    #[serde(flatten)]
    pub scheduling: Scheduling,
    /// Room for events that wait at a listener, bytes, where not the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receive_buffer: Option<u32>,
    /// Payload of each event, bytes.
    pub payload_bytes: u32,
    /// Vectors, and so rings, that take turns.
    pub vectors: u32,
    /// How the device interrupts.
    #[serde(default)]
    pub irq: InterruptType,
    /// How events are addressed to listeners.
    pub delivery: Delivery,
    /// Virtual processors.
    pub vcpus: u32,
    /// Where on the host the threads were that an event passes through; `None`
    /// for wherever the host's scheduler put them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Placement>,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// How long the device's thread spun for a message before it slept,
    /// microseconds; left out where it did not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub poll_us: u64,
    /// Parameters the driver was loaded with.
    #[serde(default)]
    pub module_parameters: BTreeMap<String, String>,
    /// Kernel parameters the user added.
    #[serde(default)]
    pub kernel_parameters: Vec<String>,
}

const fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How events are addressed to listeners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// To each listener by itself.
    Unicast,
    /// Once, to all of them.
    Broadcast,
}

impl From<Mechanism> for Delivery {
    fn from(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::NetlinkBroadcast | Mechanism::GenetlinkMulticast => Self::Broadcast,
            _ => Self::Unicast,
        }
    }
}
