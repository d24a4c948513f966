// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control socket of a running guest: where it is, who listens there, and
//! who asks.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::{DirBuilderExt, FileTypeExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow, ensure};
use device_model::{
    control::{ClientError, ControlClient, ControlServer, Target},
    socket::{BoundSocket, SocketError},
};
use irqbed_machine::session::Guest;
use irqbed_trial::plugging::Plugging;

/// Listens for `irqbed raise` and `irqbed fault`.
pub(super) fn listen(socket: &Path, target: Target) -> anyhow::Result<ControlServer> {
    ControlServer::bind(socket, target).with_context(|| {
        format!(
            "cannot listen for `irqbed raise` and `irqbed fault` at {}",
            socket.display()
        )
    })
}

/// What is done while a guest runs: whatever is asked of its ports, if it has some.
pub(super) fn attend(ports: u32, socket: &Path) -> anyhow::Result<impl FnMut(&mut Guest)> {
    let plugging = (ports > 0).then(|| Plugging::listen(socket));
    let mut plugging = plugging.transpose().with_context(|| {
        let socket = socket.display();
        format!("cannot listen for `irqbed plug` beside {socket}")
    })?;
    Ok(move |guest: &mut Guest| {
        if let Some(plugging) = &mut plugging {
            plugging.attend(guest);
        }
    })
}

/// Reaches the device of a running guest, at the default socket for `None`.
pub(super) fn connect(socket: Option<&Path>) -> anyhow::Result<ControlClient> {
    let socket = socket_or_default(socket)?;
    ControlClient::connect(&socket).map_err(|error| match error {
        ClientError::Connect { source, .. } => anyhow!(
            "no running guest with a device of irqbed at {}: {}; start one with `irqbed run-vm`",
            socket.display(),
            nobody(&socket, &source)
        ),
        error => error.into(),
    })
}

/// Why nobody could be reached at a socket.
fn nobody(socket: &Path, error: &io::Error) -> String {
    let found = fs::metadata(socket);
    let is_socket = found.is_ok_and(|found| found.file_type().is_socket());
    match error.kind() {
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        io::ErrorKind::ConnectionRefused if is_socket => "nobody listens there any more".to_owned(),
        io::ErrorKind::ConnectionRefused => "it is no socket".to_owned(),
        _ => error.to_string(),
    }
}

/// Nobody could be asked at this socket.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for `irqbed raise`, `fault` and `plug` at {socket}")]
pub(super) struct CannotListen {
    socket: PathBuf,
    source: SocketError,
}

/// Makes sure that a guest can be asked at a socket, before one is booted.
pub(super) fn check(socket: &Path) -> Result<(), CannotListen> {
    match BoundSocket::bind_or_replace(socket) {
        Ok(_) => Ok(()),
        Err(source) => Err(CannotListen {
            socket: socket.to_owned(),
            source,
        }),
    }
}

/// The socket that was given, else the default one.
pub(super) fn socket_or_default(socket: Option<&Path>) -> anyhow::Result<PathBuf> {
    socket.map_or_else(default_socket, |path| Ok(path.to_path_buf()))
}

/// A socket in a folder of the user's own: below `XDG_RUNTIME_DIR`, else
/// below the system's folder for temporary files.
fn default_socket() -> anyhow::Result<PathBuf> {
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
