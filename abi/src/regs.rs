// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Control registers of the event device: BAR 0, 32 bits each, trapped.
//!
//! Every access leaves the guest, so nothing on the path of an event touches
//! them but [`REG_IRQ_STATUS`], and that only with INTx: they describe the
//! device and arm its rings.

/// Version of everything in this crate that the driver sees.
pub const ABI_VERSION: u32 = 3;
/// Value of [`REG_MAGIC`]: "IRQB" in memory order.
pub const MAGIC: u32 = 0x4251_5249;

/// Read-only: [`MAGIC`].
pub const REG_MAGIC: u32 = 0x00;
/// Read-only: [`ABI_VERSION`].
pub const REG_VERSION: u32 = 0x04;
/// Read-only: number of rings, and of vectors where each has its own.
pub const REG_VECTORS: u32 = 0x08;
/// Read-only: number of trace slots in the instrument BAR.
pub const REG_SLOTS: u32 = 0x0c;
/// Read-only: longest payload in bytes.
pub const REG_MAX_PAYLOAD: u32 = 0x10;
/// Read-write: control bits, see `CTRL_*`.
pub const REG_CTRL: u32 = 0x14;
/// Read-only: status bits, see `STATUS_*`.
pub const REG_STATUS: u32 = 0x18;
/// Read-write: keeps what was written; for liveness checks and access timing.
pub const REG_SCRATCH: u32 = 0x1c;
/// Write-only: raises one event, so that a driver can test its interrupts with no
/// host at hand. Bits 15:0 are the vector, bits 31:16 how many bytes the event
/// carries (of [`crate::pattern`]).
pub const REG_SELF_RAISE: u32 = 0x20;
/// Read, and write one to clear: bit `v` is set when a record was written to
/// ring `v` that INTx announces. The line is asserted while any bit is set, and
/// a record written after its bit was cleared sets it again. Zero with MSI-X and
/// MSI, which need no acknowledge.
pub const REG_IRQ_STATUS: u32 = 0x24;
/// Read-only: bit `v` is set while ring `v` holds records that the driver has
/// not consumed, by its consumer index.
pub const REG_PENDING: u32 = 0x28;

/// [`REG_CTRL`]: the device may raise events.
pub const CTRL_ENABLE: u32 = 1 << 0;
/// [`REG_CTRL`]: writing one resets the device; reads as zero.
pub const CTRL_RESET: u32 = 1 << 1;

/// [`REG_STATUS`]: events can be raised (enabled, no error).
pub const STATUS_READY: u32 = 1 << 0;
/// [`REG_STATUS`]: a DMA access failed; only a reset clears it.
pub const STATUS_DMA_ERROR: u32 = 1 << 1;

/// First ring register block; ring `v` starts at
/// `REG_RING_BASE + v * REG_RING_STRIDE`.
pub const REG_RING_BASE: u32 = 0x100;
/// Distance in bytes between the register blocks of two rings.
pub const REG_RING_STRIDE: u32 = 0x40;
/// Read-write: bits 31:0 of the DMA address of the records, 64-byte aligned.
pub const RING_RECORDS_LO: u32 = 0x00;
/// Read-write: bits 63:32 of the DMA address of the records.
pub const RING_RECORDS_HI: u32 = 0x04;
/// Read-write: bits 31:0 of the DMA address of the payload area, 64-byte aligned.
pub const RING_PAYLOAD_LO: u32 = 0x08;
/// Read-write: bits 63:32 of the DMA address of the payload area.
pub const RING_PAYLOAD_HI: u32 = 0x0c;
/// Read-write: number of records, a power of two from
/// [`crate::ring::MIN_ENTRIES`] to [`crate::ring::MAX_ENTRIES`].
pub const RING_ENTRIES: u32 = 0x10;
/// Read-write: size of the payload area in bytes, a multiple of
/// [`crate::ring::PAYLOAD_ALIGN`], at least [`crate::ring::MIN_PAYLOAD_AREA`].
pub const RING_PAYLOAD_SIZE: u32 = 0x14;
/// Read-write: 1 arms the ring, empty, with [`RING_NEXT`] as its consumer index;
/// reads back 0 when its geometry or its addresses were refused.
///
/// 0 stops it. When that write is answered, the device writes nothing more to
/// the ring's memory, also not what is late. The records in it are the driver's
/// to take until the ring is armed again; what its consumer index leaves by then
/// is discarded. An event raised meanwhile finds no room, as in a full ring.
pub const RING_ARM: u32 = 0x18;
/// Read-only: events lost because the ring or its payload area was full.
pub const RING_OVERFLOWS: u32 = 0x1c;
/// Read-write: number of the next record. What is written is the number of the
/// first one, from when the ring is armed.
pub const RING_NEXT: u32 = 0x20;
