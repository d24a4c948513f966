// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a device of this project is to be: by which interrupts it can tell its driver,
//! what of its memory is mapped, how wide its addresses are. A command line writes it in
//! QEMU's style, `edu,irq=intx,dma_mask=0xffffffff`, a scenario by the same keys.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::Builtin;

/// The best kind of interrupt that a device offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Interrupts {
    /// A line.
    Intx,
    /// Messages without a table.
    Msi,
    /// Messages with a table.
    Msix,
}

/// The options of a device; `None` for as it is without them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DeviceOptions {
    /// The best kind of interrupt that it offers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub irq: Option<Interrupts>,
    /// Whether what its registers hold can be read from mapped memory too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mapped: Option<bool>,
    /// The bits of an address that it can drive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dma_mask: Option<u64>,
}

impl Interrupts {
    const ALL: [Self; 3] = [Self::Intx, Self::Msi, Self::Msix];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Intx => "intx",
            Self::Msi => "msi",
            Self::Msix => "msix",
        }
    }
}

impl fmt::Display for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl DeviceOptions {
    /// The options that a device has, in words.
    #[must_use]
    pub const fn of(device: Builtin) -> &'static str {
        match device {
            Builtin::Event => "irq=msix|msi",
            Builtin::Edu => "irq=msi|intx, mapped=on|off, dma_mask=MASK",
            Builtin::NicLite => "none",
        }
    }

    /// Makes sure that a device has what was set.
    ///
    /// # Errors
    /// What it has not, and its options.
    pub fn check(self, device: Builtin) -> Result<(), String> {
        let wrong = |option: String| {
            let has = Self::of(device);
            Err(format!("{option}: its options are: {has}"))
        };
        let irqs: &[Interrupts] = match device {
            Builtin::Event => &[Interrupts::Msix, Interrupts::Msi],
            Builtin::Edu => &[Interrupts::Msi, Interrupts::Intx],
            Builtin::NicLite => &[],
        };
        let is_edu = device == Builtin::Edu;
        match self {
            Self { irq: Some(irq), .. } if !irqs.contains(&irq) => wrong(format!("irq={irq}")),
            Self {
                mapped: Some(mapped),
                ..
            } if !is_edu => wrong(format!("mapped={mapped}")),
            Self {
                dma_mask: Some(mask),
                ..
            } if !is_edu => wrong(format!("dma_mask={mask:#x}")),
            _ => Ok(()),
        }
    }

    /// Sets one as `key=value`; `Ok(false)` for a key that is none.
    ///
    /// # Errors
    /// What the key takes.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, String> {
        match key {
            "irq" => {
                let mut all = Interrupts::ALL.into_iter();
                let found = all.find(|irq| irq.as_str() == value);
                self.irq = Some(found.ok_or("irq: give msix, msi or intx")?);
            }
            "mapped" => self.mapped = Some(switch(value).ok_or("mapped: give on or off")?),
            "dma_mask" | "dma-mask" => {
                let mask = number(value).ok_or("dma_mask: give a number, as 0xfffffff")?;
                self.dma_mask = Some(mask);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "true" => Some(true),
        "off" | "false" => Some(false),
        _ => None,
    }
}

/// A number as QEMU takes it: decimal, or hexadecimal behind `0x`.
#[must_use]
pub fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_its_own_options_and_no_others() {
        let with = |pairs: &[(&str, &str)]| {
            let mut options = DeviceOptions::default();
            for (key, value) in pairs {
                assert!(options.set(key, value).expect(value), "{key}");
            }
            options
        };
        let edu = with(&[("irq", "intx"), ("mapped", "on"), ("dma_mask", "0xffff")]);
        edu.check(Builtin::Edu).expect("its options");
        assert_eq!(edu.dma_mask, Some(0xffff));
        with(&[("irq", "msi")]).check(Builtin::Event).expect("one");
        for (device, pair) in [
            (Builtin::NicLite, ("irq", "intx")),
            (Builtin::Edu, ("irq", "msix")),
            (Builtin::Event, ("irq", "intx")),
            (Builtin::Event, ("mapped", "off")),
            (Builtin::NicLite, ("dma_mask", "1")),
        ] {
            let why = with(&[pair]).check(device).expect_err("not its own");
            assert!(
                why.starts_with(pair.0) && why.contains("options are"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_value_of_no_sense_is_answered_with_what_makes_sense() {
        let why = |key, value| DeviceOptions::default().set(key, value).expect_err("none");
        assert!(why("irq", "smoke").contains("msix, msi or intx"));
        assert!(why("mapped", "2").contains("on or off"));
        assert!(why("dma_mask", "0xg").contains("number"));
        assert_eq!(DeviceOptions::default().set("speed", "1"), Ok(false));
    }
}
