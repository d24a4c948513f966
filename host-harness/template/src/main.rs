// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device `template`: `template SOCKET` serves it at a socket.

use std::process::ExitCode;

use device_model::{
    Bar, BarIndex, Bus, DeviceSpec, Identity, IntxPin, Msi, PciDevice, Registers, ResetKind,
    program, registers,
};

registers! {
    /// The registers in BAR 0.
    enum Register {
        /// Says that this is the device.
        Id @ 0x00: u32, ReadOnly = 0x1bed_7e57;
        /// Keeps what was written.
        Scratch @ 0x04: u32, ReadWrite;
        /// Sets these bits in the status, and interrupts.
        Raise @ 0x08: u32, WriteOnly;
        /// What has interrupted.
        Status @ 0x0c: u32, WriteOneToClear;
    }
}

struct Template {
    registers: Registers<Register>,
    bus: Bus,
}

impl Template {
    fn new() -> Self {
        Self {
            registers: Registers::new(),
            bus: Bus::detached(),
        }
    }
}

impl PciDevice for Template {
    fn spec(&self) -> DeviceSpec {
        DeviceSpec::new(Identity::new(0x1bed, 0x7e57))
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
                Register::Raise if value != 0 => {
                    self.registers.set_bits(Register::Status, value);
                    if let Err(error) = self.bus.irqs.any(0).raise() {
                        eprintln!("template: {error}");
                    }
                }
                Register::Status if value == 0 => self.bus.irqs.any(0).lower(),
                _ => {}
            }
        });
    }

    fn reset(&mut self, _: ResetKind) {
        self.registers.reset();
    }
}

/// Serves it until QEMU leaves; `--control SOCKET` is where faults are asked for.
fn main() -> ExitCode {
    program::main(Template::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: u64 = 0x0c;

    fn read(device: &mut Template, offset: u64) -> u32 {
        let mut data = [0; 4];
        device.bar_read(BarIndex::BAR0, offset, &mut data);
        u32::from_le_bytes(data)
    }

    fn write(device: &mut Template, offset: u64, value: u32) {
        device.bar_write(BarIndex::BAR0, offset, &value.to_le_bytes());
    }

    #[test]
    fn such_a_device_can_be() {
        assert!(Template::new().spec().check().is_ok());
    }

    #[test]
    fn what_is_raised_stands_in_the_status_until_it_is_cleared() {
        let mut device = Template::new();
        write(&mut device, 0x08, 0b11);
        assert_eq!(read(&mut device, STATUS), 0b11);
        write(&mut device, STATUS, 0b01);
        assert_eq!(read(&mut device, STATUS), 0b10);
        device.reset(ResetKind::Function);
        assert_eq!(read(&mut device, STATUS), 0);
    }
}
