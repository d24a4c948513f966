// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU's command line: a machine, and what a guest is connected to by descriptors
//! of known numbers.

use std::{ffi::OsString, fs::File, os::fd::OwnedFd, path::Path};

use serde_json::json;

use super::{Address, ClockKind, Machine, Port, slot};
use crate::{
    accel::Accelerator, artefacts::Artefacts, coverage_map::CoverageMap,
    execution_log::ExecutionLog,
};

/// Descriptor numbers in the child.
pub(super) const CONSOLE_FD: i32 = 3;
pub(super) const CONTROL_FD: i32 = 4;
pub(super) const LOG_FD: i32 = 5;
pub(super) const INITRAMFS_FD: i32 = 6;
pub(super) const BESIDE_FD: i32 = 7;
pub(super) const QMP_FD: i32 = 8;
pub(super) const ACPI_FD: i32 = 9;
pub(super) const COVERAGE_FD: i32 = 10;
/// That of the first device; the others follow.
pub(super) const DEVICE_FD: i32 = 11;

/// Where the guest's console goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleTo {
    /// To [`Qemu::console`](super::Qemu::console).
    #[default]
    Kept,
    /// To the user's terminal, Ctrl-A X leaves.
    Terminal,
}

/// Devices of QEMU's own beside the event device, for those who compare it.
#[derive(Debug)]
pub struct Beside {
    /// More arguments.
    pub arguments: Vec<String>,
    /// The descriptor that they name as [`Beside::FD`].
    pub descriptor: OwnedFd,
}

impl Beside {
    /// Number of the descriptor in QEMU.
    pub const FD: i32 = BESIDE_FD;
}

/// A device that QEMU connects to.
#[derive(Debug)]
pub struct DeviceSocket {
    /// The handle of its socket.
    pub handle: OwnedFd,
    /// Where on the root bus it is; `None` for the next free slot.
    pub address: Option<Address>,
}

impl From<OwnedFd> for DeviceSocket {
    fn from(handle: OwnedFd) -> Self {
        Self {
            handle,
            address: None,
        }
    }
}

/// What a guest is connected to, beside its control line. QEMU inherits the
/// descriptors.
#[derive(Debug, Default)]
pub struct Connections<'a> {
    /// Where its console goes.
    pub console: ConsoleTo,
    /// The sockets of its devices, as [`device_model::serve`] gives them, in the
    /// order in which it finds them: handles (`O_PATH`) of sockets at which device
    /// models listen.
    pub devices: Vec<DeviceSocket>,
    /// Its initial file system, in place of the one among the artefacts.
    pub initramfs: Option<File>,
    /// Where what it executes is logged.
    pub log: Option<&'a ExecutionLog>,
    /// Where what it executes of modules is marked.
    pub coverage: Option<&'a CoverageMap>,
    /// Devices of QEMU's own.
    pub beside: Option<Beside>,
}

impl Machine {
    /// QEMU's arguments, as they are passed.
    #[must_use]
    pub fn arguments(&self, artefacts: &Artefacts, connections: &Connections<'_>) -> Vec<OsString> {
        let mut line = Line::default();
        line.words(
            "-nodefaults -no-user-config -display none -no-reboot -name irqbed,debug-threads=on",
        );
        line.words("-machine q35,hpet=off,memory-backend=ram");
        if self.iommu {
            // Interrupts are remapped too, or vfio-pci refuses, for which they
            // must pass through QEMU; and the guest tells what it maps, or the
            // device would not learn of it.
            line.words("-machine kernel-irqchip=split");
            line.words("-device intel-iommu,intremap=on,caching-mode=on");
        }
        line.words("-m").word(self.memory_mib);
        // The device model reaches guest memory by its descriptor.
        line.words("-object").word(format!(
            "memory-backend-memfd,id=ram,share=on,size={}M",
            self.memory_mib
        ));
        line.words("-smp").word(self.vcpus);
        match self.accelerator {
            Accelerator::Kvm => line.words("-accel kvm -cpu host"),
            // Without the fast string features the kernel clears and copies
            // by loops of 8 bytes; with them `-icount` counts each byte of a
            // `rep stosb` as an instruction.
            Accelerator::Tcg => line.words("-accel tcg -cpu max,-erms,-fsrm,-fsrs"),
        };
        if self.clock == ClockKind::Instructions {
            // The seed makes the guest's random numbers, and so the layout of
            // its hash tables, the same in each run.
            line.words("-icount shift=0 -seed 1");
        }
        line.words("-kernel").path(&artefacts.kernel);
        match connections.initramfs {
            None => line.words("-initrd").path(&artefacts.initramfs),
            // QEMU takes no descriptors here, nor for devices, but paths to them.
            Some(_) => line.words("-initrd").word(inherited(INITRAMFS_FD)),
        };
        line.words("-append")
            .word(self.kernel_command_line(connections.console));
        match connections.console {
            ConsoleTo::Kept => line
                .words("-chardev")
                .word(format!("socket,id=console,fd={CONSOLE_FD}")),
            ConsoleTo::Terminal => {
                line.words("-chardev stdio,id=console,mux=on,signal=off -mon chardev=console")
            }
        };
        line.words("-serial chardev:console");
        line.words("-chardev")
            .word(format!("socket,id=control,fd={CONTROL_FD}"));
        line.words("-serial chardev:control");
        let addresses = connections.devices.iter().map(|device| device.address);
        let properties = Address::properties(&addresses.collect::<Vec<_>>());
        for (properties, descriptor) in properties.into_iter().zip(DEVICE_FD..) {
            let path = inherited(descriptor);
            let mut device = json!({
                "driver": "vfio-user-pci",
                "socket": { "type": "unix", "path": path },
            });
            if let Some(device) = device.as_object_mut() {
                device.extend(properties);
            }
            line.words("-device").word(device);
        }
        for port in Port::all(self.ports) {
            line.words("-device")
                .word(port.device(self.port_window_mib));
        }
        if self.ports > 0 {
            line.words("-device").word(slot::holder());
        }
        if self.suspends_to_ram {
            line.words("-global ICH9-LPC.disable_s3=0 -acpitable")
                .word(format!("file={}", inherited(ACPI_FD)));
        }
        if self.takes_commands() {
            line.words("-chardev")
                .word(format!("socket,id=qmp,fd={QMP_FD}"));
            line.words("-qmp chardev:qmp");
        }
        if connections.need_plugin() {
            line.words("-plugin").0.push(plugin(artefacts, connections));
        }
        line.0
    }
}

impl Connections<'_> {
    /// Whether QEMU needs our plugin for them.
    #[must_use]
    pub fn need_plugin(&self) -> bool {
        self.log.is_some() || self.coverage.is_some()
    }
}

/// The plugin that logs, and where to. In the names of files QEMU takes a comma
/// for the end, and two for one.
fn plugin(artefacts: &Artefacts, connections: &Connections<'_>) -> OsString {
    let mut words = format!(
        "file={}",
        artefacts.plugin.to_string_lossy().replace(',', ",,")
    );
    if connections.log.is_some() {
        words += &format!(",log={}", inherited(LOG_FD));
    }
    if connections.coverage.is_some() {
        words += &format!(",coverage={}", inherited(COVERAGE_FD));
    }
    words.into()
}

/// The path by which QEMU opens a descriptor that it has.
fn inherited(descriptor: i32) -> String {
    format!("/proc/self/fd/{descriptor}")
}

/// A command line in the making.
#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn words(&mut self, words: &str) -> &mut Self {
        self.0
            .extend(words.split_ascii_whitespace().map(OsString::from));
        self
    }

    fn word(&mut self, word: impl ToString) -> &mut Self {
        self.0.push(word.to_string().into());
        self
    }

    fn path(&mut self, path: &Path) -> &mut Self {
        self.0.push(path.into());
        self
    }
}
