// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One fault as it is asked for: its kind, and how often it happens.

use super::{
    delay::{Distribution, MAX_DELAY, Written},
    error::FaultError,
    kind::{FaultKind, Place, Registers, When},
};

/// The seed of a fault that is given none.
pub const DEFAULT_SEED: u64 = 1;
/// Most interrupts a second of a fault's own.
pub const MAX_RATE: f64 = 1e6;
/// Most interrupts of a storm.
pub const MAX_STORM: u32 = 1_000_000;
/// Bytes of the page that [`Place::Page`] speaks of.
pub(super) const PAGE: i64 = 4096;

/// A fault that can be [armed](super::Faults::arm). Its text form, which
/// [`Display`](std::fmt::Display) writes and [`FromStr`](std::str::FromStr)
/// reads, is `KIND:KEY=VALUE,...`.
///
/// # Example
/// ```
/// use irqbed_fault::{Fault, FaultKind};
/// let lost: Fault = "irq-lost:chance=0.1,seed=7".parse()?;
/// let same = Fault::new(FaultKind::IrqLost).chance(0.1).seed(7).build()?;
/// assert_eq!(lost, same);
/// let error = "irq-lost:chance=2".parse::<Fault>().unwrap_err();
/// assert_eq!(error.to_string(), "irq-lost: chance=2: give a number above 0, at most 1");
/// # Ok::<(), irqbed_fault::FaultError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub(super) kind: FaultKind,
    pub(super) chance: f64,
    pub(super) after: u64,
    pub(super) count: Option<u64>,
    pub(super) seed: u64,
    pub(super) vector: Option<u32>,
}

impl Fault {
    /// Begins to describe a fault that happens at each opportunity.
    #[expect(
        clippy::new_ret_no_self,
        reason = "a description is checked at its end"
    )]
    pub const fn new(kind: FaultKind) -> FaultBuilder {
        FaultBuilder(Self {
            kind,
            chance: 1.0,
            after: 0,
            count: Self::default_count(&kind),
            seed: DEFAULT_SEED,
            vector: None,
        })
    }

    /// A function is not removed twice.
    pub(super) const fn default_count(kind: &FaultKind) -> Option<u64> {
        match kind.when() {
            Some(_) => Some(1),
            None => None,
        }
    }

    /// What goes wrong.
    #[must_use]
    pub const fn kind(&self) -> &FaultKind {
        &self.kind
    }

    /// How likely it is at each opportunity, above 0 and at most 1.
    #[must_use]
    pub const fn chance(&self) -> f64 {
        self.chance
    }

    /// Opportunities at the begin that are let pass.
    #[must_use]
    pub const fn after(&self) -> u64 {
        self.after
    }

    /// Most times that it happens; `None` for no limit.
    #[must_use]
    pub const fn count(&self) -> Option<u64> {
        self.count
    }

    /// What its chances are thrown from.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// The only vector that has it; `None` for all.
    #[must_use]
    pub const fn vector(&self) -> Option<u32> {
        self.vector
    }
}

/// A fault that is being described.
#[derive(Debug, Clone, Copy)]
#[must_use]
pub struct FaultBuilder(Fault);

impl FaultBuilder {
    /// How likely it is at each opportunity, above 0 and at most 1.
    pub const fn chance(mut self, chance: f64) -> Self {
        self.0.chance = chance;
        self
    }

    /// Lets the first opportunities pass.
    pub const fn after(mut self, opportunities: u64) -> Self {
        self.0.after = opportunities;
        self
    }

    /// Happens so often at most.
    pub const fn count(mut self, hits: u64) -> Self {
        self.0.count = Some(hits);
        self
    }

    /// Throws its chances from another seed than [`DEFAULT_SEED`].
    pub const fn seed(mut self, seed: u64) -> Self {
        self.0.seed = seed;
        self
    }

    /// Happens on one vector alone.
    pub const fn vector(mut self, vector: u32) -> Self {
        self.0.vector = Some(vector);
        self
    }

    /// Ends the description.
    ///
    /// # Errors
    /// Names the first key that makes no sense, and what would do.
    pub fn build(self) -> Result<Fault, FaultError> {
        let fault = self.0;
        fault.check()?;
        Ok(fault)
    }
}

impl Fault {
    fn check(&self) -> Result<(), FaultError> {
        let Self { kind, .. } = self;
        let chance = self.chance;
        self.ensure("chance", chance, chance > 0.0 && chance <= 1.0, || {
            "give a number above 0, at most 1".to_owned()
        })?;
        if let Some(count) = self.count {
            self.ensure("count", count, count > 0, || {
                "give 1 or more, or leave it out".to_owned()
            })?;
        }
        if let Some(vector) = self.vector {
            self.ensure("vector", vector, kind.is_of_a_vector(), || {
                "it is of no vector: leave it out".to_owned()
            })?;
        }
        if kind.is_single() {
            self.check_single()?;
        }
        self.check_kind()
    }

    fn check_single(&self) -> Result<(), FaultError> {
        let give = || match self.kind {
            FaultKind::IrqSpurious { .. } => {
                "it happens once, at once: leave it out, or give rate=HZ".to_owned()
            }
            _ => "it happens once, at its time: leave it out, or give when=interrupt, dma, read \
                  or write"
                .to_owned(),
        };
        let chance = self.chance;
        self.ensure("chance", chance, (chance - 1.0).abs() < f64::EPSILON, give)?;
        self.ensure("after", self.after, self.after == 0, give)?;
        match self.count {
            Some(count) => self.ensure("count", count, count == 1, give),
            None => Ok(()),
        }
    }

    fn check_kind(&self) -> Result<(), FaultError> {
        match self.kind {
            FaultKind::IrqLost | FaultKind::CompletionsSwapped => Ok(()),
            FaultKind::IrqDuplicated { gap } => {
                self.ensure("gap", Written(gap), gap <= MAX_DELAY, at_most_max_delay)
            }
            FaultKind::IrqDelayed { delay } => self.check_delay(&delay),
            FaultKind::IrqSpurious { rate: None } => Ok(()),
            FaultKind::IrqSpurious { rate: Some(rate) } => self.check_rate(rate),
            FaultKind::IrqStorm { interrupts, rate } => {
                let fits = (1..=MAX_STORM).contains(&interrupts);
                self.ensure("interrupts", interrupts, fits, || {
                    format!("give 1 to {MAX_STORM}")
                })?;
                self.check_rate(rate)
            }
            FaultKind::IrqMisrouted { to } => match to {
                Some(to) => self.ensure("to", to, self.vector != Some(to), || {
                    "it is the vector itself: give another one".to_owned()
                }),
                None => Ok(()),
            },
            FaultKind::ReadsOnes(Registers { offset, size, .. }) => match size {
                Some(size) => {
                    let fits = size > 0 && offset.checked_add(size).is_some();
                    self.ensure("size", size, fits, || {
                        "give 1 or more bytes, or leave it out".to_owned()
                    })
                }
                None => Ok(()),
            },
            FaultKind::BitsStuck { mask, value, .. } => {
                self.ensure("mask", Hex(mask), mask != 0, || {
                    "give the bits that are stuck".to_owned()
                })?;
                self.ensure("value", Hex(value), value & !mask == 0, || {
                    format!("give no bit that is not in the mask {mask:#x}")
                })
            }
            FaultKind::DmaTorn {
                bytes,
                rest,
                length,
            } => {
                self.ensure("bytes", bytes, bytes > 0, || {
                    "give how many bytes arrive at once, 1 or more".to_owned()
                })?;
                if let Some(rest) = rest {
                    self.ensure("rest", Written(rest), rest <= MAX_DELAY, at_most_max_delay)?;
                }
                self.check_length(length)?;
                match length {
                    Some(length) => self.ensure("length", length, length > bytes, || {
                        format!("of such writes no rest is left: give more than {bytes}")
                    }),
                    None => Ok(()),
                }
            }
            FaultKind::DmaLate { delay, length } => {
                self.check_delay(&delay)?;
                self.check_length(length)
            }
            FaultKind::DmaMisplaced { place, length } => {
                self.check_place(place)?;
                self.check_length(length)
            }
            FaultKind::DmaCorrupted { bits, length } => {
                self.ensure("bits", bits, (1..=64).contains(&bits), || {
                    "give 1 to 64".to_owned()
                })?;
                self.check_length(length)
            }
            FaultKind::DmaFailed { length } => self.check_length(length),
            FaultKind::Removed(when) | FaultKind::Returned(when) | FaultKind::Reset(when) => {
                match when {
                    When::In(delay) => self.ensure(
                        "delay",
                        Written(delay),
                        delay <= MAX_DELAY,
                        at_most_max_delay,
                    ),
                    When::At(_) => Ok(()),
                }
            }
        }
    }

    fn check_delay(&self, delay: &Distribution) -> Result<(), FaultError> {
        match *delay {
            Distribution::Constant(mean) => {
                self.ensure("mean", Written(mean), mean <= MAX_DELAY, at_most_max_delay)
            }
            Distribution::Uniform { min, max } => {
                self.ensure("max", Written(max), max <= MAX_DELAY, at_most_max_delay)?;
                self.ensure("max", Written(max), max > min, || {
                    format!("give more than min={}", Written(min))
                })
            }
            Distribution::Exponential { mean, min, max } => self.check_mean(mean, min, max),
            Distribution::LogNormal {
                mean,
                sigma,
                min,
                max,
            } => {
                self.check_mean(mean, min, max)?;
                self.ensure("sigma", sigma, sigma > 0.0 && sigma <= 4.0, || {
                    "give a number above 0, at most 4".to_owned()
                })
            }
        }
    }

    fn check_mean(
        &self,
        mean: std::time::Duration,
        min: std::time::Duration,
        max: std::time::Duration,
    ) -> Result<(), FaultError> {
        self.ensure("mean", Written(mean), !mean.is_zero(), || {
            "give more than nothing".to_owned()
        })?;
        self.ensure("max", Written(max), max <= MAX_DELAY, at_most_max_delay)?;
        let inside = (min..=max).contains(&mean);
        self.ensure("mean", Written(mean), inside, || {
            format!(
                "give something from min={} to max={}",
                Written(min),
                Written(max)
            )
        })
    }

    fn check_rate(&self, rate: f64) -> Result<(), FaultError> {
        self.ensure("rate", rate, (0.01..=MAX_RATE).contains(&rate), || {
            format!("give interrupts a second, from 0.01 to {MAX_RATE}")
        })
    }

    fn check_length(&self, length: Option<u32>) -> Result<(), FaultError> {
        match length {
            Some(length) => self.ensure("length", length, length > 0, || {
                "give 1 or more bytes, or leave it out".to_owned()
            }),
            None => Ok(()),
        }
    }

    fn check_place(&self, place: Place) -> Result<(), FaultError> {
        match place {
            Place::Page(offset) => self.ensure("offset", offset, offset % PAGE != 0, || {
                format!("give bytes that are no multiple of a page's {PAGE}, or place=anywhere")
            }),
            Place::Anywhere(offset) => self.ensure("offset", offset, offset != 0, || {
                "give another place than the right one".to_owned()
            }),
            Place::Outside => Ok(()),
        }
    }

    fn ensure(
        &self,
        key: &'static str,
        value: impl ToString,
        holds: bool,
        give: impl FnOnce() -> String,
    ) -> Result<(), FaultError> {
        if holds {
            return Ok(());
        }
        Err(FaultError::Value {
            kind: self.kind.name(),
            key,
            value: value.to_string(),
            give: give(),
        })
    }
}

fn at_most_max_delay() -> String {
    format!("give at most {}", Written(MAX_DELAY))
}

/// A number as registers have it.
pub(super) struct Hex(pub u64);

impl std::fmt::Display for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}
