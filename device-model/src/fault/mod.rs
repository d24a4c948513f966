// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults on demand: what hardware does wrong, at the bus of a function, so
//! that any device has them without knowing. Interrupts, accesses to registers
//! and DMA each ask the function's [`Faults`], which cost one load of a word
//! while none is armed.

pub mod catalogue;
mod delay;
mod delayed;
mod description;
mod dice;
mod error;
mod injector;
mod kind;
mod table;
mod text;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::{Deserialize, Serialize};

pub use delay::{Distribution, MAX_DELAY, parse as parse_duration};
pub use description::{DEFAULT_SEED, Fault, FaultBuilder, MAX_RATE, MAX_STORM};
pub use error::FaultError;
pub use kind::{Access, FaultKind, NAMES, Place, Registers, When};

pub(crate) use injector::Injector;
pub(crate) use table::{Decision, WriteDecision};

use self::{delayed::Delayed, table::Table};

/// Most faults that are armed at a time.
pub const MAX_FAULTS: usize = 64;

/// What is asked for at which part of the bus, as bits of one word.
pub(crate) mod site {
    /// Interrupts.
    pub const INTERRUPT: u32 = 1;
    /// Writes of the device to the guest's memory.
    pub const DMA: u32 = 1 << 1;
    /// Reads of registers.
    pub const READ: u32 = 1 << 2;
    /// Writes to registers.
    pub const WRITE: u32 = 1 << 3;
    /// Bursts of completions.
    pub const SWAP: u32 = 1 << 4;
    /// The function is gone.
    pub const REMOVED: u32 = 1 << 5;
    /// Something is under way that is late.
    pub const LATE: u32 = 1 << 6;
    /// The configuration space is to be reset by whoever has it.
    pub const CONFIG: u32 = 1 << 7;
}

/// Number of an armed fault, never used twice by a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultId(pub u32);

impl fmt::Display for FaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An armed fault, and what it has done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FaultReport {
    /// Its number.
    pub id: FaultId,
    /// What was armed.
    pub fault: Fault,
    /// How often it could have happened.
    pub opportunities: u64,
    /// How often it did.
    pub hits: u64,
}

/// The faults of one function. Clones speak of the same function; usable from
/// any thread, but not from a handler of the device itself.
///
/// Faults are asked in the order in which they were armed, and the first that
/// happens to an access or interrupt has its way; those behind it do not count
/// it as an opportunity. Stuck bits add up, and what happens to the whole
/// function counts every access.
///
/// # Example
/// ```
/// use device_model::{event::EventDevice, serve};
/// let (server, _for_qemu) = serve(EventDevice::new()?)?;
/// let faults = server.faults();
/// faults.arm("irq-lost:chance=0.1,vector=0".parse()?)?;
/// // ... the guest runs ...
/// for report in faults.clear() {
///     println!("{}: {} of {}", report.fault, report.hits, report.opportunities);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    /// Bits of [`site`]: all that is looked at while nothing is wrong.
    sites: AtomicU32,
    table: Mutex<Table>,
    later: Delayed,
    injector: OnceLock<Injector>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Faults {
    /// Arms a fault, which happens from now on.
    ///
    /// # Errors
    /// When the device has no such vector, BAR or register, or there are
    /// [`MAX_FAULTS`] already.
    pub fn arm(&self, fault: Fault) -> Result<FaultId, FaultError> {
        self.check(&[fault])?;
        let id = self.table().add(fault)?;
        self.refresh();
        self.begin(id, &fault);
        Ok(id)
    }

    /// Arms several, or none of them.
    ///
    /// # Errors
    /// As [`Faults::arm`].
    pub fn arm_all(&self, faults: &[Fault]) -> Result<Vec<FaultId>, FaultError> {
        self.check(faults)?;
        let ids = self.table().add_all(faults)?;
        self.refresh();
        for (id, fault) in ids.iter().zip(faults) {
            self.begin(*id, fault);
        }
        Ok(ids)
    }

    /// Whether the function can have these faults. Nothing is armed.
    ///
    /// # Errors
    /// As [`Faults::arm`].
    pub fn check(&self, faults: &[Fault]) -> Result<(), FaultError> {
        let injector = self.inner.injector.get().ok_or(FaultError::NoDevice)?;
        faults.iter().try_for_each(|fault| injector.check(fault))?;
        self.table().has_room(faults.len())
    }

    /// The faults that are armed, in order.
    #[must_use]
    pub fn list(&self) -> Vec<FaultReport> {
        self.table().reports()
    }

    /// Ends all faults, and says what they did. What was late arrives now, and
    /// a function that was gone comes back, as after power on.
    pub fn clear(&self) -> Vec<FaultReport> {
        let reports = self.table().take();
        self.refresh();
        if self.is_removed() {
            self.power_on();
        }
        self.deliver_late();
        reports
    }

    /// Whether the function is gone.
    #[must_use]
    pub fn is_removed(&self) -> bool {
        self.has(site::REMOVED)
    }

    /// Whether the device should let two completions that come at once on a
    /// vector change places; asked by the device where it could.
    #[must_use]
    pub fn swap(&self, vector: u32) -> bool {
        self.has(site::SWAP) && self.table().swap(vector)
    }

    /// Whether anything is armed at one of these [`site`]s. Nothing is ordered
    /// by it: a fault that is armed at this moment may happen to the next.
    pub(crate) fn has(&self, sites: u32) -> bool {
        self.inner.sites.load(Ordering::Relaxed) & sites != 0
    }

    /// Whether anything at all is not as usual.
    pub(crate) fn any(&self) -> bool {
        self.has(u32::MAX)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let table = self.inner.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the word follow the table.
    fn refresh(&self) {
        let table = self.table();
        let kept = site::REMOVED | site::LATE | site::CONFIG;
        let follow = |sites| Some(sites & kept | table.sites());
        let order = Ordering::AcqRel;
        let _ = self
            .inner
            .sites
            .fetch_update(order, Ordering::Acquire, follow);
    }

    fn set(&self, sites: u32) {
        self.inner.sites.fetch_or(sites, Ordering::AcqRel);
    }

    /// Unsets bits, and says whether one of them was set.
    fn unset(&self, sites: u32) -> bool {
        self.inner.sites.fetch_and(!sites, Ordering::AcqRel) & sites != 0
    }
}
