// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PCI devices in Rust, served to a hypervisor over vfio-user.
//!
//! A device is a type that implements [`PciDevice`]: it describes itself by a
//! [`DeviceSpec`], answers accesses to its BARs, whose [`registers!`] it
//! declares by name, and is handed a [`Bus`] to act on its own: [`Irqs`] to
//! interrupt, [`Dma`] to reach the guest's memory, [`Timers`] to be called
//! back. [`serve`] puts it behind a connected socket, [`Server::bind`] behind
//! a path, [`Slot`] several functions behind a path each.
//!
//! [`event::EventDevice`] is the device that irqbed measures with: the first
//! leg of an event's journey, from [`event::EventSource::raise`] to the
//! eventfd of an interrupt.

#![deny(unsafe_code, missing_docs)]

mod attached;
pub mod bar;
pub mod capability;
pub mod config_space;
pub mod control;
pub mod device;
mod device_panic;
pub mod dma;
pub mod edu;
pub mod event;
pub mod fault;
pub mod hook;
pub mod irq;
pub mod log;
pub mod nic_lite;
pub mod recorder;
pub mod register;
pub mod server;
pub mod shared_memory;
pub mod slot;
pub mod spec;
pub mod timer;
pub mod tsc;
mod window;

pub use bar::{Area, Bar, BarIndex, BarKind};
pub use capability::{
    ExtendedCapability, IntxPin, Msi, Msix, OwnCapability, PowerManagement, VendorCapability,
};
pub use device::{Bus, PciDevice, PowerState, ResetKind};
pub use device_panic::DevicePanic;
pub use dma::{Dma, DmaError, GuestAddr, Segment};
pub use fault::{Fault, FaultInjection, Faults};
pub use irq::{InterruptMode, Irq, IrqError, Irqs, Signalled};
pub use irqbed_vfio_user::{self as vfio_user, socket};
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
pub use tsc::{GuestTsc, HostTsc};
