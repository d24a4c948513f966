// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed run-vm`: a shell in the guest, with the driver loaded, a listener
//! running, and a device that `irqbed raise` makes interrupt.

use std::{
    fs::DirBuilder,
    io::{self, IsTerminal},
    os::unix::{fs::DirBuilderExt, net::UnixStream},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, ensure};
use clap::{Args, value_parser};
use device_model::control::ControlServer;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::{
    accel::{self, AccelRequest},
    qemu::{ClockKind, ConsoleTo, Machine},
    session::Session,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    vcpus: u32,
    /// Guest memory, MiB
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = value_parser!(u32).range(128..=65536))]
    memory: u32,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelRequest::Auto)]
    accel: AccelRequest,
    /// Put behind the kernel's command line; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    kernel_parameter: Vec<String>,
    /// Another kernel than the stock one: `6.12-debug`, which checks locks,
    /// memory and contexts (`./just debug-kernel` builds it)
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
    /// Where to listen for `irqbed raise`
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    ensure!(
        io::stdin().is_terminal(),
        "run-vm gives an interactive shell and needs a terminal on standard input; \
         for a run without one use `irqbed bench`"
    );
    let artefacts = super::artefacts(arguments.kernel.as_deref())?;
    let choice = accel::choose(arguments.accel)?;
    let machine = Machine {
        accelerator: choice.accelerator,
        clock: ClockKind::Wall,
        vcpus: arguments.vcpus,
        memory_mib: arguments.memory,
        iommu: false,
        kernel_parameters: arguments.kernel_parameter.clone(),
    };
    let socket = match &arguments.control {
        Some(path) => path.clone(),
        None => default_socket()?,
    };
    ensure!(
        UnixStream::connect(&socket).is_err(),
        "a guest is running already, with its socket at {}: leave it, or give --control SOCKET",
        socket.display()
    );
    eprintln!(
        "irqbed: booting ({}: {}); Ctrl-A X leaves",
        choice.accelerator, choice.reason
    );
    if let Some(path) = &arguments.control {
        eprintln!("irqbed: `./just raise` needs --control {}", path.display());
    }
    let _terminal = TerminalRestorer::new();
    let mut session = Session::boot_with(&artefacts, &machine, &ConsoleTo::Terminal, None)?;
    let _control = ControlServer::bind(&socket, session.source().clone())
        .with_context(|| format!("cannot listen for `irqbed raise` at {}", socket.display()))?;
    let status = session.wait_for_end()?;
    ensure!(status.success(), "QEMU ended badly ({status})");
    Ok(ExitCode::SUCCESS)
}

/// A socket in a folder of the user's own: below `XDG_RUNTIME_DIR`, else
/// below the system's folder for temporary files.
pub(super) fn default_socket() -> anyhow::Result<PathBuf> {
    let folder = match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(folder) if Path::new(&folder).is_dir() => PathBuf::from(folder).join("irqbed"),
        _ => std::env::temp_dir().join(format!("irqbed-{}", rustix::process::getuid().as_raw())),
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let state = rustix::fs::lstat(&folder)
        .with_context(|| format!("cannot look at {}", folder.display()))?;
    let is_ours = state.st_uid == rustix::process::getuid().as_raw() && state.st_mode & 0o077 == 0;
    ensure!(
        is_ours,
        "{} is open to others: remove it, or give --control",
        folder.display()
    );
    Ok(folder.join("run-vm.sock"))
}

/// QEMU puts the terminal into raw mode; if it dies it cannot take it back.
struct TerminalRestorer(Option<Termios>);

impl TerminalRestorer {
    fn new() -> Self {
        Self(tcgetattr(io::stdin()).ok())
    }
}

impl Drop for TerminalRestorer {
    fn drop(&mut self) {
        if let Some(state) = &self.0 {
            // Nothing to be done where the terminal itself is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, state);
        }
    }
}
