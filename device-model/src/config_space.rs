// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration space of a function: a type-0 header and a capability
//! list, kept as bytes with a mask of the bits that software may change. BAR
//! sizing needs nothing more: the address bits below the size are not in the
//! mask, so all ones written read back as the size.

use crate::{
    irq::InterruptMode,
    spec::{DeviceSpec, Msi, Msix},
};

/// Size of the configuration space, bytes.
pub const CONFIG_SIZE: usize = 256;

/// Offsets in the header (PCI 3.0, 6.1) and of our capabilities.
mod at {
    pub const VENDOR: usize = 0x00;
    pub const DEVICE: usize = 0x02;
    pub const COMMAND: usize = 0x04;
    pub const STATUS: usize = 0x06;
    pub const REVISION: usize = 0x08;
    pub const CLASS: usize = 0x09;
    pub const CACHE_LINE: usize = 0x0c;
    pub const BARS: usize = 0x10;
    pub const SUBSYSTEM_VENDOR: usize = 0x2c;
    pub const SUBSYSTEM: usize = 0x2e;
    pub const CAPABILITIES: usize = 0x34;
    pub const INTERRUPT_LINE: usize = 0x3c;
    pub const INTERRUPT_PIN: usize = 0x3d;
    pub const MSIX: usize = 0x40;
    pub const MSI: usize = 0x50;
    pub const AF: usize = 0x70;
    pub const AF_CONTROL: usize = AF + 4;
}

/// Command register: accesses to memory BARs are answered.
const COMMAND_MEMORY: u16 = 1 << 1;
/// Command register: the function may DMA.
const COMMAND_BUS_MASTER: u16 = 1 << 2;
/// Command register: the function must not use INTx.
const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// Status register: there is a capability list.
const STATUS_CAPABILITIES: u16 = 1 << 4;
/// Low bits of a BAR: 64 bits wide.
const BAR_WIDE: u32 = 0b100;
/// Low bits of a BAR: prefetchable.
const BAR_PREFETCHABLE: u32 = 0b1000;
/// Id of the MSI-X capability.
const CAPABILITY_MSIX: u8 = 0x11;
/// MSI-X message control: enable, and function mask.
const MSIX_CONTROL_WRITABLE: u16 = 0xc000;
/// MSI-X message control: enable.
const MSIX_ENABLE: u16 = 1 << 15;
/// Id of the MSI capability.
const CAPABILITY_MSI: u8 = 0x05;
/// MSI message control (PCI 3.0, 6.8.1.3): enable.
const MSI_ENABLE: u16 = 1 << 0;
/// MSI message control: first bit of the number of vectors the device has, as
/// a power of two.
const MSI_CAPABLE_SHIFT: u32 = 1;
/// MSI message control: first bit of the number of vectors enabled, likewise.
const MSI_ENABLED_SHIFT: u32 = 4;
/// MSI message control: width of the two.
const MSI_COUNT_MASK: u16 = 0b111;
/// MSI message control: addresses have 64 bits.
const MSI_WIDE: u16 = 1 << 7;

/// Id of the capability of advanced features (PCI ECN "Advanced Capabilities
/// for Conventional PCI"), by which software resets a function that is no PCI
/// Express one.
const CAPABILITY_AF: u8 = 0x13;
/// Advanced features: length of the capability, bytes.
const AF_LENGTH: u8 = 6;
/// Advanced features: pending transactions are told (there are none), and the
/// function can be reset.
const AF_TP_AND_FLR: u8 = 0b11;
/// Control of advanced features: reset the function; reads as zero.
const AF_CONTROL_FLR: u8 = 1;

/// The configuration space of one function.
#[derive(Debug, Clone)]
pub struct ConfigSpace {
    bytes: [u8; CONFIG_SIZE],
    initial: [u8; CONFIG_SIZE],
    writable: [u8; CONFIG_SIZE],
}

impl ConfigSpace {
    /// The configuration space of a device after power on. The description
    /// must have passed [`DeviceSpec::check`].
    #[must_use]
    pub fn new(spec: &DeviceSpec) -> Self {
        let mut space = Self {
            bytes: [0; CONFIG_SIZE],
            initial: [0; CONFIG_SIZE],
            writable: [0; CONFIG_SIZE],
        };
        let identity = &spec.identity;
        space.put(at::VENDOR, &identity.vendor.to_le_bytes());
        space.put(at::DEVICE, &identity.device.to_le_bytes());
        let command = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_INTX_DISABLE;
        space.allow(at::COMMAND, &command.to_le_bytes());
        space.put(at::REVISION, &[identity.revision]);
        let [base, sub, interface] = identity.class;
        space.put(at::CLASS, &[interface, sub, base]);
        space.allow(at::CACHE_LINE, &[0xff]);
        space.put(
            at::SUBSYSTEM_VENDOR,
            &identity.subsystem_vendor.to_le_bytes(),
        );
        space.put(at::SUBSYSTEM, &identity.subsystem.to_le_bytes());
        space.allow(at::INTERRUPT_LINE, &[0xff]);
        if let Some(pin) = spec.intx {
            space.put(at::INTERRUPT_PIN, &[pin as u8]);
        }
        space.put_bars(spec);
        let mut link = at::CAPABILITIES;
        if let Some(msix) = &spec.msix {
            link = space.put_capability(link, at::MSIX, CAPABILITY_MSIX);
            space.put_msix(msix);
        }
        if let Some(msi) = spec.msi {
            link = space.put_capability(link, at::MSI, CAPABILITY_MSI);
            space.put_msi(msi);
        }
        space.put_capability(link, at::AF, CAPABILITY_AF);
        space.put_af();
        space.initial = space.bytes;
        space
    }

    fn put_bars(&mut self, spec: &DeviceSpec) {
        for (index, bar) in spec.bars.iter().enumerate() {
            let Some(bar) = bar else { continue };
            let offset = at::BARS + 4 * index;
            let mut flags = 0;
            if bar.wide {
                flags |= BAR_WIDE;
            }
            if bar.prefetchable {
                flags |= BAR_PREFETCHABLE;
            }
            self.put(offset, &flags.to_le_bytes());
            // A size is a power of two of at least 16: the mask leaves the
            // flags alone.
            let mask = bar.size.wrapping_neg().to_le_bytes();
            let (low, high) = mask.split_at(4);
            self.allow(offset, low);
            if bar.wide {
                self.allow(offset + 4, high);
            }
        }
    }

    /// Puts a capability at the end of the list, which `link` points from.
    /// Returns where the next one is to be linked.
    fn put_capability(&mut self, link: usize, offset: usize, id: u8) -> usize {
        self.put(at::STATUS, &STATUS_CAPABILITIES.to_le_bytes());
        self.put(link, &[offset as u8]);
        self.put(offset, &[id, 0]);
        offset + 1
    }

    fn put_af(&mut self) {
        self.put(at::AF + 2, &[AF_LENGTH, AF_TP_AND_FLR]);
        self.allow(at::AF_CONTROL, &[AF_CONTROL_FLR]);
    }

    fn put_msix(&mut self, msix: &Msix) {
        let last = u16::try_from(msix.vectors.saturating_sub(1)).unwrap_or(0x7ff) & 0x7ff;
        self.put(at::MSIX + 2, &last.to_le_bytes());
        self.allow(at::MSIX + 2, &MSIX_CONTROL_WRITABLE.to_le_bytes());
        let bar = msix.bar.get();
        self.put(at::MSIX + 4, &(msix.table_offset | bar).to_le_bytes());
        self.put(at::MSIX + 8, &(msix.pba_offset | bar).to_le_bytes());
    }

    fn put_msi(&mut self, msi: Msi) {
        // The description allows 32 vectors: five bits at most.
        let capable = (msi.vectors.trailing_zeros() as u16 & MSI_COUNT_MASK) << MSI_CAPABLE_SHIFT;
        self.put(at::MSI + 2, &(capable | MSI_WIDE).to_le_bytes());
        let writable = MSI_ENABLE | MSI_COUNT_MASK << MSI_ENABLED_SHIFT;
        self.allow(at::MSI + 2, &writable.to_le_bytes());
        self.allow(at::MSI + 4, &(!0b11_u64).to_le_bytes());
        self.allow(at::MSI + 12, &[0xff; 2]);
    }

    fn put(&mut self, offset: usize, value: &[u8]) {
        for (byte, new) in self.bytes.iter_mut().skip(offset).zip(value) {
            *byte = *new;
        }
    }

    fn allow(&mut self, offset: usize, mask: &[u8]) {
        for (byte, new) in self.writable.iter_mut().skip(offset).zip(mask) {
            *byte = *new;
        }
    }

    /// Reads any number of bytes anywhere; all ones behind the end.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        for (to, from) in data.iter_mut().zip(self.bytes.iter().skip(offset)) {
            *to = *from;
        }
    }

    /// Writes any number of bytes anywhere; read-only bits and what lies
    /// behind the end stay.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let masks = self.writable.iter().skip(offset);
        for ((byte, mask), new) in self.bytes.iter_mut().skip(offset).zip(masks).zip(data) {
            *byte = (*byte & !mask) | (new & mask);
        }
    }

    /// Returns to the state after power on.
    pub fn reset(&mut self) {
        self.bytes = self.initial;
    }

    /// Whether software has asked for a reset of the function, which
    /// [`ConfigSpace::reset`] is a part of.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        let control = self.bytes.get(at::AF_CONTROL);
        control.is_some_and(|control| control & AF_CONTROL_FLR != 0)
    }

    /// Whether software allows the function to DMA.
    #[must_use]
    pub fn bus_master(&self) -> bool {
        self.word(at::COMMAND) & COMMAND_BUS_MASTER != 0
    }

    /// How software wants to be interrupted. Where it has switched on both
    /// kinds of message, which it must not, MSI-X counts.
    #[must_use]
    pub fn interrupt_mode(&self) -> InterruptMode {
        let has = |offset, id| self.bytes.get(offset) == Some(&id);
        if has(at::MSIX, CAPABILITY_MSIX) && self.word(at::MSIX + 2) & MSIX_ENABLE != 0 {
            return InterruptMode::Msix;
        }
        let msi = self.word(at::MSI + 2);
        if has(at::MSI, CAPABILITY_MSI) && msi & MSI_ENABLE != 0 {
            let capable = (msi >> MSI_CAPABLE_SHIFT) & MSI_COUNT_MASK;
            let enabled = (msi >> MSI_ENABLED_SHIFT) & MSI_COUNT_MASK;
            return InterruptMode::Msi {
                vectors: 1 << enabled.min(capable),
            };
        }
        if self.word(at::COMMAND) & COMMAND_INTX_DISABLE != 0 {
            InterruptMode::Off
        } else {
            InterruptMode::Intx
        }
    }

    fn word(&self, offset: usize) -> u16 {
        let mut data = [0; 2];
        self.read(offset as u64, &mut data);
        u16::from_le_bytes(data)
    }
}

#[cfg(test)]
#[path = "config_space_tests.rs"]
mod tests;
