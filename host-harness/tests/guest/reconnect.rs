// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that outlives its QEMU: what the next guest finds of what the one
//! before has left.

use std::{os::fd::OwnedFd, path::Path};

use device_model::{
    Bar, BarIndex, DeviceSpec, Disconnect, Identity, Options, PciDevice, Registers, ResetKind,
    Server, ServerEnd, ServerHandle, registers,
};
use irqbed_machine::{
    qemu::{ClockKind, Connections},
    session::Guest,
};
use rustix::fs::{Mode, OFlags, open};

use crate::support::{artefacts, machine};

registers! {
    /// What a card with a flash memory has.
    enum Register {
        /// Is gone with a reset.
        Volatile @ 0x0: u32, ReadWrite;
        /// Is not.
        Flash @ 0x4: u32, ReadWrite;
    }
}

struct Card(Registers<Register>);

impl PciDevice for Card {
    fn spec(&self) -> DeviceSpec {
        DeviceSpec::new(Identity::new(0x1bed, 0xf1a5)).bar(BarIndex::BAR0, Bar::trapped(0x1000))
    }

    fn bar_read(&mut self, _: BarIndex, offset: u64, data: &mut [u8]) {
        Register::read(offset, data, |register| self.0.read(register));
    }

    fn bar_write(&mut self, _: BarIndex, offset: u64, data: &[u8]) {
        Register::write(offset, data, |write| {
            self.0.write(write);
        });
    }

    fn reset(&mut self, kind: ResetKind) {
        let flash = self.0.get(Register::Flash);
        self.0.reset();
        if kind == ResetKind::Function {
            self.0.set(Register::Flash, flash);
        }
    }
}

fn serve(path: &Path, disconnect: Disconnect) -> ServerHandle {
    let options = Options::default().on_disconnect(disconnect);
    let server = Server::bind(path).expect("a socket").options(options);
    server.serve(Card(Registers::new())).expect("served")
}

fn boot(paths: &[&Path]) -> Guest {
    let handle = |path: &&Path| -> OwnedFd {
        open(*path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).expect("a socket")
    };
    let connections = Connections {
        devices: paths.iter().map(handle).map(Into::into).collect(),
        ..Connections::default()
    };
    Guest::boot(&artefacts(), &machine(ClockKind::Wall), connections).expect("the guest boots")
}

/// Runs a script for each card, with the address of its registers in `bar`.
fn each_card(guest: &mut Guest, script: &str) -> String {
    let script = format!(
        "for card in /sys/bus/pci/devices/*; do
          [ $(cat $card/device) = 0xf1a5 ] || continue
          echo 1 >$card/enable; bar=$(head -n 1 $card/resource | cut -d ' ' -f 1)
          {script}
        done"
    );
    let (status, stdout, stderr) = guest.run(&["sh", "-c", &script]).expect("sh runs");
    assert_eq!((status, stderr.as_str()), (0, ""), "{stdout}");
    stdout
}

const SHOW: &str = "devmem $bar 32; devmem $((bar + 4)) 32";

#[test]
fn the_guest_after_a_killed_qemu_finds_what_the_device_kept_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let (kept, reset) = (folder.path().join("kept"), folder.path().join("reset"));
    let keeps = serve(&kept, Disconnect::Keep);
    let resets = serve(&reset, Disconnect::Reset);

    let mut guest = boot(&[&kept, &reset]);
    let written = "devmem $bar 32 0x11; devmem $((bar + 4)) 32 0x22";
    let shown = each_card(&mut guest, &format!("{written}; {SHOW}"));
    assert_eq!(shown, "0x00000011\n0x00000022\n".repeat(2));
    // Killed, as it is: nothing is said to the devices.
    drop(guest);

    // QEMU resets a device when it starts, as a machine does at power on.
    let mut guest = boot(&[&kept, &reset]);
    let shown = each_card(&mut guest, SHOW);
    assert_eq!(
        shown,
        "0x00000000\n0x00000022\n\
         0x00000000\n0x00000000\n"
    );
    guest.power_off().expect("the guest ends");
    for server in [keeps, resets] {
        assert_eq!(server.ended(), None);
        let stopped = server.stop(std::time::Duration::from_secs(10));
        assert_eq!(stopped, Some(ServerEnd::Stopped));
    }
}
