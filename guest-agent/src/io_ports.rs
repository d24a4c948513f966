// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ports of a device, where its BAR is no memory.

#![allow(unsafe_code)]

use std::{arch::asm, io};

/// Ports that this process may use, to its end.
#[derive(Debug, Clone, Copy)]
pub struct Port(u16);

impl Port {
    /// Has the kernel leave `count` ports to this process.
    pub fn open(first: u16, count: u32) -> io::Result<Self> {
        // SAFETY: a permission of this process is all that changes.
        match unsafe { libc::ioperm(first.into(), count.into(), 1) } {
            0 => Ok(Self(first)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Reads a byte.
    #[inline(always)]
    pub fn read8(self) -> u8 {
        let value;
        // SAFETY: the port was opened; it touches no memory.
        unsafe {
            asm!("in al, dx", in("dx") self.0, out("al") value, options(nostack, preserves_flags))
        }
        value
    }

    /// Reads two bytes.
    #[inline(always)]
    pub fn read16(self) -> u16 {
        let value;
        // SAFETY: as in `read8`.
        unsafe {
            asm!("in ax, dx", in("dx") self.0, out("ax") value, options(nostack, preserves_flags))
        }
        value
    }

    /// Reads four bytes.
    #[inline(always)]
    pub fn read32(self) -> u32 {
        let value;
        // SAFETY: as in `read8`.
        unsafe {
            asm!("in eax, dx", in("dx") self.0, out("eax") value, options(nostack, preserves_flags))
        }
        value
    }

    /// Writes a byte.
    #[inline(always)]
    pub fn write8(self, value: u8) {
        // SAFETY: the port was opened, and is a device's that the host has had
        // made for this.
        unsafe {
            asm!("out dx, al", in("dx") self.0, in("al") value, options(nostack, preserves_flags))
        }
    }

    /// Writes two bytes.
    #[inline(always)]
    pub fn write16(self, value: u16) {
        // SAFETY: as in `write8`.
        unsafe {
            asm!("out dx, ax", in("dx") self.0, in("ax") value, options(nostack, preserves_flags))
        }
    }

    /// Writes four bytes.
    #[inline(always)]
    pub fn write32(self, value: u32) {
        // SAFETY: as in `write8`.
        unsafe {
            asm!("out dx, eax", in("dx") self.0, in("eax") value, options(nostack, preserves_flags))
        }
    }
}
