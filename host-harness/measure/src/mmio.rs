// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How long an access to a register takes, at any server of vfio-user: straight
//! over its socket, and from a process in a guest, each access trapped by QEMU.
//! Several servers take turns, so that whatever the machine does besides hits
//! all of them.
//!
//! Many servers take one client at a time. So the socket comes first, over one
//! connection to each, and when those are closed QEMU connects.

mod guest;
mod report;
mod socket;

use std::{
    fmt,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    time::Duration,
};

use device_model::{Disconnect, Options, ServerHandle, vfio_user::ClientError};
use irqbed_abi::{pci, regs};
use irqbed_machine::{
    accel::Accelerator,
    artefacts::Artefacts,
    builtin::{Builtin, DeviceOptions},
    interrupt::Interrupted,
    progress::Progress,
    served::reach,
    session::SessionError,
};
use irqbed_results::ratio::Rounds;
use serde::{Deserialize, Serialize};

pub use report::{Document, Figures, Parameters, Server, ServerRatio};

/// BARs of a PCI device: the regions that a guest reaches as registers.
const BARS: u32 = 6;

/// From where a register is accessed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// Straight over the socket, with no QEMU
    Socket,
    /// From a process in a guest, through QEMU
    Guest,
}

/// Who serves the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Serves {
    /// Somebody at a socket.
    Socket(PathBuf),
    /// This process: one of our devices, whose thread spins so long for a
    /// message before it sleeps.
    Ours(Builtin, Duration),
}

/// A register of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Who serves the device.
    pub serves: Serves,
    /// The region.
    pub region: u32,
    /// Where in it, bytes.
    pub offset: u64,
}

/// What to measure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// At least one register, each of another device.
    pub targets: Vec<Target>,
    /// From where.
    pub ways: Vec<Way>,
    /// Bytes of an access: 1, 2, 4 or 8.
    pub width: u32,
    /// What is written; `None` to read.
    pub write: Option<u64>,
    /// Accesses of each register in a round.
    pub count: u64,
    /// Rounds.
    pub rounds: u64,
    /// Accelerator of the guest.
    pub accelerator: Accelerator,
    /// Virtual processors of the guest.
    pub vcpus: u32,
}

/// What was measured.
#[derive(Debug)]
pub struct Measured {
    /// Nanoseconds of each access, by way and then by target.
    pub rounds: Vec<(Way, Vec<Rounds>)>,
    /// The guest's kernel; empty where there was no guest.
    pub kernel: String,
    /// What a reader of the figures should know.
    pub notes: Vec<String>,
}

/// Registers that cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum MmioError {
    /// There is no such server, or it has no such register.
    #[error("{server}: {why}")]
    NoRegister {
        /// The server.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// A server failed while it was measured.
    #[error("{server}: {error}")]
    Server {
        /// The server.
        server: String,
        /// What it did.
        #[source]
        error: ClientError,
    },
    /// A server does not take a second client.
    #[error(
        "{server} has served one connection and takes no other ({why}), and a guest needs one of \
         its own: start it anew and give --way guest"
    )]
    OneConnection {
        /// The server.
        server: String,
        /// How it shows.
        why: String,
    },
    /// The guest failed, or a device of ours cannot be served.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The user asked us to stop.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

impl Target {
    /// The register of a device of ours that is measured: of those that are
    /// read the first, of those that are written one that keeps what it is
    /// told.
    #[must_use]
    pub fn of_ours(device: Builtin, poll: Duration, written: bool) -> Self {
        let (region, offset) = match (device, written) {
            (Builtin::Event, false) => (pci::CONTROL_BAR, regs::REG_MAGIC),
            (Builtin::Event, true) => (pci::CONTROL_BAR, regs::REG_SCRATCH),
            (Builtin::Edu | Builtin::NicLite, false) => (0, 0),
            // The liveness check of edu.
            (Builtin::Edu, true) => (0, 4),
            // The ring's address of a queue that is not enabled.
            (Builtin::NicLite, true) => (0, 0x100),
        };
        Self {
            serves: Serves::Ours(device, poll),
            region,
            offset: offset.into(),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.serves {
            Serves::Socket(path) => path.display().fmt(f),
            Serves::Ours(device, poll) => {
                f.write_str(device.as_str())?;
                match poll.as_micros() {
                    0 => Ok(()),
                    poll => write!(f, ", polling {poll} µs"),
                }
            }
        }
    }
}

impl Plan {
    /// What a guest cannot do, if it is to.
    ///
    /// # Errors
    /// [`MmioError::NoRegister`].
    fn check(&self) -> Result<(), MmioError> {
        for target in &self.targets {
            let refused = |why| {
                Err(MmioError::NoRegister {
                    server: target.to_string(),
                    why,
                })
            };
            if !target.offset.is_multiple_of(self.width.into()) {
                return refused(format!(
                    "the offset {:#x} is no multiple of the width, {} bytes",
                    target.offset, self.width
                ));
            }
            if self.ways.contains(&Way::Guest) && target.region >= BARS {
                return refused(format!(
                    "region {} is no BAR, which a guest could access: give --way socket",
                    target.region
                ));
            }
        }
        Ok(())
    }

    /// Measures every register in every way.
    ///
    /// # Errors
    /// [`MmioError`]; nothing is left running.
    pub fn measure(
        &self,
        artefacts: &Artefacts,
        progress: &Progress,
    ) -> Result<Measured, MmioError> {
        self.check()?;
        let served = self
            .targets
            .iter()
            .map(Served::new)
            .collect::<Result<Vec<_>, _>>()?;
        let mut measured = Measured {
            rounds: Vec::new(),
            kernel: String::new(),
            notes: Vec::new(),
        };
        for way in &self.ways {
            let rounds = match way {
                Way::Socket => socket::measure(self, &served, progress, &mut measured.notes)?,
                Way::Guest => {
                    let (rounds, kernel) = guest::measure(self, &served, artefacts, progress)?;
                    measured.kernel = kernel;
                    rounds
                }
            };
            measured.rounds.push((*way, rounds));
        }
        Ok(measured)
    }
}

/// A device that can be connected to.
struct Served {
    name: String,
    socket: PathOf,
    /// Ours, where it is.
    _server: Option<ServerHandle>,
}

/// Where the socket is.
enum PathOf {
    Path(PathBuf),
    Handle(OwnedFd),
}

impl Served {
    fn new(target: &Target) -> Result<Self, MmioError> {
        let name = target.to_string();
        match &target.serves {
            Serves::Socket(path) => match reach(path) {
                Ok(_) => Ok(Self {
                    name,
                    socket: PathOf::Path(path.clone()),
                    _server: None,
                }),
                Err(why) => Err(MmioError::NoRegister { server: name, why }),
            },
            Serves::Ours(device, poll) => {
                // It is connected to once by us, and once by QEMU.
                let how = Options::default()
                    .polling(*poll)
                    .on_disconnect(Disconnect::Reset);
                let served = device.serve(DeviceOptions::default(), how)?;
                Ok(Self {
                    name,
                    socket: PathOf::Handle(served.handle),
                    _server: served.server,
                })
            }
        }
    }

    /// A path to connect to.
    fn path(&self) -> PathBuf {
        match &self.socket {
            PathOf::Path(path) => path.clone(),
            PathOf::Handle(handle) => format!("/proc/self/fd/{}", handle.as_raw_fd()).into(),
        }
    }
}

/// An order of its own for each round, the same in every run.
fn in_turns(round: u64, count: usize) -> Vec<usize> {
    let mut turns: Vec<usize> = (0..count).collect();
    fastrand::Rng::with_seed(round).shuffle(&mut turns);
    turns
}
