// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ports of a machine that a device can be plugged into while its guest runs,
//! and their names in QEMU.

use serde_json::{Value, json};

/// Device number of the first port on the root bus; the others follow. Devices
/// that are there from the start are numbered from 1 on, with ports and without.
const FIRST: u32 = 0x10;
/// Memory that a port can give to what is plugged into it, of each kind, bytes.
const WINDOW: u64 = 32 << 20;
/// How many devices can be held.
pub(crate) const HOLDS: u32 = 16;

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
pub(crate) fn hold(number: u32) -> (String, &'static str) {
    (format!("/backend/console[{number}]"), "device")
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
    pub(crate) fn listed(count: u32) -> String {
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

    /// What `-device` makes it of. Its windows have room for the event device,
    /// whose largest BAR has 4 MiB, and for others as large.
    pub(super) fn device(self) -> Value {
        json!({
            "driver": "pcie-root-port",
            "id": self.id(),
            "bus": "pcie.0",
            "addr": format!("{:x}.0", FIRST + self.0),
            "slot": self.0 + 1,
            "mem-reserve": WINDOW,
            "pref64-reserve": WINDOW,
        })
    }
}

impl std::fmt::Display for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
