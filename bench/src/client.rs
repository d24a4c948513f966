// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device without a hypervisor: a client of the protocol in QEMU's
//! place and a few lines in the driver's, in one process with the server.

use std::{
    fs::File,
    os::{fd::AsFd, unix::fs::FileExt},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use device_model::{
    Server, ServerHandle,
    event::{EventDevice, EventSource},
    vfio_user::Client,
};
use irqbed_abi::{pci, regs, trace::consumer_offset};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_PCI_CONFIG_REGION_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX,
};

/// Where the guest's memory begins, and how long it is, bytes.
const RAM: (u64, u64) = (0x10_0000, 0x10_0000);
/// Where the ring has its records and its payloads.
const RECORDS: u64 = RAM.0;
const PAYLOADS: u64 = RAM.0 + RAM.1 / 2;
/// Size of the area for payloads, bytes.
const PAYLOAD_AREA: u32 = 256 << 10;
/// How long the server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// Records in the ring.
pub const ENTRIES: u32 = 1024;
/// MSI-X message control in the configuration space, and its enable bit.
const MSIX_CONTROL: (u64, u16) = (0x42, 0x8000);
/// The command register: memory and bus mastering.
const COMMAND: (u64, u16) = (0x04, 0b110);

/// A device with one ring armed and its vector connected.
pub struct Bare {
    /// The connection.
    pub client: Client,
    /// What raises events.
    pub source: EventSource,
    instrument: File,
    _eventfd: File,
    _ram: File,
    // The client leaves first.
    _server: ServerHandle,
}

impl std::fmt::Debug for Bare {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bare").finish_non_exhaustive()
    }
}

impl Bare {
    /// Serves an event device and enables it, as QEMU and the driver do.
    ///
    /// # Errors
    /// When a part cannot be had, or the device does not take it.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder for a socket")?;
        let path = folder.path().join("device");
        let device = EventDevice::new()?;
        let source = device.source();
        let server = Server::bind(&path)?.serve(device)?;
        let mut client = Client::connect(&path, PATIENCE)?;
        let ram = memfd_create("guest-ram", MemfdFlags::CLOEXEC)?;
        ftruncate(&ram, RAM.1)?;
        client.dma_map(RAM.0, RAM.1, ram.as_fd())?;
        let signal = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        client.set_irqs(
            VFIO_PCI_MSIX_IRQ_INDEX,
            VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
            0,
            1,
            &[signal.as_fd()],
        )?;
        let instrument = client
            .region(pci::INSTRUMENT_BAR)?
            .file
            .context("the instrument BAR has no file")?;
        let mut bare = Self {
            client,
            source,
            instrument,
            _eventfd: signal.into(),
            _ram: ram.into(),
            _server: server,
        };
        for (at, value) in [COMMAND, MSIX_CONTROL] {
            let value = value.to_le_bytes();
            bare.client
                .region_write(VFIO_PCI_CONFIG_REGION_INDEX, at, &value)?;
        }
        bare.arm()?;
        ensure!(bare.source.is_ready(), "the device is not enabled");
        Ok(bare)
    }

    fn arm(&mut self) -> Result<()> {
        let halves = |address: u64| (address as u32, (address >> 32) as u32);
        let (records, payloads) = (halves(RECORDS), halves(PAYLOADS));
        for (register, value) in [
            (regs::RING_RECORDS_LO, records.0),
            (regs::RING_RECORDS_HI, records.1),
            (regs::RING_PAYLOAD_LO, payloads.0),
            (regs::RING_PAYLOAD_HI, payloads.1),
            (regs::RING_ENTRIES, ENTRIES),
            (regs::RING_PAYLOAD_SIZE, PAYLOAD_AREA),
            (regs::RING_ARM, 1),
        ] {
            self.set_register(regs::REG_RING_BASE + register, value)?;
        }
        self.set_register(regs::REG_CTRL, regs::CTRL_ENABLE)?;
        let armed = self.register(regs::REG_RING_BASE + regs::RING_ARM)?;
        ensure!(armed == 1, "the device does not take the ring");
        Ok(())
    }

    /// Reads a control register.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn register(&mut self, offset: u32) -> Result<u32> {
        let mut value = [0; 4];
        self.client
            .region_read(pci::CONTROL_BAR, offset.into(), &mut value)?;
        Ok(u32::from_le_bytes(value))
    }

    /// Writes a control register.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn set_register(&mut self, offset: u32, value: u32) -> Result<()> {
        let value = value.to_le_bytes();
        Ok(self
            .client
            .region_write(pci::CONTROL_BAR, offset.into(), &value)?)
    }

    /// Reads four bytes of the configuration space.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn config(&mut self, offset: u64) -> Result<u32> {
        let mut value = [0; 4];
        self.client
            .region_read(VFIO_PCI_CONFIG_REGION_INDEX, offset, &mut value)?;
        Ok(u32::from_le_bytes(value))
    }

    /// Takes every record there is, as the driver tells it.
    ///
    /// # Errors
    /// When the instrument BAR cannot be written.
    pub fn consume(&self) -> Result<()> {
        // The index runs free, from when the ring was armed.
        let index = self.source.counters().published as u32;
        let at = consumer_offset(0).into();
        Ok(self.instrument.write_all_at(&index.to_le_bytes(), at)?)
    }
}

#[cfg(test)]
mod tests {
    use device_model::event::{Outcome, Payload, Vector};

    use super::*;

    #[test]
    fn the_ring_takes_lap_after_lap() {
        let bare = Bare::new().expect("a device");
        for _ in 0..3 {
            for _ in 0..ENTRIES {
                let raised = bare.source.raise(Vector::default(), Payload::Pattern(16));
                assert_eq!(raised.expect("an event").outcome, Outcome::Signalled);
            }
            bare.consume().expect("a shared word");
        }
        assert_eq!(bare.source.in_flight(Vector::default()), 0);
    }
}
