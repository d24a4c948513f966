// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An access to the guest's memory: where it begins, and what ends it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// An address of the guest's memory as devices see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GuestAddr(pub u64);

impl GuestAddr {
    /// The address `bytes` further, unless that overflows.
    #[must_use]
    pub const fn checked_add(self, bytes: u64) -> Option<Self> {
        match self.0.checked_add(bytes) {
            Some(sum) => Some(Self(sum)),
            None => None,
        }
    }
}

impl fmt::Display for GuestAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// Accesses that end together: see [`Dma::channel`](crate::Dma::channel).
#[derive(Debug)]
pub(crate) struct Channel {
    /// Resets of the function when it was opened.
    pub resets: u64,
    pub terminated: AtomicBool,
}

impl Channel {
    /// To be asked with the map's lock held, as it is set.
    pub fn is_ended(&self, resets: u64) -> bool {
        self.resets != resets || self.terminated.load(Ordering::Relaxed)
    }
}

/// Since when an access is under way: how often accesses were ended before it.
/// `None` where it has not begun.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct UnderWay(pub Option<u64>);

/// An access that is carried out later, and ends with those that began when it
/// did.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub(crate) since: UnderWay,
    pub(crate) channel: Option<Arc<Channel>>,
}
