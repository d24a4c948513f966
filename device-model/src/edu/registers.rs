// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The registers of the educational device.

crate::registers! {
    /// Registers of edu in BAR 0. Below 0x80 only accesses of 4 bytes are
    /// answered, from there on those of 4 or 8. Others of 4 or 8 bytes read all
    /// ones, and those of 1 or 2 bytes read 0.
    pub enum EduRegister {
        /// Says that this is the device; the upper half is the version.
        Identification @ 0x00: u32, ReadOnly = 0x0100_00ed;
        /// Reads the inverse of what was written, as a sign of life.
        Liveness @ 0x04: u32, ReadWrite;
        /// The factorial of what was written, once it is computed; until then
        /// writes are lost.
        Factorial @ 0x08: u32, ReadWrite;
        /// 0x01: the factorial is being computed. 0x80: interrupt when it is.
        Status @ 0x20: u32, ReadWrite & 0x80;
        /// What has interrupted: 0x001 a factorial, 0x100 a transfer, and what
        /// was raised.
        IrqStatus @ 0x24: u32, ReadOnly;
        /// Raises an interrupt with these bits in its status.
        IrqRaise @ 0x60: u32, WriteOnly;
        /// Takes bits away from the interrupt status; without any, the
        /// interrupt ends.
        IrqAcknowledge @ 0x64: u32, WriteOnly;
        /// Where a transfer reads.
        DmaSource @ 0x80: u64, ReadWrite;
        /// Where a transfer writes; the device's buffer of 4096 bytes is at
        /// 0x40000.
        DmaDestination @ 0x88: u64, ReadWrite;
        /// Bytes to transfer.
        DmaCount @ 0x90: u64, ReadWrite;
        /// 0x1: start; reads so until the end, and no DMA register changes
        /// meanwhile. 0x2: from the buffer to memory, else from memory to the
        /// buffer. 0x4: interrupt at the end.
        DmaCommand @ 0x98: u64, ReadWrite;
    }
}
