// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How the event device presents itself on the PCI bus: the identity by which
//! the driver finds it, and what each BAR holds.

/// PCI vendor id. 0x1bed is not assigned to anybody we know of; a device that
/// exists only in a testbed must not claim another vendor's number.
pub const PCI_VENDOR_ID: u16 = 0x1bed;
/// PCI device id of the event device.
pub const PCI_DEVICE_ID: u16 = 0x1001;
/// PCI revision; moves with [`crate::regs::ABI_VERSION`].
pub const PCI_REVISION: u8 = 3;

/// BAR of the trapped control registers, see [`crate::regs`].
pub const CONTROL_BAR: u32 = 0;
/// Size of the control BAR, bytes.
pub const CONTROL_BAR_SIZE: u64 = 0x1000;
/// BAR of the doorbell, trapped, see [`crate::reply`]. It is a BAR of its own, so
/// that a process that maps it reaches nothing else.
pub const DOORBELL_BAR: u32 = 1;
/// Size of the doorbell BAR, bytes: a page.
pub const DOORBELL_BAR_SIZE: u64 = 0x1000;
/// BAR of the memory that host and guest share, see [`crate::trace`]. It is
/// 64 bits wide and so takes BAR 3 too.
pub const INSTRUMENT_BAR: u32 = 2;
/// Size of the instrument BAR, bytes.
pub const INSTRUMENT_BAR_SIZE: u64 = 0x40_0000;
/// BAR of the MSI-X table and pending bits.
pub const MSIX_BAR: u32 = 4;
/// Size of the MSI-X BAR, bytes.
pub const MSIX_BAR_SIZE: u64 = 0x1000;
/// Offset of the MSI-X table in its BAR, bytes.
pub const MSIX_TABLE_OFFSET: u32 = 0;
/// Offset of the MSI-X pending bit array in its BAR, bytes.
pub const MSIX_PBA_OFFSET: u32 = 0x800;
/// Vectors of the event device by MSI-X and by MSI, each with a completion
/// ring. A ring whose vector the guest has not enabled by MSI interrupts by
/// vector 0, and with INTx all do by the one line.
pub const VECTORS: u32 = 32;
