// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PCI devices in Rust, served to a hypervisor over vfio-user.
//!
//! A device is a type that implements [`PciDevice`]: it describes itself by a
//! [`DeviceSpec`], answers accesses to its BARs, whose [`registers!`] it
//! declares by name, and is handed a [`Bus`] to act on its own: [`Irq`](irq::Irq)s to
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

pub use bar::{Area, Bar, BarIndex, BarKind};
pub use capability::{
    ExtendedCapability, IntxPin, Msi, Msix, OwnCapability, PowerManagement, VendorCapability,
};
pub use device::{Bus, PciDevice, PowerState, ResetKind};
pub use device_panic::DevicePanic;
pub use dma::{Dma, DmaError, GuestAddr, Segment};
pub use irq::{InterruptMode, Irq, IrqError, Irqs, Signalled};
pub use recorder::{Recorder, RegisterAccess, RegisterNames, Warning};
pub use register::{Access, RegisterMap, RegisterSet, Registers, Write};
pub use server::{
    Disconnect, Function, Options, ServeError, Server, ServerEnd, ServerHandle, Stopper, serve,
    serve_with,
};
pub use shared_memory::SharedMemory;
pub use slot::Slot;
pub use spec::{DeviceSpec, Identity, SpecError};
pub use timer::{TimerId, Timers};
