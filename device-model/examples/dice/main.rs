// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A PCI device that throws dice: `dice SOCKET` serves it at a socket.

use std::{process::ExitCode, time::Duration};

use device_model::{
    Bar, BarIndex, Bus, DeviceSpec, GuestAddr, Identity, IntxPin, Msi, PciDevice, Registers,
    ResetKind, TimerId, program, registers,
};

registers! {
    /// The registers in BAR 0.
    enum Register {
        /// Says that these are dice.
        Id @ 0x00: u32, ReadOnly = 0x6469_6365;
        /// Where the results go, a byte each.
        Buffer @ 0x08: u64, ReadWrite;
        /// Throws that many times, 1 to 4096.
        Throw @ 0x10: u32, WriteOnly;
        /// 1: the dice lie. 2: the buffer could not be written.
        Status @ 0x14: u32, WriteOneToClear & 0x3;
    }
}

/// How long the dice roll.
const ROLLING: Duration = Duration::from_millis(1);
/// The timer that ends a throw.
const STOP: TimerId = TimerId(0);

struct Dice {
    registers: Registers<Register>,
    throws: usize,
    bus: Bus,
}

impl PciDevice for Dice {
    fn spec(&self) -> DeviceSpec {
        DeviceSpec::new(Identity::new(0x1bed, 0xd1ce))
            .bar(BarIndex::BAR0, Bar::trapped(Register::MAP.bar_size()))
            .msi(Msi { vectors: 1 })
            .intx(IntxPin::A)
    }

    fn attach(&mut self, bus: Bus) {
        self.bus = bus;
    }

    fn bar_read(&mut self, _: BarIndex, offset: u64, data: &mut [u8]) {
        Register::read(offset, data, |register| self.registers.read(register));
    }

    fn bar_write(&mut self, _: BarIndex, offset: u64, data: &[u8]) {
        Register::write(offset, data, |write| {
            let value = self.registers.write(write);
            match write.register {
                Register::Throw => {
                    self.throws = value.clamp(1, 4096) as usize;
                    self.bus.timers.start(STOP, ROLLING);
                }
                Register::Status if value == 0 => self.bus.irqs.any(0).lower(),
                _ => {}
            }
        });
    }

    fn timer(&mut self, _: TimerId) {
        let results: Vec<u8> = (0..self.throws).map(|_| fastrand::u8(1..=6)).collect();
        let buffer = GuestAddr(self.registers.get(Register::Buffer));
        let written = self.bus.dma.write(buffer, &results);
        let status = if written.is_ok() { 1 } else { 2 };
        self.registers.set_bits(Register::Status, status);
        if let Err(error) = self.bus.irqs.any(0).raise() {
            eprintln!("dice: {error}");
        }
    }

    fn reset(&mut self, _: ResetKind) {
        self.registers.reset();
    }
}

/// Serves it until QEMU leaves.
fn main() -> ExitCode {
    program::main(Dice {
        registers: Registers::new(),
        throws: 0,
        bus: Bus::detached(),
    })
}
