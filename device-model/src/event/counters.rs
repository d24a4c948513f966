// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account of the first leg, what the device raised and what became of
//! it there, and of the last one, what came back.

/// The device's part of the account, since it was made; no reset clears it.
///
/// `raised = published + ring_overflow + dma_errors`, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeviceCounters {
    /// Events that took a number.
    pub raised: u64,
    /// Events whose record was handed to the driver.
    pub published: u64,
    /// Events dropped because the ring or its payload area was full.
    pub ring_overflow: u64,
    /// Events dropped because guest memory could not be written.
    pub dma_errors: u64,
    /// Events that the driver raised itself; counted above as well.
    pub self_raised: u64,
    /// Published events whose vector was connected to nothing: they lie in
    /// the ring, and the interrupt follows when the vector is connected.
    pub unsignalled: u64,
    /// Published events that the driver did not consume before their ring was
    /// armed again, and those in the rings of a device that was reset. A driver
    /// that finds these in its memory may still take them: then they no longer
    /// count here.
    #[serde(default)]
    pub discarded: u64,
    /// Replies of the guest to events.
    #[serde(default)]
    pub replies: u64,
    /// Writes to the doorbell that replied to no event, or to one that was
    /// replied to before.
    #[serde(default)]
    pub unknown_replies: u64,
}

impl DeviceCounters {
    /// What was counted after `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            raised: self.raised.saturating_sub(earlier.raised),
            published: self.published.saturating_sub(earlier.published),
            ring_overflow: self.ring_overflow.saturating_sub(earlier.ring_overflow),
            dma_errors: self.dma_errors.saturating_sub(earlier.dma_errors),
            self_raised: self.self_raised.saturating_sub(earlier.self_raised),
            unsignalled: self.unsignalled.saturating_sub(earlier.unsignalled),
            discarded: self.discarded.saturating_sub(earlier.discarded),
            replies: self.replies.saturating_sub(earlier.replies),
            unknown_replies: self.unknown_replies.saturating_sub(earlier.unknown_replies),
        }
    }
}
