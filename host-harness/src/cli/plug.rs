// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed plug` and `irqbed unplug`: devices that come and go while `run-vm`, or a
//! test, runs.

use std::{
    io,
    path::{Path, PathBuf, absolute},
    process::ExitCode,
};

use clap::{ArgGroup, Args, value_parser};
use device_model::Fault;
use irqbed_machine::builtin::Interrupts;
use irqbed_trial::{
    plugging::{Request, ask},
    scenario::{Device, DeviceRequest, MAX_PORTS, ScenarioError},
};

use super::{control::socket_or_default, guest::device};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["device", "socket"])))]
pub(super) struct Plug {
    /// A device of this project: event, edu or nic-lite, with its options as
    /// `edu,irq=intx,mapped=on,dma_mask=0xffffffff` or `event,irq=msi`
    #[arg(value_name = "NAME[,KEY=VALUE...]", value_parser = device)]
    device: Option<DeviceRequest>,
    /// Where a device model of yours listens, which speaks vfio-user
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The event device has no MSI-X; short for `event,irq=msi`
    #[arg(long, conflicts_with = "socket")]
    no_msix: bool,
    /// What goes wrong with a device of this project from the start, as
    /// `irq-lost:chance=0.1`: `irqbed fault --kinds` says what there is; may be
    /// given again
    #[arg(long, value_name = "KIND:KEY=VALUE,...", conflicts_with = "socket")]
    fault: Vec<Fault>,
    /// Where a device of this project listens for `irqbed fault`, and the event
    /// device for `irqbed raise`
    #[arg(long, value_name = "SOCKET", conflicts_with = "socket")]
    listen: Option<PathBuf>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Place {
    /// Number of the port (0 to 13)
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(..i64::from(MAX_PORTS)))]
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
    /// The device. The process that plugs it in may be in another folder.
    fn given(&self) -> io::Result<DeviceRequest> {
        let mut given = match &self.device {
            Some(device) => device.clone(),
            None => {
                let socket = self.socket.as_deref().unwrap_or(Path::new(""));
                Device::Socket(absolute(socket)?).into()
            }
        };
        if self.no_msix {
            given.options.irq = Some(Interrupts::Msi);
        }
        given.faults.clone_from(&self.fault);
        Ok(given)
    }

    /// Whether it can be plugged in, as far as this process knows.
    fn check(&self, given: &DeviceRequest) -> Result<(), ScenarioError> {
        match given.builtin() {
            Some(device) if self.no_msix && !device.can_lack_msix() => {
                Err(ScenarioError::NoChoiceOfMsix(device.as_str().to_owned()))
            }
            _ => given.check_for_port(),
        }
    }
}

pub(super) fn plug(arguments: &Plug) -> anyhow::Result<ExitCode> {
    let device = arguments.given()?;
    arguments.check(&device).map_err(super::bad_input)?;
    let listen = arguments.listen.as_ref().map(absolute).transpose()?;
    let (port, name) = (arguments.place.port, device.device.title());
    arguments.place.ask(&Request::Plug {
        port,
        device,
        listen,
    })?;
    super::print(&format!("{name} is in port {port}\n"))?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn unplug(arguments: &Place) -> anyhow::Result<ExitCode> {
    let port = arguments.port;
    arguments.ask(&Request::Unplug { port })?;
    super::print(&format!("port {port} is empty\n"))?;
    Ok(ExitCode::SUCCESS)
}
