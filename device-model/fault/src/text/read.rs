// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A fault from its text.

use std::{str::FromStr, time::Duration};

use super::{EACH, own_keys};
use irqbed_pci::BarIndex;

use crate::{
    delay::{self, Distribution, MAX_DELAY},
    description::Fault,
    error::FaultError,
    kind::{Access, FaultKind, NAMES, Place, Registers, When},
};

/// How long a write or an interrupt is late that is only said to be.
const LATE: Duration = Duration::from_millis(1);
/// How long the second of two interrupts comes after the first.
const GAP: Duration = Duration::from_micros(100);
/// Deviation of the logarithm of delays.
const SIGMA: f64 = 0.5;

/// What is behind the colon, taken key by key.
struct Keys<'a> {
    kind: &'static str,
    pairs: Vec<(&'a str, &'a str)>,
}

impl<'a> Keys<'a> {
    fn new(kind: &'static str, text: &'a str) -> Result<Self, FaultError> {
        let keys: Vec<_> = own_keys(kind)
            .into_iter()
            .chain(EACH.iter().copied())
            .collect();
        let takes = || keys.join(", ");
        let mut pairs: Vec<(&str, &str)> = Vec::new();
        for pair in text.split(',').map(str::trim) {
            let Some((key, value)) = pair.split_once('=') else {
                let text = pair.to_owned();
                let takes = takes();
                return Err(FaultError::NoPair { kind, text, takes });
            };
            let key_owned = || key.to_owned();
            if !keys.contains(&key) {
                let (key, takes) = (key_owned(), takes());
                return Err(FaultError::NoKey { kind, key, takes });
            }
            if pairs.iter().any(|(known, _)| *known == key) {
                let key = key_owned();
                return Err(FaultError::Twice { kind, key });
            }
            pairs.push((key, value));
        }
        Ok(Self { kind, pairs })
    }

    fn get(&self, key: &str) -> Option<&'a str> {
        let found = self.pairs.iter().find(|(known, _)| *known == key);
        found.map(|(_, value)| *value)
    }

    fn bad(&self, key: &'static str, value: &str, give: &str) -> FaultError {
        FaultError::Value {
            kind: self.kind,
            key,
            value: value.to_owned(),
            give: give.to_owned(),
        }
    }

    /// What a key says, read by `read`.
    fn read<T>(
        &self,
        key: &'static str,
        give: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, FaultError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| self.bad(key, value, give))
    }

    fn needed<T>(
        &self,
        key: &'static str,
        give: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, FaultError> {
        let kind = self.kind;
        self.read(key, &format!("give {give}"), read)?
            .ok_or(FaultError::Missing { kind, key, give })
    }

    fn number<T: TryFrom<u64>>(&self, key: &'static str) -> Result<Option<T>, FaultError> {
        let read = |text: &str| T::try_from(unsigned(text)?).ok();
        self.read(key, "give a whole number, 0 or more", read)
    }

    fn duration(&self, key: &'static str) -> Result<Option<Duration>, FaultError> {
        self.read(key, GIVE_DURATION, delay::parse)
    }

    fn distribution(&self) -> Result<Distribution, FaultError> {
        let (mean, min, max) = (
            self.duration("mean")?,
            self.duration("min")?,
            self.duration("max")?,
        );
        let sigma = self.read("sigma", "give a number above 0, at most 4", |text| {
            text.parse::<f64>().ok()
        })?;
        let name = self.get("distribution").unwrap_or("constant");
        let unused = |unused: &[&'static str]| {
            let given = unused.iter().find_map(|key| Some((*key, self.get(key)?)));
            match given {
                Some((key, value)) => {
                    let give = format!("distribution={name} does not have it: leave it out");
                    Err(self.bad(key, value, &give))
                }
                None => Ok(()),
            }
        };
        let needs_mean = || mean.unwrap_or(LATE);
        let limits = (min.unwrap_or_default(), max.unwrap_or(MAX_DELAY));
        match name {
            "constant" => {
                unused(&["min", "max", "sigma"])?;
                Ok(Distribution::Constant(needs_mean()))
            }
            "uniform" => {
                unused(&["mean", "sigma"])?;
                let max = max.ok_or(FaultError::Missing {
                    kind: self.kind,
                    key: "max",
                    give: "the longest delay, as max=200us",
                })?;
                let min = limits.0;
                Ok(Distribution::Uniform { min, max })
            }
            "exponential" => {
                unused(&["sigma"])?;
                let (min, max) = limits;
                let mean = needs_mean();
                Ok(Distribution::Exponential { mean, min, max })
            }
            "lognormal" => Ok(Distribution::LogNormal {
                mean: needs_mean(),
                sigma: sigma.unwrap_or(SIGMA),
                min: limits.0,
                max: limits.1,
            }),
            other => Err(self.bad(
                "distribution",
                other,
                "give constant, uniform, exponential or lognormal",
            )),
        }
    }

    fn bar(&self) -> Result<Option<BarIndex>, FaultError> {
        self.read("bar", "give 0 to 5", |text| {
            BarIndex::new(text.parse().ok()?)
        })
    }

    fn when(&self) -> Result<When, FaultError> {
        let delay = self.duration("delay")?;
        match self.get("when") {
            None | Some("now") => Ok(When::In(delay.unwrap_or_default())),
            Some(name) => {
                let found = Access::ALL.iter().find(|(known, _)| *known == name);
                let give = "give now, interrupt, dma, read or write";
                let (_, access) = found.ok_or_else(|| self.bad("when", name, give))?;
                match self.get("delay") {
                    Some(delay) => Err(self.bad(
                        "delay",
                        delay,
                        &format!("it happens at when={name}: leave one of them out"),
                    )),
                    None => Ok(When::At(*access)),
                }
            }
        }
    }

    fn place(&self) -> Result<Place, FaultError> {
        let offset = self.read("offset", "give bytes, as 64, -32 or 0x1000", signed)?;
        let need = offset.ok_or(FaultError::Missing {
            kind: self.kind,
            key: "offset",
            give: "how many bytes from the right place, as offset=64, or place=outside",
        });
        match self.get("place") {
            None | Some("page") => need.map(Place::Page),
            Some("anywhere") => need.map(Place::Anywhere),
            Some("outside") => match self.get("offset") {
                Some(offset) => Err(self.bad(
                    "offset",
                    offset,
                    "outside of all memory is one place: leave it out",
                )),
                None => Ok(Place::Outside),
            },
            Some(other) => Err(self.bad("place", other, "give page, anywhere or outside")),
        }
    }

    fn kind(&self) -> Result<FaultKind, FaultError> {
        let length = || self.number("length");
        let rate = || {
            self.read("rate", "give interrupts a second", |text| {
                text.parse::<f64>().ok()
            })
        };
        Ok(match self.kind {
            "irq-lost" => FaultKind::IrqLost,
            "irq-duplicated" => FaultKind::IrqDuplicated {
                gap: self.duration("gap")?.unwrap_or(GAP),
            },
            "irq-delayed" => FaultKind::IrqDelayed {
                delay: self.distribution()?,
            },
            "irq-spurious" => FaultKind::IrqSpurious { rate: rate()? },
            "irq-storm" => FaultKind::IrqStorm {
                interrupts: self.number("interrupts")?.unwrap_or(1000),
                rate: rate()?.unwrap_or(10_000.0),
            },
            "irq-misrouted" => FaultKind::IrqMisrouted {
                to: self.number("to")?,
            },
            "reads-ones" => FaultKind::ReadsOnes(Registers {
                bar: self.bar()?,
                offset: self.number("offset")?.unwrap_or(0),
                size: self.number("size")?,
            }),
            "bits-stuck" => FaultKind::BitsStuck {
                bar: self.bar()?.unwrap_or(BarIndex::BAR0),
                offset: self.needed("offset", "where the register lies, as 0x10", unsigned)?,
                mask: self.needed("mask", "the bits that are stuck, as 0x1", unsigned)?,
                value: self.needed("value", "what they are stuck at, as 0x1", unsigned)?,
            },
            "dma-torn" => FaultKind::DmaTorn {
                bytes: self.needed("bytes", "how many bytes arrive at once, as 8", |text| {
                    unsigned(text)?.try_into().ok()
                })?,
                rest: match self.get("rest") {
                    Some("never") => None,
                    _ => self.read(
                        "rest",
                        "give never, or a time with its unit, as 1ms",
                        delay::parse,
                    )?,
                },
                length: length()?,
            },
            "dma-late" => FaultKind::DmaLate {
                delay: self.distribution()?,
                length: length()?,
            },
            "dma-misplaced" => FaultKind::DmaMisplaced {
                place: self.place()?,
                length: length()?,
            },
            "dma-corrupted" => FaultKind::DmaCorrupted {
                bits: self.number("bits")?.unwrap_or(1),
                length: length()?,
            },
            "dma-failed" => FaultKind::DmaFailed { length: length()? },
            "completions-swapped" => FaultKind::CompletionsSwapped,
            "removed" => FaultKind::Removed(self.when()?),
            "returned" => FaultKind::Returned(self.when()?),
            _ => FaultKind::Reset(self.when()?),
        })
    }
}

const GIVE_DURATION: &str = "give a time with its unit, at most 60s, as 200us";

/// A number, decimal or hexadecimal.
fn unsigned(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        None if !text.starts_with('+') => text.parse().ok(),
        _ => None,
    }
}

/// The same, also below 0.
fn signed(text: &str) -> Option<i64> {
    match text.strip_prefix('-') {
        Some(digits) => 0_i64.checked_sub(unsigned(digits)?.try_into().ok()?),
        None => unsigned(text)?.try_into().ok(),
    }
}

impl FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let text = text.trim();
        let (name, pairs) = match text.split_once(':') {
            Some((name, pairs)) => (name, Some(pairs)),
            None => (text, None),
        };
        let known = NAMES.iter().find(|known| **known == name);
        let kind = *known.ok_or_else(|| FaultError::NoKind {
            kind: name.to_owned(),
        })?;
        let keys = match pairs {
            Some(pairs) => Keys::new(kind, pairs)?,
            None => Keys {
                kind,
                pairs: Vec::new(),
            },
        };
        let mut fault = Self::new(keys.kind()?);
        let chance = keys.read("chance", "give a number above 0, at most 1", |text| {
            text.parse::<f64>().ok()
        })?;
        if let Some(chance) = chance {
            fault = fault.chance(chance);
        }
        if let Some(after) = keys.number("after")? {
            fault = fault.after(after);
        }
        if let Some(count) = keys.number("count")? {
            fault = fault.count(count);
        }
        if let Some(seed) = keys.number("seed")? {
            fault = fault.seed(seed);
        }
        if let Some(vector) = keys.number("vector")? {
            fault = fault.vector(vector);
        }
        fault.build()
    }
}
