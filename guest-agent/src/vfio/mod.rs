// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device without a driver of ours: `vfio-pci` has it, a virtual IOMMU
//! stands between it and the memory, and the listener itself does what the
//! driver does otherwise. PID 1 binds and unbinds; the listener opens the
//! device, arms its rings in memory of its own, and takes records off them.

mod bar;
mod binding;
mod device;
mod dma;
mod ring;

pub use bar::instrument_of;
pub use binding::{bind, unbind};
pub use device::Device;
