// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which instructions of kernel modules were executed: memory that the plugin inside QEMU
//! writes and the harness reads, a byte for each address that the code of a module can have.
//! Of most of it nothing is ever touched, and so nothing allocated.
//!
//! A byte is a set of [`EXECUTED`], [`FELL_THROUGH`] and [`JUMPED`]. The plugin only sets
//! bits; the harness clears those of memory whose module it knows, before another module's
//! code may be there.

/// The first address that has a byte: where kernels without a random base have their modules
/// (`MODULES_VADDR` in `arch/x86/include/asm/pgtable_64_types.h`); others have them above.
pub const FIRST: u64 = 0xffff_ffff_a000_0000;
/// Bytes of the map; behind it no module is (`MODULES_END`).
pub const MAP_SIZE: u64 = 0xffff_ffff_ff00_0000 - FIRST;

/// The instruction at this address was executed.
pub const EXECUTED: u8 = 1;
/// The conditional jump at this address was followed by the next instruction.
pub const FELL_THROUGH: u8 = 2;
/// It was followed by its target.
pub const JUMPED: u8 = 4;

/// Where the byte of an address is; `None` where no module can be.
#[must_use]
pub const fn offset(address: u64) -> Option<u64> {
    match address.checked_sub(FIRST) {
        Some(offset) if offset < MAP_SIZE => Some(offset),
        _ => None,
    }
}
