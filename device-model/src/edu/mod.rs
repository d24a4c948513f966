// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The educational device of QEMU (its docs/specs/edu.rst), register by
//! register, so that drivers written for it run unchanged: a factorial that
//! takes its time, an interrupt to raise and acknowledge, and DMA to and from a
//! buffer.

mod registers;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use registers::EduRegister;

use crate::{
    bar::{Area, Bar, BarIndex},
    capability::{IntxPin, Msi},
    device::{Bus, PciDevice, ResetKind},
    dma::{DmaError, GuestAddr},
    recorder::RegisterNames,
    register::{Registers, Write},
    shared_memory::SharedMemory,
    spec::{DeviceSpec, Identity},
    timer::TimerId,
};

/// Size of BAR 0, bytes.
const BAR_SIZE: u64 = 1 << 20;
/// Size of the BAR of the copy, bytes.
const COPY_SIZE: u64 = 4096;
/// From here on, registers have 64 bits and may be accessed as 32 or 64.
const WIDE_FROM: u64 = 0x80;

/// Status: the factorial is being computed.
const COMPUTING: u64 = 0x01;
/// Status: interrupt when it is.
const INTERRUPT_AFTER: u64 = 0x80;
/// Interrupt status: the factorial is there.
const FACTORIAL_IRQ: u64 = 0x001;
/// Interrupt status: the transfer is over.
const DMA_IRQ: u64 = 0x100;
/// DMA command: start.
const RUN: u64 = 0x1;
/// DMA command: from the buffer to memory, else from memory to the buffer.
const TO_MEMORY: u64 = 0x2;
/// DMA command: interrupt when it is over.
const INTERRUPT: u64 = 0x4;

/// Where the buffer is for DMA; no access to the BAR reaches it.
const BUFFER: Area = Area {
    offset: 0x4_0000,
    size: 4096,
};
/// Widest address the device can drive: 28 bits.
const DMA_MASK: u64 = (1 << 28) - 1;

/// The end of a factorial. Time enough for a driver to ask for the interrupt
/// after it has written the number, as some do.
const FACTORIAL: (TimerId, Duration) = (TimerId(0), Duration::from_millis(1));
/// The end of a transfer, which takes as long as in QEMU.
const DMA: (TimerId, Duration) = (TimerId(1), Duration::from_millis(100));

/// The educational device.
///
/// # Example
/// ```no_run
/// use device_model::edu::EduDevice;
/// let (server, for_qemu) = device_model::serve(EduDevice::new())?;
/// # Ok::<(), device_model::ServeError>(())
/// ```
#[derive(Debug)]
pub struct EduDevice {
    registers: Registers<EduRegister>,
    buffer: Vec<u8>,
    dma_mask: u64,
    msi: bool,
    copy: Option<SharedMemory>,
    failed_transfers: Arc<AtomicU64>,
    bus: Bus,
}

impl Default for EduDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl EduDevice {
    /// The device as QEMU has it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            registers: Registers::new(),
            buffer: vec![0; BUFFER.size as usize],
            dma_mask: DMA_MASK,
            msi: true,
            copy: None,
            failed_transfers: Arc::default(),
            bus: Bus::detached(),
        }
    }

    /// Lets the device drive these bits of an address, as `dma_mask=` of
    /// QEMU's device does.
    #[must_use]
    pub fn dma_mask(mut self, mask: u64) -> Self {
        self.dma_mask = mask;
        self
    }

    /// The same device without MSI: it interrupts by its line alone.
    #[must_use]
    pub fn without_msi(mut self) -> Self {
        self.msi = false;
        self
    }

    /// Adds BAR 2, which QEMU's device does not have: one page of memory that
    /// the guest has mapped, with what each register of BAR 0 would read at the
    /// same offset. It is for reading; what is written there is not seen.
    ///
    /// # Errors
    /// When the system has no memory for it.
    pub fn mapped(mut self) -> io::Result<Self> {
        let copy = SharedMemory::new("edu-copy", COPY_SIZE)?;
        self.registers = self.registers.mirrored(copy.clone());
        self.copy = Some(copy);
        Ok(self)
    }

    /// How many transfers went outside the buffer or the guest's memory, and
    /// were not carried out.
    #[must_use]
    pub fn failed_transfers(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.failed_transfers)
    }

    fn write(&mut self, write: Write<EduRegister>) {
        use EduRegister as R;
        let (register, value) = (write.register, write.value);
        match register {
            R::Liveness => self.registers.set(register, !value),
            R::Factorial if self.is(R::Status, COMPUTING) => {}
            R::Factorial => {
                self.registers.set(register, value);
                self.registers.set_bits(R::Status, COMPUTING);
                let (timer, time) = FACTORIAL;
                self.bus.timers.start(timer, time);
            }
            R::IrqRaise => self.raise(value),
            R::IrqAcknowledge => {
                if self.registers.clear_bits(R::IrqStatus, value) == 0 {
                    self.bus.irqs.any(0).lower();
                }
            }
            R::DmaSource | R::DmaDestination | R::DmaCount | R::DmaCommand
                if self.is(R::DmaCommand, RUN) => {}
            // Half a register written is all of it, the other half 0.
            R::DmaSource | R::DmaDestination | R::DmaCount => self.registers.set(register, value),
            R::DmaCommand if value & RUN == 0 => {}
            R::DmaCommand => {
                self.registers.set(register, value);
                let (timer, time) = DMA;
                self.bus.timers.start(timer, time);
            }
            R::Identification | R::Status | R::IrqStatus => {
                self.registers.write(write);
            }
        }
    }

    fn is(&self, register: EduRegister, bit: u64) -> bool {
        self.registers.get(register) & bit != 0
    }

    fn raise(&mut self, bits: u64) {
        if self.registers.set_bits(EduRegister::IrqStatus, bits) == 0 {
            return;
        }
        if let Err(error) = self.bus.irqs.any(0).raise() {
            self.bus.recorder.warn(format_args!("edu: {error}"));
        }
    }

    fn end_factorial(&mut self) {
        let number = self.registers.get(EduRegister::Factorial);
        let factorial = factorial(number as u32);
        self.registers.set(EduRegister::Factorial, factorial.into());
        let status = self.registers.clear_bits(EduRegister::Status, COMPUTING);
        if status & INTERRUPT_AFTER != 0 {
            self.raise(FACTORIAL_IRQ);
        }
    }

    fn end_dma(&mut self) {
        if let Err(error) = self.transfer() {
            self.failed_transfers.fetch_add(1, Ordering::Relaxed);
            // The library warns of those to memory, unless a fault refused them.
            if let TransferError::Outside { .. } = error {
                self.bus.recorder.warn(format_args!("edu: {error}"));
            }
        }
        // A driver that waits for the end need not wait for ever.
        let command = self.registers.clear_bits(EduRegister::DmaCommand, RUN);
        if command & INTERRUPT != 0 {
            self.raise(DMA_IRQ);
        }
    }

    /// Cuts an address to what the device drives, and says so, as QEMU's device
    /// does: its driver has set too wide a DMA mask, or none.
    fn clamp(&self, address: u64) -> GuestAddr {
        let clamped = address & self.dma_mask;
        if clamped != address {
            self.bus.recorder.warn(format_args!(
                "edu: clamping DMA address {address:#x} to {clamped:#x}, its DMA mask is {:#x}",
                self.dma_mask
            ));
        }
        GuestAddr(clamped)
    }

    fn transfer(&mut self) -> Result<(), TransferError> {
        let get = |register| self.registers.get(register);
        let (source, destination) = (
            get(EduRegister::DmaSource),
            get(EduRegister::DmaDestination),
        );
        let to_memory = self.is(EduRegister::DmaCommand, TO_MEMORY);
        let (inside, memory) = if to_memory {
            (source, destination)
        } else {
            (destination, source)
        };
        let count = get(EduRegister::DmaCount);
        let outside = TransferError::Outside { inside, count };
        let start = inside.checked_sub(BUFFER.offset).map(usize::try_from);
        let (Some(Ok(start)), Ok(len)) = (start, usize::try_from(count)) else {
            return Err(outside);
        };
        let memory = self.clamp(memory);
        let end = start.checked_add(len);
        let part = end.and_then(|end| self.buffer.get_mut(start..end));
        let part = part.ok_or(outside)?;
        if to_memory {
            self.bus.dma.write(memory, part)?;
        } else {
            self.bus.dma.read(memory, part)?;
        }
        Ok(())
    }
}

/// A transfer that is not carried out.
#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error("{count} bytes at {inside:#x} of the device are outside its buffer")]
    Outside { inside: u64, count: u64 },
    #[error(transparent)]
    Memory(#[from] DmaError),
}

/// The factorial, as far as it fits 32 bits. From 34 on it has more than 32
/// factors of two.
fn factorial(number: u32) -> u32 {
    if number < 34 {
        (1..=number).fold(1, u32::wrapping_mul)
    } else {
        0
    }
}

/// Whether QEMU lets an access through to its device, which reads 0 otherwise.
fn is_valid(offset: u64, len: usize) -> bool {
    matches!(len, 4 | 8) && offset.is_multiple_of(len as u64)
}

/// Whether a valid access is to a whole register; others read all ones.
fn answers(offset: u64, len: usize) -> bool {
    let wide = offset >= WIDE_FROM;
    match len {
        4 => offset.is_multiple_of(if wide { 8 } else { 4 }),
        8 => wide && offset.is_multiple_of(8),
        _ => false,
    }
}

impl PciDevice for EduDevice {
    fn spec(&self) -> DeviceSpec {
        let spec = DeviceSpec::new(Identity {
            vendor: 0x1234,
            device: 0x11e8,
            revision: 0x10,
            class: [0x00, 0xff, 0x00],
            subsystem_vendor: 0x1af4,
            subsystem: 0x1100,
        })
        .bar(BarIndex::BAR0, Bar::trapped(BAR_SIZE))
        .intx(IntxPin::A);
        let spec = match self.msi {
            true => spec.msi(Msi { vectors: 1 }),
            false => spec,
        };
        match &self.copy {
            Some(copy) => spec.bar(BarIndex::BAR2, Bar::mapped(copy.file(), COPY_SIZE)),
            None => spec,
        }
    }

    fn register_names(&self) -> RegisterNames {
        |bar, offset| match bar {
            BarIndex::BAR0 => Some(format!("{:?}", EduRegister::MAP.at(offset)?)),
            _ => None,
        }
    }

    fn attach(&mut self, bus: Bus) {
        self.bus = bus;
    }

    fn bar_read(&mut self, _: BarIndex, offset: u64, data: &mut [u8]) {
        if answers(offset, data.len()) {
            EduRegister::read(offset, data, |register| self.registers.read(register));
        } else {
            let unknown = if is_valid(offset, data.len()) {
                0xff
            } else {
                0
            };
            data.fill(unknown);
        }
    }

    fn bar_write(&mut self, _: BarIndex, offset: u64, data: &[u8]) {
        if answers(offset, data.len()) {
            EduRegister::write(offset, data, |write| self.write(write));
        }
    }

    fn timer(&mut self, timer: TimerId) {
        if timer == FACTORIAL.0 {
            self.end_factorial();
        } else if timer == DMA.0 {
            self.end_dma();
        }
    }

    fn reset(&mut self, _: ResetKind) {
        self.registers.reset();
        self.buffer.fill(0);
        self.bus.irqs.any(0).lower();
    }
}

#[cfg(test)]
mod tests {
    use super::{answers, factorial};

    #[test]
    fn a_factorial_is_cut_to_32_bits() {
        let found = [0, 1, 5, 12, 13, 33, 34, u32::MAX].map(factorial);
        let expected = [1, 1, 120, 479_001_600, 1_932_053_504, 0x8000_0000, 0, 0];
        assert_eq!(found, expected);
    }

    #[test]
    fn only_whole_registers_are_answered() {
        assert!(answers(0, 4) && answers(0x80, 4) && answers(0x98, 8));
        assert!(!answers(0, 8) && !answers(0x84, 4) && !answers(2, 4) && !answers(0, 1));
    }
}
