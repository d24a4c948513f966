// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults on demand: what hardware does wrong, at the bus of a function, so
//! that any device has them without knowing. They are a [hook](irqbed_pci::hook)
//! of the function, which is asked while one is armed.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod armed;
pub mod catalogue;
mod delay;
mod delayed;
mod description;
mod dice;
mod error;
mod injector;
mod kind;
mod text;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

pub use delay::{Distribution, MAX_DELAY, parse as parse_duration};
pub use description::{DEFAULT_SEED, Fault, FaultBuilder, MAX_RATE, MAX_STORM};
pub use error::FaultError;
pub use kind::{Access, FaultKind, NAMES, Place, Registers, When};

use self::{armed::Table, delayed::Delayed};
use irqbed_pci::{
    device::Bus,
    hook::{HookedFunction, Hooks},
    server::{Function, ServerHandle},
};

/// Most faults that are armed at a time.
pub const MAX_FAULTS: usize = 64;

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
/// use irqbed_fault::FaultInjection;
/// use irqbed_pci::{DeviceSpec, Identity, IntxPin, PciDevice, serve};
///
/// struct Card;
///
/// impl PciDevice for Card {
///     fn spec(&self) -> DeviceSpec {
///         DeviceSpec::new(Identity::new(0x1bed, 1)).intx(IntxPin::A)
///     }
/// }
///
/// let (server, _for_qemu) = serve(Card)?;
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
    function: Arc<HookedFunction>,
    table: Mutex<Table>,
    later: Delayed,
}

/// What has faults.
pub trait FaultInjection {
    /// What goes wrong with the function. Nothing can where it has a hook of another
    /// kind.
    #[must_use]
    fn faults(&self) -> Faults;
}

impl FaultInjection for Hooks {
    fn faults(&self) -> Faults {
        let faults = self.get_or_attach(Faults::new);
        faults.cloned().unwrap_or_default()
    }
}

impl FaultInjection for Bus {
    fn faults(&self) -> Faults {
        self.hooks.faults()
    }
}

impl FaultInjection for Function {
    fn faults(&self) -> Faults {
        self.hooks().faults()
    }
}

impl FaultInjection for ServerHandle {
    fn faults(&self) -> Faults {
        self.hooks().faults()
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

impl Faults {
    fn new(function: &Arc<HookedFunction>) -> Self {
        Self {
            inner: Arc::new(Inner {
                function: Arc::clone(function),
                ..Inner::default()
            }),
        }
    }

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
        let function = self.function();
        if !function.is_attached() {
            return Err(FaultError::NoDevice);
        }
        faults
            .iter()
            .try_for_each(|fault| injector::check(function, fault))?;
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
        self.function().is_removed()
    }

    fn function(&self) -> &HookedFunction {
        &self.inner.function
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        let table = self.inner.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }

    /// The hook is asked where the table has something.
    fn refresh(&self) {
        let table = self.table();
        self.function().ask_at(table.sites());
    }
}
