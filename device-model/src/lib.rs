// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PCI devices in Rust, served to a hypervisor over vfio-user.
//!
//! A device is a type that implements [`PciDevice`]: it describes itself by a
//! [`DeviceSpec`], answers accesses to its BARs, and is handed [`Irqs`] and
//! [`Dma`] to act on its own. [`serve`] puts it behind a connected socket,
//! [`Server::bind`] behind a path.
//!
//! [`event::EventDevice`] is the device that irqbed measures with: the first
//! leg of an event's journey, from [`event::EventSource::raise`] to the
//! eventfd of an interrupt.

#![deny(unsafe_code, missing_docs)]

pub mod bar;
pub mod config_space;
pub mod control;

pub mod device;
pub mod dma;
pub mod event;
pub mod irq;
pub mod register;
pub mod server;
pub mod shared_memory;
pub mod socket;
pub mod spec;
pub mod tsc;
pub mod vfio_user;

pub use bar::{Area, Bar, BarIndex};
pub use device::{Bus, PciDevice, ResetKind};
pub use dma::{Dma, DmaError, GuestAddr, Segment};
pub use irq::{InterruptMode, Irqs, Signalled};
pub use register::{Access, RegisterMap, RegisterSet, Registers, Write};
pub use server::{
    Disconnect, Function, Options, ServeError, Server, ServerEnd, ServerHandle, Stopper, serve,
    serve_with,
};
pub use shared_memory::SharedMemory;
pub use spec::{DeviceSpec, Identity, IntxPin, Msi, Msix, SpecError};
pub use tsc::{GuestTsc, HostTsc};
