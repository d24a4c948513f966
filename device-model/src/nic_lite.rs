// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A network card in miniature, to show queues: rings of descriptors in the
//! guest's memory, doorbells in a page of their own, a vector of MSI-X for each
//! queue. Its wire is a loop: what a queue sends, it receives.

mod queue;
mod registers;

pub use queue::{DONE, Descriptor, MAX_PACKET, MORE, TRUNCATED};
pub use registers::{NicRegister, QUEUES};

use queue::{Queue, QueueError, Rings};

use crate::{
    bar::{Bar, BarIndex},
    capability::PowerManagement,
    device::{Bus, PciDevice, ResetKind},
    dma::GuestAddr,
    recorder::RegisterNames,
    register::{Registers, Write},
    spec::{DeviceSpec, Identity},
};

/// The BAR of the MSI-X table.
const MSIX_BAR: BarIndex = BarIndex::BAR4;
/// Control: the card works.
const ENABLE: u64 = 1;

/// The network card in miniature.
///
/// # Example
/// ```no_run
/// use device_model::nic_lite::NicLite;
/// let (server, for_qemu) = device_model::serve(NicLite::new())?;
/// # Ok::<(), device_model::ServeError>(())
/// ```
#[derive(Debug)]
pub struct NicLite {
    registers: Registers<NicRegister>,
    queues: [Queue; QUEUES as usize],
    bus: Bus,
}

impl Default for NicLite {
    fn default() -> Self {
        Self::new()
    }
}

impl NicLite {
    /// A card after power on.
    #[must_use]
    pub fn new() -> Self {
        Self {
            registers: Registers::new(),
            queues: Default::default(),
            bus: Bus::detached(),
        }
    }

    fn write(&mut self, write: Write<NicRegister>) {
        let value = self.registers.write(write);
        match write.register {
            NicRegister::Control if value & ENABLE == 0 => self.queues = Default::default(),
            NicRegister::TxDoorbell(queue) => self.ring(queue, |queue| &mut queue.tx_tail, value),
            NicRegister::RxDoorbell(queue) => self.ring(queue, |queue| &mut queue.rx_tail, value),
            // A queue that is let go again starts anew.
            NicRegister::Errors => {
                for (number, queue) in (0_u32..).zip(&mut self.queues) {
                    if write.value & 1 << number != 0 {
                        *queue = Queue::default();
                    }
                }
            }
            _ => {}
        }
        self.publish();
    }

    /// The driver has moved a tail.
    fn ring(&mut self, number: u32, tail: fn(&mut Queue) -> &mut u32, value: u64) {
        let bit = 1 << number;
        let works = self.registers.get(NicRegister::Control) & ENABLE != 0;
        let stopped = self.registers.get(NicRegister::Errors) & bit != 0;
        let rings = self.rings(number);
        let Some(queue) = self.queues.get_mut(number as usize) else {
            return;
        };
        if !works || stopped {
            return;
        }
        *tail(queue) = value as u32;
        let done = queue.run(&rings, &self.bus.dma);
        let dropped = self.registers.get(NicRegister::Dropped(number));
        let dropped = dropped
            .saturating_add(done.dropped.into())
            .min(u32::MAX.into());
        self.registers.set(NicRegister::Dropped(number), dropped);
        let told = done.descriptors > 0 || done.error.is_some();
        if let Some(error) = done.error {
            // The library warns of those to memory, unless a fault refused them.
            if !matches!(error, QueueError::Dma(_)) {
                let recorder = &self.bus.recorder;
                recorder.warn(format_args!("nic-lite: queue {number} stops: {error}"));
            }
            self.registers.set_bits(NicRegister::Errors, bit);
        }
        let wanted = self.registers.get(NicRegister::Interrupts) & bit != 0;
        if wanted
            && told
            && let Err(error) = self.bus.irqs.msix(number).raise()
        {
            self.bus.recorder.warn(format_args!("nic-lite: {error}"));
        }
    }

    fn rings(&self, queue: u32) -> Rings {
        let get = |register| self.registers.get(register);
        Rings {
            tx: GuestAddr(get(NicRegister::TxRing(queue))),
            tx_size: get(NicRegister::TxSize(queue)) as u32,
            rx: GuestAddr(get(NicRegister::RxRing(queue))),
            rx_size: get(NicRegister::RxSize(queue)) as u32,
        }
    }

    /// Shows how far the queues are.
    fn publish(&mut self) {
        for (number, queue) in (0..).zip(&self.queues) {
            let (tx, rx) = (queue.tx_head.into(), queue.rx_head.into());
            self.registers.set(NicRegister::TxHead(number), tx);
            self.registers.set(NicRegister::RxHead(number), rx);
        }
    }
}

impl PciDevice for NicLite {
    fn spec(&self) -> DeviceSpec {
        let identity = Identity {
            // Ethernet controller.
            class: [0x02, 0x00, 0x00],
            ..Identity::new(0x1bed, 0x0002)
        };
        DeviceSpec::new(identity)
            .bar(BarIndex::BAR0, Bar::trapped(NicRegister::MAP.bar_size()))
            .msix_in(MSIX_BAR, QUEUES)
            .power(PowerManagement::default())
            .express()
    }

    fn register_names(&self) -> RegisterNames {
        |bar, offset| match bar {
            BarIndex::BAR0 => Some(format!("{:?}", NicRegister::MAP.at(offset)?)),
            _ => None,
        }
    }

    fn attach(&mut self, bus: Bus) {
        self.bus = bus;
    }

    fn bar_read(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        if bar == BarIndex::BAR0 {
            NicRegister::read(offset, data, |register| self.registers.read(register));
        } else {
            data.fill(0xff);
        }
    }

    fn bar_write(&mut self, bar: BarIndex, offset: u64, data: &[u8]) {
        if bar == BarIndex::BAR0 {
            NicRegister::write(offset, data, |write| self.write(write));
        }
    }

    fn reset(&mut self, _: ResetKind) {
        self.registers.reset();
        self.queues = Default::default();
    }
}
