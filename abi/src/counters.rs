// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver's counters: its part of the account that every run closes with.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The driver's counters since it was loaded.
///
/// One event makes one delivery per subscriber by unicast, one by broadcast.
/// Each delivery ends in exactly one of `sent`, `socket_full`, `queue_full`,
/// `listener_gone`, `no_memory`; an event that nobody asked for counts once in
/// `no_listener`.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[cfg_attr(feature = "control", derive(serde::Serialize, serde::Deserialize))]
pub struct Counters {
    /// Interrupts taken.
    pub interrupts: u64,
    /// Interrupts that found no new record: an earlier one had brought it, or
    /// the device had none to bring.
    pub merged_interrupts: u64,
    /// Records taken from the rings.
    pub events: u64,
    /// Deliveries the kernel accepted.
    pub sent: u64,
    /// Events that no listener was there for.
    pub no_listener: u64,
    /// Deliveries dropped because the listener's socket was full.
    pub socket_full: u64,
    /// Deliveries to a listener that had just gone.
    pub listener_gone: u64,
    /// Deliveries that found no memory.
    pub no_memory: u64,
    /// Records that made no sense (payload outside its area, slot out of
    /// range) and were dropped.
    pub bad_record: u64,
    /// Requests refused: unknown, malformed, or not permitted.
    pub bad_request: u64,
    /// Listeners that died without unsubscribing and were forgotten.
    pub listeners_forgotten: u64,
    /// Subscribers by unicast, and files with a queue, right now.
    pub subscribers: u64,
    /// Deliveries dropped because the queue of the listener's file was full.
    #[cfg_attr(feature = "control", serde(default))]
    pub queue_full: u64,
    /// Events cut short for a reader whose buffer had no room for them.
    #[cfg_attr(feature = "control", serde(default))]
    pub truncated: u64,
    /// Replies of processes that were passed on to the device.
    #[cfg_attr(feature = "control", serde(default))]
    pub replies: u64,
    /// Replies refused: malformed, not permitted, of a slot that does not
    /// exist or speaks of another event, or with no device to take them.
    #[cfg_attr(feature = "control", serde(default))]
    pub bad_reply: u64,
    /// Times that the watchdog took records that no interrupt had announced, or
    /// armed a ring anew because of a record that never became complete.
    #[cfg_attr(feature = "control", serde(default))]
    pub rescues: u64,
    /// Times that the device was set up anew: it had been reset, had stopped,
    /// or had been gone.
    #[cfg_attr(feature = "control", serde(default))]
    pub recoveries: u64,
    /// Records that never became complete, and were passed over.
    #[cfg_attr(feature = "control", serde(default))]
    pub missing_record: u64,
}

layout!(Counters, 152, {
    interrupts: 0,
    merged_interrupts: 8,
    events: 16,
    sent: 24,
    no_listener: 32,
    socket_full: 40,
    listener_gone: 48,
    no_memory: 56,
    bad_record: 64,
    bad_request: 72,
    listeners_forgotten: 80,
    subscribers: 88,
    queue_full: 96,
    truncated: 104,
    replies: 112,
    bad_reply: 120,
    rescues: 128,
    recoveries: 136,
    missing_record: 144,
});
