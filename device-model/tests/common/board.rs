// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A machine in miniature for any device: the protocol's client in QEMU's
//! place, memory, and eventfds for its interrupts.

use std::{
    fs::File,
    io::Read,
    os::{fd::AsRawFd, unix::fs::FileExt},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use device_model::{PciDevice, Server, ServerHandle};
use rustix::event::{EventfdFlags, eventfd};
use tempfile::TempDir;
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK, VFIO_IRQ_SET_DATA_EVENTFD,
    VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_INTX_IRQ_INDEX,
    VFIO_PCI_MSI_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX,
};

use super::{RAM_AT, RAM_SIZE, capability, memfd};

/// How long anything may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(30);

/// Kinds of interrupts, as the protocol numbers them.
pub const INTX: u32 = VFIO_PCI_INTX_IRQ_INDEX;
pub const MSI: u32 = VFIO_PCI_MSI_IRQ_INDEX;
pub const MSIX: u32 = VFIO_PCI_MSIX_IRQ_INDEX;

pub struct Board {
    pub client: vfio_user::Client,
    pub server: ServerHandle,
    ram: File,
    eventfds: Vec<File>,
    _folder: Option<TempDir>,
}

impl Board {
    /// Serves the device, and gives it memory; it may master the bus.
    pub fn with(device: impl PciDevice) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let server = Server::bind(&path).unwrap().serve(device).unwrap();
        let mut board = Self::connect_to(&path, server);
        board._folder = Some(folder);
        board
    }

    /// The same for a device that is served already.
    pub fn connect_to(path: &Path, server: ServerHandle) -> Self {
        let mut client = vfio_user::Client::new(path).unwrap();
        let ram = memfd(RAM_SIZE);
        client
            .dma_map(0, RAM_AT, RAM_SIZE, ram.as_raw_fd())
            .unwrap();
        let mut board = Self {
            client,
            server,
            ram,
            eventfds: Vec::new(),
            _folder: None,
        };
        board.set_config(4, 0b111_u16);
        board
    }

    pub fn config(&mut self, at: u64) -> u32 {
        self.read(VFIO_PCI_CONFIG_REGION_INDEX, at)
    }

    pub fn set_config(&mut self, at: u64, value: u16) {
        self.client
            .region_write(VFIO_PCI_CONFIG_REGION_INDEX, at, &value.to_le_bytes())
            .unwrap();
    }

    /// Connects the vectors of a kind and switches it on, all of MSI.
    pub fn enable(&mut self, kind: u32, vectors: u32) {
        for vector in 0..vectors {
            let flags = EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC;
            let fd = eventfd(0, flags).unwrap();
            let set = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER;
            self.client
                .set_irqs(kind, set, vector, 1, &[fd.as_raw_fd()])
                .unwrap();
            self.eventfds.push(fd.into());
        }
        match kind {
            MSI => {
                let control = capability(&mut self.client, 0x05) + 2;
                self.set_config(control, 1 | (vectors.trailing_zeros() as u16) << 4);
            }
            MSIX => {
                let control = capability(&mut self.client, 0x11) + 2;
                self.set_config(control, 0x8000);
            }
            _ => {}
        }
    }

    /// What the hypervisor does when the guest has served INTx.
    pub fn unmask_intx(&mut self) {
        let unmask = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_UNMASK;
        self.client.set_irqs(INTX, unmask, 0, 1, &[]).unwrap();
    }

    /// Interrupts of a vector since the last look.
    pub fn interrupts(&self, vector: usize) -> u64 {
        let mut count = [0; 8];
        match (&self.eventfds[vector]).read_exact(&mut count) {
            Ok(()) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }

    /// Waits for an interrupt of a vector.
    pub fn wait_interrupt(&self, vector: usize) {
        wait("an interrupt", || self.interrupts(vector) > 0);
    }

    pub fn read(&mut self, region: u32, offset: u64) -> u32 {
        let mut value = [0; 4];
        self.client.region_read(region, offset, &mut value).unwrap();
        u32::from_le_bytes(value)
    }

    pub fn write(&mut self, region: u32, offset: u64, value: u32) {
        self.client
            .region_write(region, offset, &value.to_le_bytes())
            .unwrap();
    }

    pub fn write_wide(&mut self, region: u32, offset: u64, value: u64) {
        self.client
            .region_write(region, offset, &value.to_le_bytes())
            .unwrap();
    }

    /// Guest memory at an address.
    pub fn memory(&self, at: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.ram.read_exact_at(&mut bytes, at - RAM_AT).unwrap();
        bytes
    }

    pub fn set_memory(&self, at: u64, bytes: &[u8]) {
        self.ram.write_all_at(bytes, at - RAM_AT).unwrap();
    }
}

/// Waits until something holds.
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < LIMIT, "{what} does not come");
        thread::sleep(Duration::from_millis(1));
    }
}
