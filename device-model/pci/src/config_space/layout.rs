// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where everything lies in a configuration space, what it says after power
//! on, and which bits software may change. Capabilities are placed one behind
//! the other, in a fixed order, from the end of the header on.

use std::ops::Range;

use super::{
    AF_CONTROL_FLR, COMMAND, COMMAND_BUS_MASTER, COMMAND_INTX_DISABLE, CONFIG_SIZE,
    EXTENDED_CONFIG_SIZE, MSI_CAPABLE_SHIFT, MSI_COUNT_MASK, MSI_ENABLE, MSI_ENABLED_SHIFT,
    POWER_STATE, STATUS,
};
use crate::{
    bar::BarKind,
    capability::{ExtendedCapability, Msi, Msix, OwnCapability, PowerManagement, VendorCapability},
    spec::{DeviceSpec, SpecError},
};

/// Offsets in the header (PCI 3.0, 6.1).
mod at {
    pub const VENDOR: usize = 0x00;
    pub const DEVICE: usize = 0x02;
    pub const REVISION: usize = 0x08;
    pub const CLASS: usize = 0x09;
    pub const CACHE_LINE: usize = 0x0c;
    pub const BARS: usize = 0x10;
    pub const SUBSYSTEM_VENDOR: usize = 0x2c;
    pub const SUBSYSTEM: usize = 0x2e;
    pub const CAPABILITIES: usize = 0x34;
    pub const INTERRUPT_LINE: usize = 0x3c;
    pub const INTERRUPT_PIN: usize = 0x3d;
    pub const END: usize = 0x40;
}

/// Ids of capabilities (PCI Code and ID Assignment Specification).
mod id {
    pub const POWER: u8 = 0x01;
    pub const MSI: u8 = 0x05;
    pub const VENDOR: u8 = 0x09;
    pub const EXPRESS: u8 = 0x10;
    pub const MSIX: u8 = 0x11;
    /// Advanced features (PCI ECN "Advanced Capabilities for Conventional
    /// PCI"), by which software resets a function that is no PCI Express one.
    pub const AF: u8 = 0x13;
}

/// Command register: accesses to I/O BARs are answered.
const COMMAND_IO: u16 = 1 << 0;
/// Command register: accesses to memory BARs are answered.
const COMMAND_MEMORY: u16 = 1 << 1;
/// Status register: there is a capability list.
const STATUS_CAPABILITIES: u16 = 1 << 4;
/// Low bits of a BAR: I/O ports.
const BAR_IO: u32 = 0b1;
/// Low bits of a BAR: 64 bits wide.
const BAR_WIDE: u32 = 0b100;
/// Low bits of a BAR: prefetchable.
const BAR_PREFETCHABLE: u32 = 0b1000;
/// MSI-X message control: enable, and function mask.
const MSIX_CONTROL_WRITABLE: u16 = 0xc000;
/// MSI message control: addresses have 64 bits.
const MSI_WIDE: u16 = 1 << 7;
/// Advanced features: length of the capability, and: pending transactions are
/// told (there are none), and the function can be reset.
const AF_BODY: [u8; 2] = [6, 0b11];
/// Power management: version of the specification; no D1, no D2, no PME.
const POWER_CAPABILITIES: u16 = 3;
/// Power management control: the state outlives D3hot.
const POWER_NO_SOFT_RESET: u16 = 1 << 3;
/// Largest length a vendor-specific capability can tell, bytes.
const MAX_VENDOR: usize = 0xff;

/// The bytes of a configuration space after power on, and its map.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub initial: Vec<u8>,
    pub writable: Vec<u8>,
    /// Offsets of the capabilities that there are.
    pub msix: Option<usize>,
    pub msi: Option<usize>,
    pub power: Option<usize>,
    pub express: Option<usize>,
    pub af: Option<usize>,
    /// The data of capabilities that are the device's own and of which software
    /// may change bits.
    pub own: Vec<(OwnCapability, Range<usize>)>,
    /// The function is reset when it leaves D3hot.
    pub wakes_by_reset: bool,
}

/// Where the next capability goes, and where its offset is written.
struct Place {
    link: usize,
    free: usize,
}

impl Layout {
    pub fn new(spec: &DeviceSpec) -> Result<Self, SpecError> {
        let size = if spec.express {
            EXTENDED_CONFIG_SIZE
        } else {
            CONFIG_SIZE
        };
        let mut layout = Self {
            initial: vec![0; size],
            writable: vec![0; size],
            msix: None,
            msi: None,
            power: None,
            express: None,
            af: None,
            own: Vec::new(),
            wakes_by_reset: spec.power.is_some_and(|power| power.resets),
        };
        layout.put_header(spec);
        layout.put_bars(spec);
        layout.put_capabilities(spec)?;
        layout.put_extended(spec)?;
        Ok(layout)
    }

    fn put_header(&mut self, spec: &DeviceSpec) {
        let identity = &spec.identity;
        self.put(at::VENDOR, &identity.vendor.to_le_bytes());
        self.put(at::DEVICE, &identity.device.to_le_bytes());
        let mut command = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
        if spec
            .bars
            .iter()
            .flatten()
            .any(|bar| bar.kind == BarKind::Io)
        {
            command |= COMMAND_IO;
        }
        self.allow(COMMAND, &command.to_le_bytes());
        self.put(at::REVISION, &[identity.revision]);
        let [base, sub, interface] = identity.class;
        self.put(at::CLASS, &[interface, sub, base]);
        self.allow(at::CACHE_LINE, &[0xff]);
        self.put(
            at::SUBSYSTEM_VENDOR,
            &identity.subsystem_vendor.to_le_bytes(),
        );
        self.put(at::SUBSYSTEM, &identity.subsystem.to_le_bytes());
        self.allow(at::INTERRUPT_LINE, &[0xff]);
        if let Some(pin) = spec.intx {
            self.put(at::INTERRUPT_PIN, &[pin as u8]);
        }
    }

    fn put_bars(&mut self, spec: &DeviceSpec) {
        for (index, bar) in spec.bars.iter().enumerate() {
            let Some(bar) = bar else { continue };
            let offset = at::BARS + 4 * index;
            let mut flags = 0;
            if bar.kind == BarKind::Io {
                flags |= BAR_IO;
            }
            if bar.wide {
                flags |= BAR_WIDE;
            }
            if bar.prefetchable {
                flags |= BAR_PREFETCHABLE;
            }
            self.put(offset, &flags.to_le_bytes());
            // A size is a power of two of at least 16, of ports at least 4:
            // the mask leaves the flags alone.
            let mask = bar.size.wrapping_neg().to_le_bytes();
            let (low, high) = mask.split_at(4);
            self.allow(offset, low);
            if bar.wide {
                self.allow(offset + 4, high);
            }
        }
    }

    fn put_capabilities(&mut self, spec: &DeviceSpec) -> Result<(), SpecError> {
        let mut place = Place {
            link: at::CAPABILITIES,
            free: at::END,
        };
        if let Some(msix) = &spec.msix {
            let at = self.place(&mut place, id::MSIX, 12, "MSI-X")?;
            self.msix = Some(at);
            self.put_msix(at, msix);
        }
        if let Some(msi) = spec.msi {
            let at = self.place(&mut place, id::MSI, 14, "MSI")?;
            self.msi = Some(at);
            self.put_msi(at, msi);
        }
        if let Some(power) = spec.power {
            let at = self.place(&mut place, id::POWER, 8, "power management")?;
            self.power = Some(at);
            self.put_power(at, power);
        }
        if spec.express {
            let at = self.place(&mut place, id::EXPRESS, 60, "PCI Express")?;
            self.express = Some(at);
            self.put_express(at);
        } else {
            let at = self.place(&mut place, id::AF, 6, "advanced features (reset)")?;
            self.af = Some(at);
            self.put(at + 2, &AF_BODY);
            self.allow(at + 4, &AF_CONTROL_FLR.to_le_bytes());
        }
        for (number, capability) in spec.vendor.iter().enumerate() {
            self.put_vendor(&mut place, number, capability)?;
        }
        Ok(())
    }

    /// Puts a capability at the end of the list. Returns its offset.
    fn place(
        &mut self,
        place: &mut Place,
        id: u8,
        size: usize,
        name: &str,
    ) -> Result<usize, SpecError> {
        let offset = place.free;
        if offset + size > CONFIG_SIZE {
            return Err(SpecError::NoRoom {
                capability: name.to_owned(),
                offset,
                size,
                end: CONFIG_SIZE,
            });
        }
        self.put(STATUS, &STATUS_CAPABILITIES.to_le_bytes());
        self.put(place.link, &[offset as u8]);
        self.put(offset, &[id, 0]);
        place.link = offset + 1;
        place.free = (offset + size).next_multiple_of(4);
        Ok(offset)
    }

    fn put_msix(&mut self, at: usize, msix: &Msix) {
        let last = u16::try_from(msix.vectors.saturating_sub(1)).unwrap_or(0x7ff) & 0x7ff;
        self.put(at + 2, &last.to_le_bytes());
        self.allow(at + 2, &MSIX_CONTROL_WRITABLE.to_le_bytes());
        let bar = msix.bar.get();
        self.put(at + 4, &(msix.table_offset | bar).to_le_bytes());
        self.put(at + 8, &(msix.pba_offset | bar).to_le_bytes());
    }

    fn put_msi(&mut self, at: usize, msi: Msi) {
        // The description allows 32 vectors: five bits at most.
        let capable = (msi.vectors.trailing_zeros() as u16 & MSI_COUNT_MASK) << MSI_CAPABLE_SHIFT;
        self.put(at + 2, &(capable | MSI_WIDE).to_le_bytes());
        let writable = MSI_ENABLE | MSI_COUNT_MASK << MSI_ENABLED_SHIFT;
        self.allow(at + 2, &writable.to_le_bytes());
        self.allow(at + 4, &(!0b11_u64).to_le_bytes());
        self.allow(at + 12, &[0xff; 2]);
    }

    fn put_power(&mut self, at: usize, power: PowerManagement) {
        self.put(at + 2, &POWER_CAPABILITIES.to_le_bytes());
        if !power.resets {
            self.put(at + 4, &POWER_NO_SOFT_RESET.to_le_bytes());
        }
        self.allow(at + 4, &POWER_STATE.to_le_bytes());
    }

    /// PCI Express 5.0, 7.5.3: an endpoint at a link of 2.5 GT/s and one lane.
    fn put_express(&mut self, at: usize) {
        let version_2_endpoint = 0x0002_u16;
        self.put(at + 0x02, &version_2_endpoint.to_le_bytes());
        let role_based_errors_and_flr = 1_u32 << 15 | 1 << 28;
        self.put(at + 0x04, &role_based_errors_and_flr.to_le_bytes());
        // After power on: relaxed ordering, no snoop, reads of 512 bytes.
        self.put(at + 0x08, &0x2810_u16.to_le_bytes());
        self.allow(at + 0x08, &0xffff_u16.to_le_bytes());
        let slow_and_narrow = 0x11_u32;
        self.put(at + 0x0c, &slow_and_narrow.to_le_bytes());
        // Read completion boundary, common clock, extended synch.
        self.allow(at + 0x10, &0x00c8_u16.to_le_bytes());
        self.put(at + 0x12, &(slow_and_narrow as u16).to_le_bytes());
        let speeds = 0b10_u32;
        self.put(at + 0x2c, &speeds.to_le_bytes());
        self.put(at + 0x30, &1_u16.to_le_bytes());
    }

    fn put_vendor(
        &mut self,
        place: &mut Place,
        number: usize,
        capability: &VendorCapability,
    ) -> Result<(), SpecError> {
        let VendorCapability { data, writable } = capability;
        let name = format!("vendor-specific capability {number}");
        check_mask(&name, data, writable)?;
        let size = data.len().saturating_add(3);
        let at = self.place(place, id::VENDOR, size, &name)?;
        self.put(at + 2, &[size.min(MAX_VENDOR) as u8]);
        self.put_own(OwnCapability::Vendor(number), at + 3, data, writable);
        Ok(())
    }

    fn put_own(&mut self, capability: OwnCapability, at: usize, data: &[u8], writable: &[u8]) {
        self.put(at, data);
        self.allow(at, writable);
        if writable.iter().any(|mask| *mask != 0) {
            self.own.push((capability, at..at + data.len()));
        }
    }

    fn put_extended(&mut self, spec: &DeviceSpec) -> Result<(), SpecError> {
        // The first header is always there, and empty without capabilities.
        let (mut link, mut free) = (None, CONFIG_SIZE);
        for (number, capability) in spec.extended.iter().enumerate() {
            let ExtendedCapability {
                id,
                version,
                data,
                writable,
            } = capability;
            let name = format!("extended capability {id:#06x}");
            let version = *version;
            if !spec.express {
                return Err(SpecError::NoExpress { capability: name });
            }
            if *id == 0 || !(1..=15).contains(&version) {
                let capability = name;
                return Err(SpecError::BadExtended {
                    capability,
                    version,
                });
            }
            check_mask(&name, data, writable)?;
            let size = data.len().saturating_add(4);
            if size > EXTENDED_CONFIG_SIZE - free {
                return Err(SpecError::NoRoom {
                    capability: name,
                    offset: free,
                    size,
                    end: EXTENDED_CONFIG_SIZE,
                });
            }
            let header = u32::from(*id) | u32::from(version) << 16;
            self.put(free, &header.to_le_bytes());
            self.put_own(OwnCapability::Extended(number), free + 4, data, writable);
            if let Some(link) = link {
                // The upper 12 bits of the header before.
                let next = (free as u16) << 4 | self.word(link + 2) & 0xf;
                self.put(link + 2, &next.to_le_bytes());
            }
            link = Some(free);
            free = (free + size).next_multiple_of(4);
        }
        Ok(())
    }

    fn word(&self, offset: usize) -> u16 {
        let byte = |at: usize| u16::from(self.initial.get(at).copied().unwrap_or_default());
        byte(offset) | byte(offset + 1) << 8
    }

    fn put(&mut self, offset: usize, value: &[u8]) {
        for (byte, new) in self.initial.iter_mut().skip(offset).zip(value) {
            *byte = *new;
        }
    }

    fn allow(&mut self, offset: usize, mask: &[u8]) {
        for (byte, new) in self.writable.iter_mut().skip(offset).zip(mask) {
            *byte = *new;
        }
    }
}

fn check_mask(capability: &str, data: &[u8], mask: &[u8]) -> Result<(), SpecError> {
    if mask.len() > data.len() {
        return Err(SpecError::WritableTooLong {
            capability: capability.to_owned(),
            mask: mask.len(),
            data: data.len(),
        });
    }
    Ok(())
}
