// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest in miniature: the protocol's client in QEMU's place, and a few
//! lines in the driver's.

#![allow(dead_code)]

pub mod board;

use std::{
    fs::File,
    io::Read,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::FileExt,
    },
    path::PathBuf,
};

use device_model::{
    Server, ServerHandle,
    event::{EventDevice, EventSource},
};
use irqbed_abi::{pci, regs, ring::EventRecord, trace::consumer_offset};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
};
use tempfile::TempDir;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_DATA_EVENTFD,
    VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_INTX_IRQ_INDEX,
    VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
};
use zerocopy::FromBytes;

/// Where the guest's memory begins.
pub const RAM_AT: u64 = 0x10_0000;
/// How long it is, bytes.
pub const RAM_SIZE: u64 = 0x10_0000;
/// Capability id of MSI-X, and the enable bit of its message control.
const MSIX: (u8, u16) = (0x11, 0x8000);
/// Capability id of MSI, the enable bit of its message control, and where the
/// number of vectors lies.
const MSI: (u8, u16, u32) = (0x05, 1, 4);

/// Where ring 0 has its records.
pub const RECORDS_AT: u64 = RAM_AT;
/// Where ring 0 has its payloads.
pub const PAYLOAD_AT: u64 = RAM_AT + 0x8_0000;

pub struct Guest {
    pub client: vfio_user::Client,
    pub source: EventSource,
    pub server: ServerHandle,
    pub path: PathBuf,
    pub ram: File,
    pub eventfds: Vec<File>,
    instrument: File,
    _folder: TempDir,
}

pub fn memfd(size: u64) -> File {
    let file: OwnedFd = memfd_create("guest-ram", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, size).unwrap();
    file.into()
}

/// Offset of a capability in the configuration space, found as a driver does.
pub fn capability(client: &mut vfio_user::Client, id: u8) -> u64 {
    let mut byte = |at: u64| {
        let mut byte = [0];
        client
            .region_read(VFIO_PCI_CONFIG_REGION_INDEX, at, &mut byte)
            .unwrap();
        byte[0]
    };
    let mut at = byte(0x34);
    while at != 0 && byte(at.into()) != id {
        at = byte(u64::from(at) + 1);
    }
    assert_ne!(at, 0, "there is no capability {id:#x}");
    at.into()
}

impl Guest {
    /// A guest with memory, four vectors of MSI-X connected, and bus mastering
    /// on.
    pub fn boot() -> Self {
        let mut guest = Self::boot_bare();
        guest.enable_msix();
        for vector in 0..4 {
            guest.connect(vector);
        }
        guest
    }

    /// Takes to MSI-X, as after power on and after each reset.
    pub fn enable_msix(&mut self) {
        let (id, enable) = MSIX;
        let control = capability(&mut self.client, id) + 2;
        self.set_config(control, enable);
    }

    /// The same by MSI, with `2^power` vectors enabled and connected.
    pub fn boot_with_msi(power: u16) -> Self {
        let mut guest = Self::boot_bare();
        let (id, enable, count) = MSI;
        let control = capability(&mut guest.client, id) + 2;
        guest.set_config(control, enable | power << count);
        for vector in 0..1 << power {
            guest.connect_to(VFIO_PCI_MSI_IRQ_INDEX, vector);
        }
        guest
    }

    /// The same by INTx.
    pub fn boot_with_intx() -> Self {
        let mut guest = Self::boot_bare();
        guest.connect_to(VFIO_PCI_INTX_IRQ_INDEX, 0);
        guest
    }

    fn boot_bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let device = EventDevice::new().unwrap();
        let source = device.source();
        let server = Server::bind(&path).unwrap().serve(device).unwrap();
        let mut client = vfio_user::Client::new(&path).unwrap();
        let ram = memfd(RAM_SIZE);
        client
            .dma_map(0, RAM_AT, RAM_SIZE, ram.as_raw_fd())
            .unwrap();
        let region = client.region(pci::INSTRUMENT_BAR).unwrap();
        let instrument = region.file_offset.as_ref().unwrap().file();
        let instrument = instrument.try_clone().unwrap();
        let mut guest = Self {
            client,
            source,
            server,
            path,
            ram,
            eventfds: Vec::new(),
            instrument,
            _folder: folder,
        };
        guest.set_bus_master(true);
        guest
    }

    fn set_config(&mut self, at: u64, value: u16) {
        self.client
            .region_write(VFIO_PCI_CONFIG_REGION_INDEX, at, &value.to_le_bytes())
            .unwrap();
    }

    pub fn set_bus_master(&mut self, on: bool) {
        self.set_config(4, if on { 6 } else { 2 });
    }

    /// Gives the next vector of MSI-X an eventfd.
    pub fn connect(&mut self, vector: u32) {
        self.connect_to(VFIO_PCI_MSIX_IRQ_INDEX, vector);
    }

    fn connect_to(&mut self, index: u32, vector: u32) {
        let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
        let fd = eventfd(0, flags).unwrap();
        let set = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
        self.client
            .set_irqs(index, set, vector, 1, &[fd.as_raw_fd()])
            .unwrap();
        self.eventfds.push(fd.into());
    }

    /// What the hypervisor does when it thinks that the guest has served INTx.
    pub fn unmask_intx(&mut self) {
        let unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
        self.client
            .set_irqs(VFIO_PCI_INTX_IRQ_INDEX, unmask, 0, 1, &[])
            .unwrap();
    }

    /// Interrupts of a vector since the last look.
    pub fn interrupts(&self, vector: usize) -> u64 {
        let mut count = [0; 8];
        match (&self.eventfds[vector]).read_exact(&mut count) {
            Ok(()) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }

    pub fn register(&mut self, offset: u32) -> u32 {
        let mut value = [0; 4];
        self.client
            .region_read(pci::CONTROL_BAR, offset.into(), &mut value)
            .unwrap();
        u32::from_le_bytes(value)
    }

    pub fn set_register(&mut self, offset: u32, value: u32) {
        self.client
            .region_write(pci::CONTROL_BAR, offset.into(), &value.to_le_bytes())
            .unwrap();
    }

    pub fn enable(&mut self) {
        self.set_register(regs::REG_CTRL, regs::CTRL_ENABLE);
    }

    /// Arms a ring at the two addresses of ring 0, as the driver does.
    pub fn arm(&mut self, vector: u32, entries: u32, payload_size: u32) -> bool {
        self.arm_at(vector, RECORDS_AT, PAYLOAD_AT, entries, payload_size)
    }

    pub fn arm_at(
        &mut self,
        vector: u32,
        records: u64,
        payload: u64,
        entries: u32,
        payload_size: u32,
    ) -> bool {
        let base = regs::REG_RING_BASE + vector * regs::REG_RING_STRIDE;
        self.set_register(base + regs::RING_RECORDS_LO, records as u32);
        self.set_register(base + regs::RING_RECORDS_HI, (records >> 32) as u32);
        self.set_register(base + regs::RING_PAYLOAD_LO, payload as u32);
        self.set_register(base + regs::RING_PAYLOAD_HI, (payload >> 32) as u32);
        self.set_register(base + regs::RING_ENTRIES, entries);
        self.set_register(base + regs::RING_PAYLOAD_SIZE, payload_size);
        self.set_register(base + regs::RING_ARM, 1);
        self.register(base + regs::RING_ARM) == 1
    }

    /// Guest memory at an address.
    pub fn memory(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read_exact_at(&mut bytes, at - RAM_AT).unwrap();
        bytes
    }

    /// Record at an index of ring 0.
    pub fn record(&self, index: u64) -> EventRecord {
        let bytes = self.memory(RECORDS_AT + index * 32, 32);
        EventRecord::read_from_bytes(&bytes).unwrap()
    }

    /// Writes the consumer index, as the driver does through its mapping.
    pub fn consume(&self, vector: u32, index: u32) {
        self.instrument
            .write_all_at(&index.to_le_bytes(), consumer_offset(vector).into())
            .unwrap();
    }

    /// A word of the instrument BAR, as the guest reads it.
    pub fn instrument_u64(&self, offset: u32) -> u64 {
        let mut bytes = [0; 8];
        self.instrument
            .read_exact_at(&mut bytes, offset.into())
            .unwrap();
        u64::from_le_bytes(bytes)
    }

    /// Writes a word of the instrument BAR, as the guest does.
    pub fn set_instrument_u64(&self, offset: u32, value: u64) {
        self.instrument
            .write_all_at(&value.to_le_bytes(), offset.into())
            .unwrap();
    }
}
