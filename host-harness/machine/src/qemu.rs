// SPDX-License-Identifier: Apache-2.0 OR MIT
//! QEMU: its command line, and its life as our child.
//!
//! Every connection is a descriptor that the child inherits, so there is no
//! socket to leave behind; the kernel ends QEMU when this process ends,
//! however it ends.

mod acpi;
mod child;
mod command_line;
mod kernel_parameters;
mod machine;
mod slot;
mod threads;

use std::{
    io, iter,
    os::unix::{net::UnixStream, process::CommandExt},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use command_fds::{CommandFdExt, FdMapping};
use rustix::process::Signal;

pub use command_line::{Beside, Connections, ConsoleTo, DeviceSocket};
pub use kernel_parameters::STEADY;
pub use machine::{ClockKind, Machine};
pub use slot::{Address, Port};
pub use slot::{FUNCTIONS, HOLDS, LAST_SLOT, hold};

pub use child::die_with_parent;
pub use threads::{Role, threads};

use crate::{artefacts::Artefacts, console::Console};
use command_line::{
    ACPI_FD, BESIDE_FD, CONSOLE_FD, CONTROL_FD, COVERAGE_FD, DEVICE_FD, INITRAMFS_FD, LOG_FD,
    QMP_FD,
};

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

/// A running QEMU; dropping it ends it.
#[derive(Debug)]
pub struct Qemu {
    child: Child,
    /// The guest's console; empty when it goes to the terminal.
    pub console: Console,
    /// What QEMU itself says.
    pub messages: Console,
    /// Our end of the channel on which it takes commands, where it takes some.
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
            if machine.takes_commands() {
                let (ours, theirs) = UnixStream::pair()?;
                descriptors.push((theirs.into(), QMP_FD));
                qmp = Some(ours);
            }
            if machine.suspends_to_ram {
                descriptors.push((acpi::of_resume()?.into(), ACPI_FD));
            }
            if let Some(log) = connections.log {
                descriptors.push((log.share()?.into(), LOG_FD));
            }
            if let Some(map) = connections.coverage {
                descriptors.push((map.share()?.into(), COVERAGE_FD));
            }
            if let Some(beside) = connections.beside {
                descriptors.push((beside.descriptor, BESIDE_FD));
                command.args(beside.arguments);
            }
            if let Some(initramfs) = connections.initramfs {
                descriptors.push((initramfs.into(), INITRAMFS_FD));
            }
            let sockets = connections.devices.into_iter().map(|device| device.handle);
            descriptors.extend(iter::zip(sockets, DEVICE_FD..));
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
