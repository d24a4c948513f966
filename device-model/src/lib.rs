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

pub mod control;
pub mod edu;
pub mod event;
pub mod log;
pub mod nic_lite;
pub mod tsc;

pub use irqbed_fault::{self as fault, Fault, FaultInjection, Faults};
pub use irqbed_pci::{
    Access, Area, Bar, BarIndex, BarKind, Bus, DevicePanic, DeviceSpec, Disconnect, Dma, DmaError,
    ExtendedCapability, Function, GuestAddr, Identity, InterruptMode, IntxPin, Irq, IrqError, Irqs,
    Msi, Msix, Options, OwnCapability, PciDevice, PowerManagement, PowerState, Recorder,
    RegisterAccess, RegisterMap, RegisterNames, RegisterSet, Registers, ResetKind, Segment,
    ServeError, Server, ServerEnd, ServerHandle, SharedMemory, Signalled, Slot, SpecError, Stopper,
    TimerId, Timers, VendorCapability, Warning, Write, bar, capability, config_space, device, dma,
    hook, irq, recorder, register, registers, serve, serve_with, server, shared_memory, slot, spec,
    timer,
};
pub use irqbed_vfio_user::{self as vfio_user, socket};
pub use tsc::{GuestTsc, HostTsc};
