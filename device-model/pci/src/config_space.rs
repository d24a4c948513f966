// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The configuration space of a function: a type-0 header and the lists of
//! capabilities, kept as bytes with a mask of the bits that software may change.
//! BAR sizing needs nothing more: the address bits below the size are not in
//! the mask, so all ones written read back as the size.

mod layout;

use self::layout::Layout;
use crate::{
    bar::Area,
    capability::{InterruptMode, OwnCapability, PowerState},
    spec::{DeviceSpec, SpecError},
};

/// Size of a conventional configuration space, bytes.
pub const CONFIG_SIZE: usize = 256;
/// Size of the configuration space of a PCI Express function, bytes.
pub const EXTENDED_CONFIG_SIZE: usize = 4096;

/// Offset of the command register (PCI 3.0, 6.1).
const COMMAND: usize = 0x04;
/// Command register: the function may DMA.
const COMMAND_BUS_MASTER: u16 = 1 << 2;
/// Command register: the function must not use INTx.
const COMMAND_INTX_DISABLE: u16 = 1 << 10;
/// Offset of the status register.
const STATUS: usize = 0x06;
/// Status register, lower byte: the function asserts its line.
const STATUS_INTERRUPT: u8 = 1 << 3;
/// MSI-X message control: all vectors are masked.
const MSIX_FUNCTION_MASK: u16 = 1 << 14;
/// MSI-X message control: enable.
const MSIX_ENABLE: u16 = 1 << 15;
/// MSI message control (PCI 3.0, 6.8.1.3): enable.
const MSI_ENABLE: u16 = 1 << 0;
/// MSI message control: first bit of the number of vectors the device has, as
/// a power of two.
const MSI_CAPABLE_SHIFT: u32 = 1;
/// MSI message control: first bit of the number of vectors enabled, likewise.
const MSI_ENABLED_SHIFT: u32 = 4;
/// MSI message control: width of the two.
const MSI_COUNT_MASK: u16 = 0b111;
/// Control of advanced features: reset the function; reads as zero.
const AF_CONTROL_FLR: u16 = 1;
/// PCI Express device control: reset the function; reads as zero.
const EXPRESS_CONTROL_FLR: u16 = 1 << 15;
/// Power management control: the state.
const POWER_STATE: u16 = 0b11;
/// The state D3hot.
const POWER_D3HOT: u16 = 0b11;

impl DeviceSpec {
    /// Whether such a PCI function can exist. Whoever serves the device checks
    /// it, too.
    ///
    /// # Errors
    /// Names the first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        ConfigSpace::new(self).map(drop)
    }
}

/// The configuration space of one function.
#[derive(Debug, Clone)]
pub struct ConfigSpace {
    layout: Layout,
    bytes: Vec<u8>,
    /// Software has woken a function that is reset by that.
    woken: bool,
}

impl ConfigSpace {
    /// The configuration space of a device after power on.
    ///
    /// # Errors
    /// When no such PCI function can exist; names what is wrong.
    pub fn new(spec: &DeviceSpec) -> Result<Self, SpecError> {
        spec.check_parts()?;
        let layout = Layout::new(spec)?;
        Ok(Self {
            bytes: layout.initial.clone(),
            layout,
            woken: false,
        })
    }

    /// Its size, bytes: [`CONFIG_SIZE`] or [`EXTENDED_CONFIG_SIZE`].
    #[must_use]
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Reads any number of bytes anywhere; all ones behind the end.
    pub fn read(&self, offset: u64, data: &mut [u8]) {
        data.fill(0xff);
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        for (to, from) in data.iter_mut().zip(self.bytes.iter().skip(offset)) {
            *to = *from;
        }
    }

    /// Bit 3 of the status register: the function asserts its line, whether
    /// software has disabled it or not (PCI 3.0, 6.2.3).
    pub fn set_interrupt_status(&mut self, asserted: bool) {
        if let Some(status) = self.bytes.get_mut(STATUS) {
            *status = *status & !STATUS_INTERRUPT | if asserted { STATUS_INTERRUPT } else { 0 };
        }
    }

    /// Whether software masks all vectors of MSI-X at once.
    #[must_use]
    pub fn msix_masked(&self) -> bool {
        let control = self.layout.msix.map_or(0, |at| self.word(at + 2));
        control & MSIX_FUNCTION_MASK != 0
    }

    /// Writes any number of bytes anywhere; read-only bits and what lies
    /// behind the end stay.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        let power = self.power_bits();
        let masks = self.layout.writable.iter().skip(offset);
        for ((byte, mask), new) in self.bytes.iter_mut().skip(offset).zip(masks).zip(data) {
            *byte = (*byte & !mask) | (new & mask);
        }
        let new = self.power_bits();
        if let Some(at) = self.layout.power.filter(|_| new != power) {
            match new {
                0 => self.woken |= self.layout.wakes_by_reset,
                POWER_D3HOT => {}
                // There is no such state here: nothing happens.
                _ => {
                    let control = self.word(at + 4) & !POWER_STATE | power;
                    let bytes = self.bytes.iter_mut().skip(at + 4);
                    for (byte, new) in bytes.zip(control.to_le_bytes()) {
                        *byte = new;
                    }
                }
            }
        }
    }

    /// Hands out the data of each capability that a write has touched and of
    /// which software may change bits; what is done to it stays.
    pub fn each_written(
        &mut self,
        offset: u64,
        len: usize,
        mut tell: impl FnMut(OwnCapability, &mut [u8]),
    ) {
        let written = Area {
            offset,
            size: len as u64,
        };
        let Self { layout, bytes, .. } = self;
        for (capability, place) in &layout.own {
            let area = Area {
                offset: place.start as u64,
                size: place.len() as u64,
            };
            if let Some(data) = bytes.get_mut(place.clone())
                && area.overlaps(&written)
            {
                tell(*capability, data);
            }
        }
    }

    /// Returns to the state after power on.
    pub fn reset(&mut self) {
        self.bytes.clone_from(&self.layout.initial);
        self.woken = false;
    }

    /// Whether software has asked for a reset of the function, which
    /// [`ConfigSpace::reset`] is a part of.
    #[must_use]
    pub fn wants_reset(&self) -> bool {
        let asked = |at: Option<usize>, bit| at.is_some_and(|at| self.word(at) & bit != 0);
        let Layout { af, express, .. } = self.layout;
        self.woken
            || asked(af.map(|at| at + 4), AF_CONTROL_FLR)
            || asked(express.map(|at| at + 8), EXPRESS_CONTROL_FLR)
    }

    /// Whether software allows the function to DMA, and it is awake.
    #[must_use]
    pub fn bus_master(&self) -> bool {
        self.word(COMMAND) & COMMAND_BUS_MASTER != 0 && self.power_state() == PowerState::D0
    }

    fn power_bits(&self) -> u16 {
        self.layout
            .power
            .map_or(0, |at| self.word(at + 4) & POWER_STATE)
    }

    /// The state of power that software has put the function in.
    #[must_use]
    pub fn power_state(&self) -> PowerState {
        if self.power_bits() == POWER_D3HOT {
            PowerState::D3hot
        } else {
            PowerState::D0
        }
    }

    /// How software wants to be interrupted. Where it has switched on both
    /// kinds of message, which it must not, MSI-X counts. A function that
    /// sleeps does not interrupt.
    #[must_use]
    pub fn interrupt_mode(&self) -> InterruptMode {
        if self.power_state() == PowerState::D3hot {
            return InterruptMode::Off;
        }
        let Layout { msix, msi, .. } = self.layout;
        if msix.is_some_and(|at| self.word(at + 2) & MSIX_ENABLE != 0) {
            return InterruptMode::Msix;
        }
        let msi = msi.map_or(0, |at| self.word(at + 2));
        if msi & MSI_ENABLE != 0 {
            let capable = (msi >> MSI_CAPABLE_SHIFT) & MSI_COUNT_MASK;
            let enabled = (msi >> MSI_ENABLED_SHIFT) & MSI_COUNT_MASK;
            return InterruptMode::Msi {
                vectors: 1 << enabled.min(capable),
            };
        }
        if self.word(COMMAND) & COMMAND_INTX_DISABLE != 0 {
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
