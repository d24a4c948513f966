// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU: its command line, and its life as our child.
//!
//! Every connection is a descriptor that the child inherits, so there is no
//! socket to leave behind; the kernel ends QEMU when this process ends,
//! however it ends.

mod child;
mod slot;
mod threads;

use std::{
    ffi::OsString,
    fs::File,
    io, iter,
    os::{
        fd::OwnedFd,
        unix::{net::UnixStream, process::CommandExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Signal;

pub use slot::Port;
pub(crate) use slot::{HOLDS, hold};

pub(crate) use child::die_with_parent;
pub(crate) use threads::{Role, threads};

use crate::{accel::Accelerator, artefacts::Artefacts, console::Console, path::ExecutionLog};

/// Descriptor numbers in the child.
const CONSOLE_FD: i32 = 3;
const CONTROL_FD: i32 = 4;
const LOG_FD: i32 = 5;
const INITRAMFS_FD: i32 = 6;
const BESIDE_FD: i32 = 7;
const QMP_FD: i32 = 8;
/// That of the first device; the others follow.
const DEVICE_FD: i32 = 9;

/// Parts of a stock kernel that take long to set up and that the guest never
/// uses: a random number generator that tests itself, certificates for
/// signed modules, congestion control in BPF.
const UNUSED_INITCALLS: [&str; 4] = [
    "jent_mod_init",
    "load_system_certificate_list",
    "bpf_tcp_ca_kfunc_init",
    "bpf_dummy_struct_ops_init",
];

/// Kernel parameters that make the same path take the same number of
/// instructions: without the first, leaving the idle loop sometimes starts
/// the tick again; without the second, a buffer may lie on the first page of a
/// slab or on another, and two checks take an instruction more.
pub const STEADY: [&str; 2] = ["nohz=off", "slab_max_order=0"];

/// What the guest's time stamp counter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClockKind {
    /// Host cycles.
    Wall,
    /// Executed guest instructions (`-icount shift=0`).
    Instructions,
}

/// The machine to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Accelerator.
    pub accelerator: Accelerator,
    /// What the guest's clock counts; instructions need TCG.
    pub clock: ClockKind,
    /// Virtual processors, at least 1.
    pub vcpus: u32,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Whether an IOMMU stands between the devices and the memory, by which
    /// the guest can give a device to a process.
    pub iommu: bool,
    /// Ports for devices that are plugged in while the guest runs, 0 to 14. Where
    /// there are some QEMU takes commands, and where there are none it is the same
    /// machine as ever.
    pub ports: u32,
    /// Put behind our own kernel parameters.
    pub kernel_parameters: Vec<String>,
    /// How long the thread of a device of ours spins for QEMU's next message
    /// before it sleeps; zero for not at all.
    pub poll: Duration,
}

/// Where the guest's console goes.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum ConsoleTo {
    /// To [`Qemu::console`].
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

/// What a guest is connected to, beside its control line. QEMU inherits the
/// descriptors.
#[derive(Debug, Default)]
pub struct Connections<'a> {
    /// Where its console goes.
    pub console: ConsoleTo,
    /// The sockets of its devices, as [`device_model::serve`] gives them, in the
    /// order in which it finds them: handles (`O_PATH`) of sockets at which device
    /// models listen.
    pub devices: Vec<OwnedFd>,
    /// Its initial file system, in place of the one among the artefacts.
    pub initramfs: Option<File>,
    /// Where what it executes is logged.
    pub log: Option<&'a ExecutionLog>,
    /// Devices of QEMU's own.
    pub beside: Option<Beside>,
}

/// QEMU could not be started.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot start {program}: {error}; run `./just setup`, or set IRQBED_QEMU to a QEMU of 10.1 or \
     newer"
)]
pub struct StartError {
    /// The program.
    program: PathBuf,
    /// Why not.
    error: io::Error,
}

impl Machine {
    /// A machine of one processor and 256 MiB, without an IOMMU.
    #[must_use]
    pub const fn new(accelerator: Accelerator, clock: ClockKind) -> Self {
        Self {
            accelerator,
            clock,
            vcpus: 1,
            memory_mib: 256,
            iommu: false,
            ports: 0,
            kernel_parameters: Vec::new(),
            poll: Duration::ZERO,
        }
    }

    /// How our devices are served to it.
    #[must_use]
    pub fn options(&self) -> device_model::Options {
        device_model::Options {
            poll: self.poll,
            ..device_model::Options::default()
        }
    }

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
        for (_, descriptor) in connections.devices.iter().zip(DEVICE_FD..) {
            let path = inherited(descriptor);
            line.words("-device").word(format!(
                r#"{{"driver":"vfio-user-pci","socket":{{"type":"unix","path":"{path}"}}}}"#
            ));
        }
        for port in Port::all(self.ports) {
            line.words("-device").word(port.device());
        }
        if self.ports > 0 {
            line.words("-device").word(slot::holder());
            line.words("-chardev")
                .word(format!("socket,id=qmp,fd={QMP_FD}"));
            line.words("-qmp chardev:qmp");
        }
        if connections.log.is_some() {
            line.words("-plugin").0.push(plugin(artefacts));
        }
        line.0
    }

    fn kernel_command_line(&self, console: ConsoleTo) -> String {
        let mode = match console {
            ConsoleTo::Kept => "control",
            ConsoleTo::Terminal => "shell",
        };
        let mut words = vec![
            "console=ttyS0".to_owned(),
            "quiet".to_owned(),
            // A guest that panics ends QEMU, which is how we learn of it.
            "panic=-1".to_owned(),
            // The clock is the TSC, and nobody need watch it.
            "tsc=reliable".to_owned(),
            "nowatchdog".to_owned(),
            // The kernel would try whether its timer interrupts, and on a host
            // that is too busy find that it does not, and panic or do without
            // the interrupt controller.
            "no_timer_check".to_owned(),
            // The kernel would test its cryptography, for the first second
            // after the boot too, between our events.
            "cryptomgr.notests".to_owned(),
            format!("initcall_blacklist={}", UNUSED_INITCALLS.join(",")),
            format!("irqbed.mode={mode}"),
        ];
        if self.iommu {
            words.push("intel_iommu=on".to_owned());
        }
        if self.clock == ClockKind::Instructions {
            words.extend(STEADY.map(str::to_owned));
        }
        words.extend(self.kernel_parameters.iter().cloned());
        words.join(" ")
    }
}

/// The plugin that logs, and where to. In the names of files QEMU takes a comma
/// for the end, and two for one.
fn plugin(artefacts: &Artefacts) -> OsString {
    let file = artefacts.plugin.to_string_lossy().replace(',', ",,");
    format!("file={file},log={}", inherited(LOG_FD)).into()
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

/// A running QEMU; dropping it ends it.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    /// The guest's console; empty when it goes to the terminal.
    pub console: Console,
    /// What QEMU itself says.
    pub messages: Console,
    /// Our end of the channel on which it takes commands, of a machine with ports.
    pub qmp: Option<UnixStream>,
}

impl Qemu {
    /// Starts QEMU. Returns our end of the control line too.
    ///
    /// # Errors
    /// [`StartError`] when the program cannot be run.
    pub fn start(
        machine: &Machine,
        artefacts: &Artefacts,
        connections: Connections<'_>,
    ) -> Result<(Self, UnixStream), StartError> {
        let start = || -> io::Result<(Self, UnixStream)> {
            let (control, control_theirs) = UnixStream::pair()?;
            let mut command = Command::new(&artefacts.qemu);
            command
                .args(machine.arguments(artefacts, &connections))
                .stderr(Stdio::piped());
            let mut descriptors = vec![(control_theirs.into(), CONTROL_FD)];
            let mut qmp = None;
            if machine.ports > 0 {
                let (ours, theirs) = UnixStream::pair()?;
                descriptors.push((theirs.into(), QMP_FD));
                qmp = Some(ours);
            }
            if let Some(log) = connections.log {
                descriptors.push((log.share()?.into(), LOG_FD));
            }
            if let Some(beside) = connections.beside {
                descriptors.push((beside.descriptor, BESIDE_FD));
                command.args(beside.arguments);
            }
            if let Some(initramfs) = connections.initramfs {
                descriptors.push((initramfs.into(), INITRAMFS_FD));
            }
            descriptors.extend(iter::zip(connections.devices, DEVICE_FD..));
            let console = match connections.console {
                ConsoleTo::Terminal => Console::default(),
                ConsoleTo::Kept => {
                    let (ours, theirs) = UnixStream::pair()?;
                    descriptors.push((theirs.into(), CONSOLE_FD));
                    command.stdin(Stdio::null()).stdout(Stdio::null());
                    // Out of the terminal's foreground group: Ctrl-C is ours.
                    command.process_group(0);
                    Console::follow("console", ours)
                }
            };
            command
                .fd_mappings(
                    descriptors
                        .into_iter()
                        .map(|(parent_fd, child_fd)| FdMapping {
                            parent_fd,
                            child_fd,
                        })
                        .collect(),
                )
                .map_err(io::Error::other)?;
            die_with_parent(&mut command, Signal::KILL);
            let mut child = command.spawn()?;
            let messages = child
                .stderr
                .take()
                .map_or_else(Console::default, |stderr| Console::follow("qemu", stderr));
            Ok((
                Self {
                    child,
                    console,
                    messages,
                    qmp,
                },
                control,
            ))
        };
        start().map_err(|error| StartError {
            program: artefacts.qemu.clone(),
            error,
        })
    }

    /// Process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// `Some` once QEMU has ended.
    ///
    /// # Errors
    /// When the child cannot be asked.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// When the child cannot be asked.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            let status = self.ended()?;
            if status.is_some() || Instant::now() >= deadline {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Qemu {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
