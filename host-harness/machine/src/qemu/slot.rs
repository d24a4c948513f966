// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ports of a machine that a device can be plugged into while its guest runs,
//! and their names in QEMU.

use serde_json::{Value, json};

/// Device number of the first port on the root bus; the others follow. Devices
/// that are there from the start are numbered from 1 on, with ports and without.
const FIRST: u32 = 0x10;
/// Last device number of the root bus that a device may have from the start; those above
/// are the ports', and the machine's own.
pub const LAST_SLOT: u8 = 15;
/// Functions of a slot.
pub const FUNCTIONS: u8 = 8;
/// How many devices can be held.
pub const HOLDS: u32 = 16;

/// A device of QEMU's whose consoles hold devices that QEMU must not free.
///
/// QEMU 11.1.3 frees the memory regions of a vfio-user device when nobody refers
/// to it any more, and then takes the pending bits of MSI-X out of their BAR,
/// where they no longer are: it aborts. All that the guest sees of a device is gone
/// long before. So somebody must refer to it for ever, and of all that there is in
/// QEMU the link from a console to its device is the one that can be set to any.
/// This card has as many consoles as a card can have; nobody draws on them.
pub(super) fn holder() -> Value {
    json!({ "driver": "virtio-gpu-pci", "max_outputs": HOLDS, "addr": "1e.1" })
}

/// The console that holds device number `number`, and its link.
pub fn hold(number: u32) -> (String, &'static str) {
    (format!("/backend/console[{number}]"), "device")
}

/// Where on the root bus a device is: its slot, 1 to 15, and its function, 0 to 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The slot, which the kernel calls the device number.
    pub slot: u8,
    /// The function.
    pub function: u8,
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "slot {} function {}", self.slot, self.function)
    }
}

impl Address {
    /// What QEMU is told of each device, by the addresses that were asked for. Where
    /// there is none QEMU chooses; else who asked for none gets the next free slot.
    pub(super) fn properties(asked: &[Option<Self>]) -> Vec<serde_json::Map<String, Value>> {
        if asked.iter().all(Option::is_none) {
            return vec![serde_json::Map::new(); asked.len()];
        }
        let is_taken = |slot: &u8| asked.iter().flatten().any(|address| address.slot == *slot);
        let mut free = (1..=LAST_SLOT).filter(|slot| !is_taken(slot));
        let mut next = || {
            let slot = free.next()?;
            Some(Self { slot, function: 0 })
        };
        let placed: Vec<_> = asked
            .iter()
            .map(|address| address.or_else(&mut next))
            .collect();
        let properties = placed.iter().map(|address| {
            let mut properties = serde_json::Map::new();
            if let Some(Self { slot, function }) = *address {
                properties.insert("addr".to_owned(), format!("{slot:x}.{function}").into());
                let here = |other: &&Option<Self>| other.is_some_and(|other| other.slot == slot);
                if placed.iter().filter(here).count() > 1 {
                    properties.insert("multifunction".to_owned(), true.into());
                }
            }
            properties
        });
        properties.collect()
    }
}

/// A root port of PCI Express, counted from 0. Its slot takes one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Port(pub u32);

impl Port {
    /// The first `count` ports.
    pub fn all(count: u32) -> impl Iterator<Item = Self> {
        (0..count).map(Self)
    }

    /// Which ports a machine with `count` of them has, in words.
    pub fn listed(count: u32) -> String {
        match count {
            0 => "the machine has no ports".to_owned(),
            1 => "the machine has port 0 alone".to_owned(),
            count => format!("the machine has ports 0 to {}", count - 1),
        }
    }

    /// QEMU's name of the port.
    #[must_use]
    pub fn id(self) -> String {
        format!("port{}", self.0)
    }

    /// Where the guest finds the port itself, as the kernel writes it.
    #[must_use]
    pub fn address(self) -> String {
        format!("0000:00:{:02x}.0", FIRST + self.0)
    }

    /// What `-device` makes it of, with room for BARs of so many MiB of each kind.
    pub(super) fn device(self, window_mib: u32) -> Value {
        let window = u64::from(window_mib) << 20;
        json!({
            "driver": "pcie-root-port",
            "id": self.id(),
            "bus": "pcie.0",
            "addr": format!("{:x}.0", FIRST + self.0),
            "slot": self.0 + 1,
            "mem-reserve": window,
            "pref64-reserve": window,
        })
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(asked: &[Option<(u8, u8)>]) -> Vec<String> {
        let asked: Vec<_> = asked
            .iter()
            .map(|one| one.map(|(slot, function)| Address { slot, function }))
            .collect();
        let all = Address::properties(&asked).into_iter();
        all.map(|properties| Value::from(properties).to_string())
            .collect()
    }

    #[test]
    fn qemu_chooses_where_nobody_asks() {
        assert_eq!(told(&[None, None]), ["{}", "{}"]);
    }

    #[test]
    fn who_asks_for_no_slot_gets_one_that_nobody_asked_for() {
        assert_eq!(
            told(&[None, Some((1, 0)), None]),
            [
                r#"{"addr":"2.0"}"#,
                r#"{"addr":"1.0"}"#,
                r#"{"addr":"3.0"}"#
            ]
        );
    }

    #[test]
    fn functions_of_one_slot_are_told_so() {
        assert_eq!(
            told(&[Some((10, 0)), Some((10, 7))]),
            [
                r#"{"addr":"a.0","multifunction":true}"#,
                r#"{"addr":"a.7","multifunction":true}"#
            ]
        );
    }
}
