// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text of a fault: what is not said is as it is where nothing is said.

use std::fmt;

use irqbed_pci::BarIndex;

use crate::{
    delay::{Distribution, MAX_DELAY, Written},
    description::{DEFAULT_SEED, Fault, Hex},
    kind::{FaultKind, Place, Registers, When},
};

/// Writes pairs behind a kind: the first behind a colon, the others behind
/// commas.
struct Pairs<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    first: bool,
}

impl Pairs<'_, '_> {
    fn pair(&mut self, key: &str, value: impl fmt::Display) -> fmt::Result {
        let before = if self.first { ':' } else { ',' };
        self.first = false;
        write!(self.f, "{before}{key}={value}")
    }

    fn some(&mut self, key: &str, value: Option<impl fmt::Display>) -> fmt::Result {
        value.map_or(Ok(()), |value| self.pair(key, value))
    }

    fn distribution(&mut self, delay: &Distribution) -> fmt::Result {
        let (min, max) = match delay {
            Distribution::Constant(mean) => return self.pair("mean", Written(*mean)),
            Distribution::Uniform { min, max } => {
                self.pair("distribution", delay.name())?;
                self.some("min", (!min.is_zero()).then_some(Written(*min)))?;
                return self.pair("max", Written(*max));
            }
            Distribution::Exponential { mean, min, max } => {
                self.pair("mean", Written(*mean))?;
                self.pair("distribution", delay.name())?;
                (min, max)
            }
            Distribution::LogNormal {
                mean,
                sigma,
                min,
                max,
            } => {
                self.pair("mean", Written(*mean))?;
                self.pair("distribution", delay.name())?;
                self.pair("sigma", sigma)?;
                (min, max)
            }
        };
        self.some("min", (!min.is_zero()).then_some(Written(*min)))?;
        self.some("max", (*max != MAX_DELAY).then_some(Written(*max)))
    }

    fn kind(&mut self, kind: &FaultKind) -> fmt::Result {
        match kind {
            FaultKind::IrqLost | FaultKind::CompletionsSwapped => Ok(()),
            FaultKind::IrqDuplicated { gap } => self.pair("gap", Written(*gap)),
            FaultKind::IrqDelayed { delay } => self.distribution(delay),
            FaultKind::IrqSpurious { rate } => self.some("rate", *rate),
            FaultKind::IrqStorm { interrupts, rate } => {
                self.pair("interrupts", interrupts)?;
                self.pair("rate", rate)
            }
            FaultKind::IrqMisrouted { to } => self.some("to", *to),
            FaultKind::ReadsOnes(Registers { bar, offset, size }) => {
                self.some("bar", bar.map(BarIndex::get))?;
                self.some("offset", (*offset != 0).then_some(Hex(*offset)))?;
                self.some("size", size.map(Hex))
            }
            FaultKind::BitsStuck {
                bar,
                offset,
                mask,
                value,
            } => {
                self.pair("bar", bar.get())?;
                self.pair("offset", Hex(*offset))?;
                self.pair("mask", Hex(*mask))?;
                self.pair("value", Hex(*value))
            }
            FaultKind::DmaTorn {
                bytes,
                rest,
                length,
            } => {
                self.pair("bytes", bytes)?;
                self.some("rest", rest.map(Written))?;
                self.some("length", *length)
            }
            FaultKind::DmaLate { delay, length } => {
                self.distribution(delay)?;
                self.some("length", *length)
            }
            FaultKind::DmaMisplaced { place, length } => {
                match place {
                    Place::Page(offset) => self.pair("offset", offset)?,
                    Place::Anywhere(offset) => {
                        self.pair("offset", offset)?;
                        self.pair("place", "anywhere")?;
                    }
                    Place::Outside => self.pair("place", "outside")?,
                }
                self.some("length", *length)
            }
            FaultKind::DmaCorrupted { bits, length } => {
                self.pair("bits", bits)?;
                self.some("length", *length)
            }
            FaultKind::DmaFailed { length } => self.some("length", *length),
            FaultKind::Removed(when) | FaultKind::Returned(when) | FaultKind::Reset(when) => {
                match when {
                    When::In(delay) => {
                        self.some("delay", (!delay.is_zero()).then_some(Written(*delay)))
                    }
                    When::At(access) => self.pair("when", access.name()),
                }
            }
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        let mut pairs = Pairs { f, first: true };
        pairs.kind(&self.kind)?;
        pairs.some("vector", self.vector)?;
        let often = (self.chance - 1.0).abs() >= f64::EPSILON;
        pairs.some("chance", often.then_some(self.chance))?;
        pairs.some("after", (self.after != 0).then_some(self.after))?;
        let limited = self.count != Self::default_count(&self.kind);
        pairs.some("count", self.count.filter(|_| limited))?;
        pairs.some("seed", (self.seed != DEFAULT_SEED).then_some(self.seed))
    }
}
