// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The words in which an event is asked for, and what is answered.

use irqbed_abi::ring::MAX_PAYLOAD;

use super::{Seq, Vector};
use crate::dma::DmaError;

/// What an event carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload<'a> {
    /// That many bytes of [`irqbed_abi::pattern`], which the receiver checks.
    Pattern(u32),
    /// These bytes.
    Bytes(&'a [u8]),
}

impl Payload<'_> {
    /// Length, bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Pattern(len) => *len as usize,
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// Length as the record says it.
    pub(super) fn checked_len(&self) -> Result<u32, RaiseError> {
        let len = u32::try_from(self.len()).ok();
        len.filter(|len| *len <= MAX_PAYLOAD)
            .ok_or(RaiseError::PayloadTooLong(self.len()))
    }

    /// Whether it carries nothing.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An event that took a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised {
    /// Its number.
    pub seq: Seq,
    /// How far it came.
    pub outcome: Outcome,
}

/// Events that took numbers one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Number of the first.
    pub first: Seq,
    /// Number of the last.
    pub last: Seq,
    /// How many of them found the ring or its payload area full and are lost.
    pub overflows: u32,
}

impl Burst {
    /// How many events they are.
    #[must_use]
    pub const fn events(&self) -> u32 {
        (self.last.get() - self.first.get()) as u32 + 1
    }

    /// The two as one, the other behind this one.
    pub(super) const fn and(self, behind: Self) -> Self {
        Self {
            first: self.first,
            last: behind.last,
            overflows: self.overflows + behind.overflows,
        }
    }
}

/// How far an event came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Its record is in the ring and its vector was signalled.
    Signalled,
    /// Its record is in the ring, but its vector is connected to nothing yet.
    Pending,
    /// The ring or its payload area was full; the event is lost, and its
    /// trace slot has no stamp.
    RingOverflow,
}

/// An event that could not be raised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RaiseError {
    /// The driver has not enabled the device.
    #[error(
        "the event device is not enabled: no driver has loaded in the guest, or it has unloaded"
    )]
    NotEnabled,
    /// The driver has not armed that ring.
    #[error("vector {0} has no armed ring: the driver does not use it")]
    NotArmed(Vector),
    /// A DMA access failed before; only a reset by the driver clears that.
    #[error("the event device has stopped after a failed DMA access: reload the driver")]
    DmaStopped,
    /// Longer than any payload may be.
    #[error("a payload of {0} bytes is too long: the most is {MAX_PAYLOAD}")]
    PayloadTooLong(usize),
    /// The event took a number, but could not be written to the guest.
    #[error("event {seq} is lost, and the event device has stopped")]
    Dma {
        /// Number of the event.
        seq: Seq,
        /// The access that failed.
        source: DmaError,
    },
}
