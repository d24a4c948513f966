// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control registers by name. An access is taken apart into registers
//! here, so that what handles them knows no offset.

use irqbed_abi::{pci::VECTORS, regs};

/// A register of the control BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Register {
    Magic,
    Version,
    Vectors,
    Slots,
    MaxPayload,
    Ctrl,
    Status,
    Scratch,
    SelfRaise,
    IrqStatus,
    /// A register of the ring of a vector.
    Ring(u32, RingRegister),
}

/// A register of one ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RingRegister {
    RecordsLo,
    RecordsHi,
    PayloadLo,
    PayloadHi,
    Entries,
    PayloadSize,
    Arm,
    Overflows,
}

impl Register {
    /// The register at an offset in bytes; `None` where there is none.
    pub(super) fn at(offset: u64) -> Option<Self> {
        let offset = u32::try_from(offset).ok()?;
        Some(match offset {
            regs::REG_MAGIC => Self::Magic,
            regs::REG_VERSION => Self::Version,
            regs::REG_VECTORS => Self::Vectors,
            regs::REG_SLOTS => Self::Slots,
            regs::REG_MAX_PAYLOAD => Self::MaxPayload,
            regs::REG_CTRL => Self::Ctrl,
            regs::REG_STATUS => Self::Status,
            regs::REG_SCRATCH => Self::Scratch,
            regs::REG_SELF_RAISE => Self::SelfRaise,
            regs::REG_IRQ_STATUS => Self::IrqStatus,
            _ => {
                let offset = offset.checked_sub(regs::REG_RING_BASE)?;
                let vector = offset / regs::REG_RING_STRIDE;
                let register = RingRegister::at(offset % regs::REG_RING_STRIDE)?;
                if vector >= VECTORS {
                    return None;
                }
                Self::Ring(vector, register)
            }
        })
    }
}

impl RingRegister {
    fn at(offset: u32) -> Option<Self> {
        Some(match offset {
            regs::RING_RECORDS_LO => Self::RecordsLo,
            regs::RING_RECORDS_HI => Self::RecordsHi,
            regs::RING_PAYLOAD_LO => Self::PayloadLo,
            regs::RING_PAYLOAD_HI => Self::PayloadHi,
            regs::RING_ENTRIES => Self::Entries,
            regs::RING_PAYLOAD_SIZE => Self::PayloadSize,
            regs::RING_ARM => Self::Arm,
            regs::RING_OVERFLOWS => Self::Overflows,
            _ => return None,
        })
    }
}

/// Reads any range of bytes as the registers it touches; nothing reads as 0.
/// No register changes when it is read, so touching one in part is safe.
pub(super) fn read(offset: u64, data: &mut [u8], mut value: impl FnMut(Register) -> u32) {
    let mut held = None;
    for (at, byte) in (offset..).zip(data) {
        let start = at & !3;
        let word = match held {
            Some((held_start, word)) if held_start == start => word,
            _ => Register::at(start).map_or(0, &mut value),
        };
        held = Some((start, word));
        *byte = word.to_le_bytes()[(at & 3) as usize];
    }
}

/// Takes a write apart into the registers it covers. Registers are 32 bits:
/// a part of one, or an address between two, is no write at all.
pub(super) fn write(offset: u64, data: &[u8], mut change: impl FnMut(Register, u32)) {
    if !offset.is_multiple_of(4) {
        return;
    }
    let words = data.chunks_exact(4);
    for (at, word) in (offset..).step_by(4).zip(words) {
        let &[a, b, c, d] = word else { continue };
        if let Some(register) = Register::at(at) {
            change(register, u32::from_le_bytes([a, b, c, d]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ring_has_its_registers_and_no_more() {
        let last = u64::from(regs::REG_RING_BASE + regs::REG_RING_STRIDE * VECTORS);
        assert_eq!(
            Register::at(last - 4),
            Some(Register::Ring(VECTORS - 1, RingRegister::Overflows))
        );
        assert_eq!(Register::at(last), None);
        assert_eq!(Register::at(u64::MAX), None);
        assert_eq!(Register::at(1), None);
    }

    #[test]
    fn a_wide_read_spans_two_registers_and_an_odd_one_a_part() {
        let value = |register| match register {
            Register::Magic => 0x0403_0201,
            Register::Version => 0x0807_0605,
            _ => 0,
        };
        let mut wide = [0; 8];
        read(0, &mut wide, value);
        assert_eq!(wide, [1, 2, 3, 4, 5, 6, 7, 8]);
        let mut odd = [0; 3];
        read(3, &mut odd, value);
        assert_eq!(odd, [4, 5, 6]);
    }

    #[test]
    fn only_whole_words_are_written() {
        let mut seen = Vec::new();
        let mut note = |register, value| seen.push((register, value));
        write(1, &[1; 4], &mut note);
        write(0x14, &[1; 3], &mut note);
        write(0x14, &[1, 0, 0, 0, 2, 0, 0, 0, 3], &mut note);
        assert_eq!(seen, [(Register::Ctrl, 1), (Register::Status, 2)]);
    }
}
