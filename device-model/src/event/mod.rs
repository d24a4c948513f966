// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The event device: the hardware that irqbed measures with. It writes event
//! records into completion rings in guest memory and interrupts by MSI-X, MSI or
//! INTx; its trace slots, mapped straight into the guest, take the time stamps,
//! and its doorbell takes replies. The contract with the driver is the crate
//! `irqbed-abi`.

mod counters;
mod instrument;
mod raise;
mod registers;
mod reply;
mod ring;
mod source;
mod state;

use irqbed_abi::{pci, trace::SLOTS};

pub use counters::DeviceCounters;
pub use instrument::{Instrument, InstrumentError, Pong};
pub use raise::{Burst, Outcome, Payload, RaiseError, Raised};
pub use source::EventSource;

use crate::{
    bar::{Bar, BarIndex},
    capability::{IntxPin, Msi, Msix},
    device::{Bus, PciDevice, ResetKind},
    recorder::RegisterNames,
    spec::{DeviceSpec, Identity},
    tsc::HostTsc,
};

/// Number of an event, counted from 1 over all vectors for as long as the
/// device exists: a reset does not start it anew, so no number ever means two
/// events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(u64);

impl Seq {
    /// `None` for 0, which is no event.
    #[must_use]
    pub const fn new(number: u64) -> Option<Self> {
        match number {
            0 => None,
            number => Some(Self(number)),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Index of the event's trace slot.
    #[must_use]
    pub const fn slot(self) -> u32 {
        ((self.0 - 1) % SLOTS as u64) as u32
    }
}

impl std::fmt::Display for Seq {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// Number of a vector of the event device, and of its ring, 0 to 31.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector(u32);

impl Vector {
    /// `None` for a vector that the device does not have.
    #[must_use]
    pub const fn new(number: u32) -> Option<Self> {
        if number < pci::VECTORS {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Every vector of the device.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..pci::VECTORS).map(Self)
    }
}

impl std::fmt::Display for Vector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

const fn bar(index: u32) -> BarIndex {
    match BarIndex::new(index) {
        Some(index) => index,
        None => panic!("the abi names a BAR that does not exist"),
    }
}

const CONTROL: BarIndex = bar(pci::CONTROL_BAR);
const DOORBELL: BarIndex = bar(pci::DOORBELL_BAR);
const INSTRUMENT: BarIndex = bar(pci::INSTRUMENT_BAR);
const MSIX: BarIndex = bar(pci::MSIX_BAR);

/// The event device. Make one, take its [`EventSource`], and serve it.
///
/// # Example
/// ```no_run
/// use std::time::Duration;
/// use device_model::event::{EventDevice, Payload, Vector};
/// let device = EventDevice::new()?;
/// let source = device.source();
/// let (server, for_qemu) = device_model::serve(device)?;
/// // ... start QEMU with `for_qemu`, and wait for its driver:
/// if source.wait_ready(Duration::from_secs(10)) {
///     let raised = source.raise(Vector::default(), Payload::Pattern(64))?;
///     println!("event {} was raised", raised.seq);
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventDevice {
    source: EventSource,
    msix: bool,
}

impl EventDevice {
    /// A device after power on.
    ///
    /// # Errors
    /// When there is no memory for the instrument BAR.
    pub fn new() -> Result<Self, InstrumentError> {
        Ok(Self {
            source: EventSource::new(Instrument::new()?),
            msix: true,
        })
    }

    /// The same device without MSI-X and its BAR: it interrupts by MSI or INTx.
    /// QEMU cannot let go of a device that has MSI-X, and of this one it can.
    ///
    /// It has 32 vectors by MSI all the same, of which a guest on x86 takes one,
    /// unless its interrupts are remapped by an IOMMU. The driver is loaded with
    /// `irq=msi` or `irq=intx`.
    #[must_use]
    pub fn without_msix(self) -> Self {
        Self {
            msix: false,
            ..self
        }
    }

    /// Its control registers, as a table in Markdown.
    #[must_use]
    pub fn registers() -> String {
        registers::Register::MAP.to_markdown()
    }

    /// A handle that raises events, and outlives the device.
    #[must_use]
    pub fn source(&self) -> EventSource {
        self.source.clone()
    }
}

impl PciDevice for EventDevice {
    fn spec(&self) -> DeviceSpec {
        let file = self.source.instrument().file();
        let spec = DeviceSpec::new(Identity {
            vendor: pci::PCI_VENDOR_ID,
            device: pci::PCI_DEVICE_ID,
            revision: pci::PCI_REVISION,
            // Unassigned class: no driver but ours takes it for its own.
            class: [0xff, 0, 0],
            subsystem_vendor: pci::PCI_VENDOR_ID,
            subsystem: pci::PCI_DEVICE_ID,
        })
        .bar(CONTROL, Bar::trapped(pci::CONTROL_BAR_SIZE))
        .bar(DOORBELL, Bar::trapped(pci::DOORBELL_BAR_SIZE))
        .bar(
            INSTRUMENT,
            Bar::mapped(file, pci::INSTRUMENT_BAR_SIZE)
                .wide()
                .prefetchable(),
        )
        .msi(Msi {
            vectors: pci::VECTORS,
        })
        .intx(IntxPin::A);
        if !self.msix {
            return spec;
        }
        spec.bar(MSIX, Bar::trapped(pci::MSIX_BAR_SIZE)).msix(Msix {
            bar: MSIX,
            vectors: pci::VECTORS,
            table_offset: pci::MSIX_TABLE_OFFSET,
            pba_offset: pci::MSIX_PBA_OFFSET,
        })
    }

    fn register_names(&self) -> RegisterNames {
        |bar, offset| match bar {
            CONTROL => Some(format!("{:?}", registers::Register::MAP.at(offset)?)),
            _ => None,
        }
    }

    fn attach(&mut self, bus: Bus) {
        self.source.attach(bus);
    }

    fn bar_read(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        if bar == CONTROL {
            let state = self.source.lock();
            let instrument = self.source.instrument();
            registers::read(offset, data, |register| state.read(register, instrument));
        } else {
            // The hypervisor keeps the MSI-X table to itself, and the doorbell
            // is only written.
            data.fill(0);
        }
    }

    fn bar_write(&mut self, bar: BarIndex, offset: u64, data: &[u8]) {
        if bar == DOORBELL {
            // The stamp comes first: whatever is before it is not measured.
            let now = HostTsc::now();
            self.source.reply(offset, data, now);
        } else if bar == CONTROL {
            registers::write(offset, data, |register, value| {
                self.source.write(register, value);
            });
        }
    }

    fn reset(&mut self, kind: ResetKind) {
        tracing::debug!("event device: reset ({kind:?})");
        self.source.reset();
    }
}
