// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PCI devices in Rust, served to a hypervisor over vfio-user.
//!
//! A device is a type that implements [`PciDevice`]: it describes itself by a
//! [`DeviceSpec`], answers accesses to its BARs, whose [`registers!`] it
//! declares by name, and is handed a [`Bus`] to act on its own: to
//! [interrupt](Irq), to reach the guest's memory by [`Dma`], and to be called back by
//! [`Timers`](timer::Timers). [`serve`] puts it behind a connected socket, [`Server::bind`] behind
//! a path, [`Slot`] several functions behind a path each.
//!
//! [`event::EventDevice`] is the device that irqbed measures with: the first
//! leg of an event's journey, from [`event::EventSource::raise`] to the
//! eventfd of an interrupt.

#![deny(unsafe_code, missing_docs)]

pub mod control;
pub mod edu;
pub mod event;
pub mod log;
pub mod nic_lite;
pub mod program;
pub mod tsc;

pub use irqbed_fault::{self as fault, Fault, FaultInjection, Faults};
#[doc(inline)]
pub use irqbed_pci::{
    Bar, BarIndex, Bus, DeviceSpec, Dma, DmaError, GuestAddr, Identity, IntxPin, Irq, IrqError,
    Msi, Options, PciDevice, PowerState, Registers, ResetKind, Server, ServerHandle, SharedMemory,
    Signalled, Slot, TimerId, registers, serve,
};
pub use irqbed_pci::{
    bar, capability, config_space, device, dma, hook, irq, recorder, register, server,
    shared_memory, slot, spec, timer,
};
#[doc(no_inline)]
pub use irqbed_pci::{
    bar::Area,
    capability::{ExtendedCapability, OwnCapability, PowerManagement, VendorCapability},
    recorder::{Recorder, RegisterAccess},
    server::{Disconnect, Function, ServeError, ServerEnd, serve_with},
};
pub use irqbed_vfio_user::{self as vfio_user, socket};
pub use tsc::{GuestTsc, HostTsc};
