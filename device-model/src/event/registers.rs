// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control registers by name; where they lie is a matter of the contract
//! with the driver.

use irqbed_abi::{
    pci::VECTORS,
    regs::{self, REG_RING_BASE, REG_RING_STRIDE},
    ring::MAX_PAYLOAD,
    trace::SLOTS,
};

/// Offset of a register of ring 0.
const fn ring(register: u32) -> u64 {
    (REG_RING_BASE + register) as u64
}

/// Distance between the registers of two rings.
const STEP: u64 = REG_RING_STRIDE as u64;

crate::registers! {
    /// Registers of the event device in BAR 0. A part of a register cannot be
    /// written.
    pub(super) enum Register {
        /// "IRQB" in memory order.
        Magic @ (regs::REG_MAGIC as u64): u32, ReadOnly = (regs::MAGIC as u64);
        /// Version of the contract with the driver.
        Version @ (regs::REG_VERSION as u64): u32, ReadOnly = (regs::ABI_VERSION as u64);
        /// Number of rings, and of vectors where each has its own.
        Vectors @ (regs::REG_VECTORS as u64): u32, ReadOnly = (VECTORS as u64);
        /// Number of trace slots in the instrument BAR.
        Slots @ (regs::REG_SLOTS as u64): u32, ReadOnly = (SLOTS as u64);
        /// Longest payload, bytes.
        MaxPayload @ (regs::REG_MAX_PAYLOAD as u64): u32, ReadOnly = (MAX_PAYLOAD as u64);
        /// Bit 0: the device may raise events. Bit 1: resets it; reads as zero.
        Ctrl @ (regs::REG_CTRL as u64): u32, ReadWrite & 0x3;
        /// Bit 0: events can be raised. Bit 1: a DMA access failed; only a reset
        /// clears it.
        Status @ (regs::REG_STATUS as u64): u32, ReadOnly;
        /// Keeps what was written.
        Scratch @ (regs::REG_SCRATCH as u64): u32, ReadWrite;
        /// Raises an event on the vector in bits 15:0, which carries as many
        /// bytes as bits 31:16 say; reads as zero.
        SelfRaise @ (regs::REG_SELF_RAISE as u64): u32, WriteOnly;
        /// Bit v: a record was written to ring v that INTx announces.
        IrqStatus @ (regs::REG_IRQ_STATUS as u64): u32, WriteOneToClear;
        /// Bit v: ring v holds records that were not consumed.
        Pending @ (regs::REG_PENDING as u64): u32, ReadOnly;
        /// Bits 31:0 of the address of the records, 64-byte aligned.
        RecordsLo[(VECTORS) step (STEP)] @ (ring(regs::RING_RECORDS_LO)): u32, ReadWrite;
        /// Bits 63:32 of the address of the records.
        RecordsHi[(VECTORS) step (STEP)] @ (ring(regs::RING_RECORDS_HI)): u32, ReadWrite;
        /// Bits 31:0 of the address of the payload area, 64-byte aligned.
        PayloadLo[(VECTORS) step (STEP)] @ (ring(regs::RING_PAYLOAD_LO)): u32, ReadWrite;
        /// Bits 63:32 of the address of the payload area.
        PayloadHi[(VECTORS) step (STEP)] @ (ring(regs::RING_PAYLOAD_HI)): u32, ReadWrite;
        /// Number of records, a power of two.
        Entries[(VECTORS) step (STEP)] @ (ring(regs::RING_ENTRIES)): u32, ReadWrite;
        /// Size of the payload area, bytes.
        PayloadSize[(VECTORS) step (STEP)] @ (ring(regs::RING_PAYLOAD_SIZE)): u32, ReadWrite;
        /// 1 arms the ring; reads back 0 when it was refused. 0 stops it.
        Arm[(VECTORS) step (STEP)] @ (ring(regs::RING_ARM)): u32, ReadWrite & 0x1;
        /// Events lost because the ring or its payload area was full.
        Overflows[(VECTORS) step (STEP)] @ (ring(regs::RING_OVERFLOWS)): u32, ReadOnly;
        /// Number of the next record; what is written counts when it is armed.
        Next[(VECTORS) step (STEP)] @ (ring(regs::RING_NEXT)): u32, ReadWrite;
    }
}

/// Reads any range of bytes. No register changes when it is read, so touching
/// one in part is safe.
pub(super) fn read(offset: u64, data: &mut [u8], mut value: impl FnMut(Register) -> u32) {
    Register::read(offset, data, |register| value(register).into());
}

/// Takes a write apart into the registers it covers: a part of one is no write
/// at all.
pub(super) fn write(offset: u64, data: &[u8], mut change: impl FnMut(Register, u32)) {
    Register::write(offset, data, |write| {
        if write.mask == u64::from(u32::MAX) {
            change(write.register, write.value as u32);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ring_has_its_registers_and_no_more() {
        let last = ring(regs::RING_NEXT) + STEP * u64::from(VECTORS - 1);
        assert_eq!(Register::MAP.end(), last + 4);
        let mut seen = Vec::new();
        write(last, &[0; 8], |register, _| seen.push(register));
        assert_eq!(seen, [Register::Next(VECTORS - 1)]);
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
