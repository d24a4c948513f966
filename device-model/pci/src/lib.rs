// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PCI devices in Rust, served to a hypervisor over vfio-user.
//!
//! A device is a type that implements [`PciDevice`]: it describes itself by a
//! [`DeviceSpec`], answers accesses to its BARs, whose [`registers!`] it
//! declares by name, and is handed a [`Bus`] to act on its own: [`Irq`]s to
//! interrupt, [`Dma`] to reach the guest's memory, [`Timers`](timer::Timers) to be called
//! back. [`serve`] puts it behind a connected socket, [`Server::bind`] behind
//! a path, [`Slot`] several functions behind a path each.
//!
//! What stands here is what each device needs, the rest is in the modules.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod attached;
pub mod bar;
pub mod capability;
pub mod config_space;
pub mod device;
mod device_panic;
pub mod dma;
pub mod hook;
pub mod irq;
pub mod recorder;
pub mod register;
pub mod server;
pub mod shared_memory;
pub mod slot;
pub mod spec;
pub mod timer;
mod window;

pub use irqbed_vfio_user as vfio_user;

pub use bar::{Bar, BarIndex};
pub use capability::{IntxPin, Msi};
pub use device::{Bus, PciDevice, PowerState, ResetKind};
pub use dma::{Dma, DmaError, GuestAddr};
pub use irq::{Irq, IrqError, Signalled};
pub use register::Registers;
pub use server::{Options, Server, ServerHandle, serve};
pub use shared_memory::SharedMemory;
pub use slot::Slot;
pub use spec::{DeviceSpec, Identity};
pub use timer::TimerId;
