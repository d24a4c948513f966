// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asking a running device from another process: a unix socket of its own,
//! one line of JSON a request, one a reply. It is how a second terminal makes
//! the device interrupt, and has things go wrong with it.
//!
//! ```text
//! {"irqbed":1,"do":"raise","vector":0,"count":1,"payload":"text"}
//! {"is":"raised","first_seq":1,"count":1,"ring_overflow":0}
//! {"irqbed":1,"do":"counters"}
//! {"is":"counters","raised":1,"published":1,"ring_overflow":0,...}
//! {"irqbed":1,"do":"arm","faults":["irq-lost:chance=0.1"]}
//! {"is":"armed","ids":[1]}
//! {"irqbed":1,"do":"clear-faults"}
//! {"is":"faults","faults":[{"id":1,"fault":"irq-lost:chance=0.1","opportunities":20,"hits":2}]}
//! ```

mod client;
mod raise;
mod server;
mod target;

use serde::{Deserialize, Serialize};

pub use client::{ClientError, ControlClient};
pub use server::{ControlError, ControlServer};
pub use target::Target;

use crate::{
    event::DeviceCounters,
    fault::{Fault, FaultId, FaultReport},
};

/// Version of these messages; a request of another one is refused.
pub const VERSION: u32 = 1;
/// Longest line in either direction, its end included, bytes.
pub const MAX_LINE: usize = 64 << 10;
/// Most events of one request.
pub const MAX_COUNT: u32 = 1_000_000;

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Raise events. Answer: [`Reply::Raised`].
    Raise {
        /// Vector.
        #[serde(default)]
        vector: u32,
        /// How many, 1 to [`MAX_COUNT`].
        #[serde(default = "one")]
        count: u32,
        /// Payload of each, as UTF-8 bytes.
        #[serde(default)]
        payload: String,
    },
    /// The device's account. Answer: [`Reply::Counters`].
    Counters,
    /// Arm faults, all of them or none. Answer: [`Reply::Armed`].
    Arm {
        /// The faults, 1 or more.
        faults: Vec<Fault>,
    },
    /// The faults that are armed. Answer: [`Reply::Faults`].
    Faults,
    /// End all faults. Answer: [`Reply::Faults`], with what each did.
    ClearFaults,
}

const fn one() -> u32 {
    1
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reply {
    /// Events took their numbers.
    Raised {
        /// Number of the first. Where others raise events too, the numbers of
        /// one request need not follow each other.
        first_seq: u64,
        /// How many: fewer than asked for where the guest took no more.
        count: u32,
        /// How many of them were lost because the ring stayed full.
        ring_overflow: u32,
    },
    /// The device's account.
    Counters(DeviceCounters),
    /// Faults are armed.
    Armed {
        /// Their numbers, in order.
        ids: Vec<FaultId>,
    },
    /// The faults that are armed, or that were.
    Faults {
        /// Each with what it did, in order.
        faults: Vec<FaultReport>,
    },
    /// The request was not carried out.
    Failed {
        /// Why, in one line.
        error: String,
    },
}

/// A request with the version in front.
#[derive(Debug, Serialize, Deserialize)]
struct Versioned {
    irqbed: u32,
    #[serde(flatten)]
    request: Request,
}
