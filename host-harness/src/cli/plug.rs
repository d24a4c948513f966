// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed plug` and `irqbed unplug`: devices that come and go while `run-vm` runs.

use std::{
    io,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
};

use clap::{ArgGroup, Args};

use super::control::socket_or_default;
use crate::{
    plugging::{Given, Request, ask},
    scenario::Builtin,
};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["device", "socket"])))]
pub(super) struct Plug {
    /// A device of this project, by name
    #[arg(value_name = "NAME", value_enum)]
    device: Option<Builtin>,
    /// Where a device model of yours listens, which speaks vfio-user
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The event device has no MSI-X
    #[arg(long, conflicts_with = "socket")]
    no_msix: bool,
    /// Where the event device listens for `irqbed raise`
    #[arg(long, value_name = "SOCKET", conflicts_with = "socket")]
    listen: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Number of the port
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u32,
    /// Socket of the running guest, where `run-vm` was given another one
    #[arg(long, value_name = "SOCKET")]
    control: Option<PathBuf>,
}

impl Place {
    fn ask(&self, request: &Request) -> anyhow::Result<()> {
        let socket = socket_or_default(self.control.as_deref())?;
        Ok(ask(&socket, request)?)
    }
}

impl Plug {
    /// What cannot go together, and clap does not know.
    fn conflict(&self) -> Option<String> {
        let name = match self.device {
            None | Some(Builtin::Event) => return None,
            Some(device) => device.as_str(),
        };
        if self.no_msix {
            return Some(format!("--no-msix: {name} is as it is"));
        }
        let listens = self.listen.is_some();
        listens.then(|| format!("--listen: {name} raises no events"))
    }

    /// The device, and what to call it. The process that plugs it in may be in
    /// another folder.
    fn given(&self) -> io::Result<(Given, String)> {
        let Some(device) = self.device else {
            let path = absolute(self.socket.as_deref().unwrap_or(Path::new("")))?;
            let name = format!("the device at {}", path.display());
            return Ok((Given::Socket(path), name));
        };
        let given = match device {
            Builtin::Event => Given::Event {
                msix: !self.no_msix,
                control: self.listen.as_ref().map(absolute).transpose()?,
            },
            Builtin::Edu => Given::Edu,
            Builtin::NicLite => Given::NicLite,
        };
        Ok((given, device.as_str().to_owned()))
    }
}

pub(super) fn plug(arguments: &Plug) -> anyhow::Result<ExitCode> {
    if let Some(conflict) = arguments.conflict() {
        super::options::refuse(conflict);
    }
    let (device, name) = arguments.given()?;
    let port = arguments.place.port;
    arguments.place.ask(&Request::Plug { port, device })?;
    super::print(&format!("{name} is in port {port}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn unplug(arguments: &Place) -> anyhow::Result<ExitCode> {
    let port = arguments.port;
    arguments.ask(&Request::Unplug { port })?;
    super::print(&format!("port {port} is empty\n"))?;
    Ok(ExitCode::SUCCESS)
}
