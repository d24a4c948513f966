// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The registers of the network card in miniature.

/// Pairs of rings that the card has.
pub const QUEUES: u32 = 4;

crate::registers! {
    /// Registers of nic-lite in BAR 0: one page to set it up, and one of
    /// doorbells. A ring has descriptors of 16 bytes: address (64 bits),
    /// length and flags (32 bits each), little-endian. Head and tail count
    /// descriptors, around the limit of 32 bits; index n of a ring is n modulo
    /// its size.
    pub enum NicRegister {
        /// "NIC0" in memory order.
        Id @ 0x000: u32, ReadOnly = 0x3043_494e;
        /// Bit 0: the card works. Clearing it sets every head and tail to 0.
        Control @ 0x004: u32, ReadWrite & 0x1;
        /// Bit q: queue q interrupts, by vector q of MSI-X, when it has done
        /// descriptors or has stopped.
        Interrupts @ 0x008: u32, ReadWrite & 0xf;
        /// Bit q: queue q has stopped, as memory it was told of cannot be
        /// accessed or its rings are impossible. Written as 1, it starts anew,
        /// with heads and tails at 0.
        Errors @ 0x00c: u32, WriteOneToClear & 0xf;
        /// Number of queues.
        Queues @ 0x010: u32, ReadOnly = (QUEUES as u64);
        /// Address of the ring that queue q sends from.
        TxRing[4 step 0x40] @ 0x100: u64, ReadWrite;
        /// Address of the ring that queue q receives to.
        RxRing[4 step 0x40] @ 0x108: u64, ReadWrite;
        /// Descriptors of the ring to send from, a power of two up to 1024.
        TxSize[4 step 0x40] @ 0x110: u32, ReadWrite;
        /// Descriptors of the ring to receive to, a power of two up to 1024.
        RxSize[4 step 0x40] @ 0x114: u32, ReadWrite;
        /// How many descriptors the card has sent.
        TxHead[4 step 0x40] @ 0x118: u32, ReadOnly;
        /// How many descriptors the card has received to.
        RxHead[4 step 0x40] @ 0x11c: u32, ReadOnly;
        /// Packets lost since the last look, as no descriptor was there to
        /// receive to.
        Dropped[4 step 0x40] @ 0x120: u32, ReadClear;
        /// The driver's tail: how many descriptors it has filled to be sent.
        TxDoorbell[4 step 8] @ 0x1000: u32, WriteOnly;
        /// The driver's tail: how many descriptors it has given to receive to.
        RxDoorbell[4 step 8] @ 0x1004: u32, WriteOnly;
    }
}
