// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device as a process drives it: believed only as far as it was checked,
//! its rings armed, its interrupts at an eventfd. When it is closed, `vfio-pci`
//! stops and resets it, however the process ended.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result, bail, ensure};
use irqbed_abi::{
    pci::{CONTROL_BAR, VECTORS},
    regs::{
        ABI_VERSION, CTRL_ENABLE, CTRL_RESET, MAGIC, REG_CTRL, REG_MAGIC, REG_RING_BASE,
        REG_RING_STRIDE, REG_STATUS, REG_VERSION, RING_ARM, RING_ENTRIES, RING_PAYLOAD_HI,
        RING_PAYLOAD_LO, RING_PAYLOAD_SIZE, RING_RECORDS_HI, RING_RECORDS_LO, STATUS_READY,
    },
};
use vfio_bindings::bindings::vfio::VFIO_PCI_CONFIG_REGION_INDEX;
use vfio_ioctls::{VfioContainer, VfioDevice};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EventFd};

use super::{
    bar, binding,
    dma::Area,
    ring::{ENTRIES, PAYLOAD_AREA, Ring, SIZE, Taken},
};
use crate::{instrument::Instrument, mapping::Mapping, signal::Action, sink::Sink};

/// The command register of the configuration space, and in it the bit that
/// lets the device write to memory.
const COMMAND: u64 = 4;
const COMMAND_MASTER: u16 = 1 << 2;

/// The event device, driven by this process.
pub struct Device {
    // Closed, and so stopped, before the memory it writes to goes.
    vfio: VfioDevice,
    area: Area,
    bar: Instrument,
    rings: Vec<Ring>,
    signal: EventFd,
    stopped: Arc<AtomicBool>,
}

impl Device {
    /// Opens the device and arms the ring of each vector of a mask; events may
    /// be raised when this returns.
    pub fn open(vectors: u32) -> Result<Self> {
        let container =
            Arc::new(VfioContainer::new(None).context("there is no VFIO (is vfio-pci bound?)")?);
        let vfio = VfioDevice::new(&binding::event_device()?, container.clone(), false)
            .context("cannot open the event device (does another process drive it?)")?;
        let rings: Vec<_> = (0..VECTORS)
            .filter(|vector| vectors & 1 << vector != 0)
            .zip((0..).step_by(SIZE))
            .map(|(vector, base)| Ring::new(vector, base))
            .collect();
        ensure!(!rings.is_empty(), "a listener without vectors");
        let device = Self {
            bar: bar::instrument(&vfio)?,
            area: Area::new(container, rings.len() * SIZE)?,
            vfio,
            rings,
            signal: EventFd::new(EFD_CLOEXEC).context("cannot make an eventfd")?,
            stopped: Arc::default(),
        };
        device.start()?;
        Ok(device)
    }

    /// A mapping of the instrument BAR.
    pub fn instrument(&self) -> Result<Instrument> {
        bar::instrument(&self.vfio)
    }

    /// Registers that do not answer read as all ones.
    fn read(&self, register: u32) -> u32 {
        let mut value = [0xff; 4];
        self.vfio
            .region_read(CONTROL_BAR, &mut value, u64::from(register));
        u32::from_le_bytes(value)
    }

    fn write(&self, register: u32, value: u32) {
        let value = value.to_le_bytes();
        self.vfio
            .region_write(CONTROL_BAR, &value, u64::from(register));
    }

    fn start(&self) -> Result<()> {
        let (magic, version) = (self.read(REG_MAGIC), self.read(REG_VERSION));
        ensure!(
            magic == MAGIC,
            "this is no irqbed device: magic is {magic:#x}, not {MAGIC:#x}"
        );
        ensure!(
            version == ABI_VERSION,
            "the device speaks ABI version {version}, this agent {ABI_VERSION}; build both from \
             the same sources"
        );
        self.write(REG_CTRL, CTRL_RESET);
        self.set_bus_master();
        // One eventfd for all: which ring has news is seen in the rings.
        let last = self.rings.last().map_or(0, Ring::vector) as usize;
        self.vfio
            .enable_msix(vec![&self.signal; last + 1])
            .context("cannot take the MSI-X interrupts")?;
        for ring in &self.rings {
            self.arm(ring)?;
        }
        self.write(REG_CTRL, CTRL_ENABLE);
        let status = self.read(REG_STATUS);
        ensure!(
            status != u32::MAX && status & STATUS_READY != 0,
            "the device is not ready after enabling it: status {status:#x}"
        );
        Ok(())
    }

    /// Lets the device write to memory.
    fn set_bus_master(&self) {
        let mut command = [0; 2];
        self.vfio
            .region_read(VFIO_PCI_CONFIG_REGION_INDEX, &mut command, COMMAND);
        let command = u16::from_le_bytes(command) | COMMAND_MASTER;
        self.vfio.region_write(
            VFIO_PCI_CONFIG_REGION_INDEX,
            &command.to_le_bytes(),
            COMMAND,
        );
    }

    fn arm(&self, ring: &Ring) -> Result<()> {
        let base = REG_RING_BASE + ring.vector() * REG_RING_STRIDE;
        let records = self.area.address(ring.records());
        let payloads = self.area.address(ring.payloads());
        self.write(base + RING_RECORDS_LO, records as u32);
        self.write(base + RING_RECORDS_HI, (records >> 32) as u32);
        self.write(base + RING_PAYLOAD_LO, payloads as u32);
        self.write(base + RING_PAYLOAD_HI, (payloads >> 32) as u32);
        self.write(base + RING_ENTRIES, ENTRIES);
        self.write(base + RING_PAYLOAD_SIZE, PAYLOAD_AREA);
        self.write(base + RING_ARM, 1);
        if self.read(base + RING_ARM) != 1 {
            bail!(
                "the device refused ring {}: {ENTRIES} records at {records:#x}, {PAYLOAD_AREA} \
                 bytes of payloads at {payloads:#x}",
                ring.vector()
            );
        }
        Ok(())
    }

    /// Makes [`Device::wait`] say that it was the last time; for a signal
    /// handler.
    pub fn stop(&self) -> Result<Action> {
        let signal = self.signal.try_clone()?;
        let stopped = Arc::clone(&self.stopped);
        Ok(Box::new(move || {
            stopped.store(true, Ordering::Relaxed);
            // It fails only when the count is about to overflow: then the
            // reader is awake.
            let _ = signal.write(1);
        }))
    }

    /// Waits for an interrupt; true when it is the last one to wait for.
    #[inline(always)]
    pub fn wait(&self) -> Result<bool> {
        self.signal.read().context("cannot read the eventfd")?;
        Ok(self.stopped.load(Ordering::Relaxed))
    }

    /// Takes what is in the rings, one record of each in turn, so that a ring
    /// that never empties leaves the others their room. At most one lap: a
    /// record left over was written after its interrupt and has another.
    #[inline(always)]
    pub fn drain(&mut self, sink: &mut Sink) {
        for _ in 0..ENTRIES {
            let mut found = false;
            for ring in &mut self.rings {
                found |= take(ring, self.area.memory(), &self.bar, sink);
            }
            if !found {
                return;
            }
        }
    }
}

/// Takes the oldest record of a ring, if there is one.
#[inline(always)]
fn take(ring: &mut Ring, memory: &Mapping, bar: &Instrument, sink: &mut Sink) -> bool {
    let (vector, consumed) = (ring.vector(), ring.consumed().wrapping_add(1));
    let Some(taken) = ring.take(memory) else {
        return false;
    };
    // Record and payload are copied: the device may write over them.
    bar.consume(vector, consumed);
    match taken {
        Taken::Event(user, event, payload) => sink.deliver(user, &event, payload),
        Taken::BadRecord => sink.count_malformed(),
    }
    true
}
