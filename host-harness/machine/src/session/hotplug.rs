// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Devices that come and go while the guest runs. Most are served by this process
//! and plugged into a port of the machine; QEMU reaches the socket by the handle that
//! this process has open, so that nothing lies on a disk.

use std::{
    os::{fd::AsRawFd, unix::net::UnixStream},
    process,
    time::{Duration, Instant},
};

use device_model::{
    DeviceSpec, Fault, FaultInjection, Options, ServeError, ServerEnd, ServerHandle,
    bar::BarKind,
    fault::{FaultKind, When},
};
use serde_json::{Value, json};

use super::SessionError;
use crate::{
    device_process::DeviceProcess,
    qemu::{self, Machine, Port},
    qmp::{Event, Qmp, QmpError},
    served::Served,
    span::span,
};

/// How long a guest may take to let a device go. Its kernel gives a person 5 s to
/// change their mind where it does not use ACPI for it.
const LET_GO: Duration = Duration::from_secs(30);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(20);
/// How long QEMU may take from the end of a device to that of its connection.
const HUNG_UP: Duration = Duration::from_secs(10);
/// Where QEMU has the devices that were given a name.
const NAMED: &str = "/machine/peripheral";

/// Why a device cannot be plugged in or pulled.
#[derive(Debug, thiserror::Error)]
pub enum PlugError {
    /// The machine has no such port.
    #[error("there is no port {port}: {}", has(*.ports))]
    NoPort {
        /// The port.
        port: Port,
        /// How many the machine has.
        ports: u32,
    },
    /// A port takes one device.
    #[error("port {0} has a device in it: unplug it first, or take another port")]
    Taken(Port),
    /// The guest could give it no addresses.
    #[error(
        "the device's BARs need {needs_mib} MiB, and port {port} has a window of {window_mib} MiB: \
         boot the guest with --port-window {needs_mib}"
    )]
    TooLarge {
        /// The port.
        port: Port,
        /// What the BARs need, MiB.
        needs_mib: u64,
        /// What the port has, MiB.
        window_mib: u32,
    },
    /// There is nothing to pull.
    #[error("port {0} has no device in it")]
    Empty(Port),
    /// Only a device that this process serves can be given faults.
    #[error("port {0} has no device of this project in it, and others cannot be given faults")]
    NotOurs(Port),
    /// Pulling this device would end the guest.
    #[error(
        "the device in port {port} stays: it has MSI-X, and QEMU 11.1.3 aborts when it frees a \
         vfio-user device that has (`subregion->container == mr`). It keeps {holds} such devices \
         unfreed, and there were more: boot another guest, or plug in a device without MSI-X \
         (EventDevice::without_msix, `irqbed plug event --no-msix`)"
    )]
    MsixStays {
        /// The port.
        port: Port,
        /// How many devices with MSI-X a guest can let go of.
        holds: u32,
    },
    /// The guest does not give the device back.
    #[error(
        "the guest does not let go of the device in port {port} within {}: its driver \
         hangs, its interrupts leave it no time, or its kernel cannot unplug",
        span(LET_GO)
    )]
    Kept {
        /// The port.
        port: Port,
    },
    /// The guest says that it does not give the device back.
    #[error("the guest refuses to let go of the device in port {0}")]
    GuestRefuses(Port),
    /// QEMU has let go of the device, but not of its connection.
    #[error(
        "QEMU does not hang up on the device from port {port} within {}",
        span(HUNG_UP)
    )]
    StillConnected {
        /// The port.
        port: Port,
    },
    /// The session is about one event device, and has it.
    #[error(
        "the session has an event device already: boot it by Setup::without_device() to plug one \
         in"
    )]
    HasDevice,
    /// The device cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

fn has(ports: u32) -> String {
    match ports {
        0 => "the machine was started without any, give it some by Machine::ports".to_owned(),
        count => Port::listed(count),
    }
}

/// The window that the memory BARs of a device need, of the kind that needs more, MiB.
/// Each lies at a multiple of its size, which together take no more than their sum.
fn needed_mib(spec: &DeviceSpec) -> u64 {
    let of = |prefetchable| {
        let bars = spec.bars.iter().flatten();
        let memory = bars.filter(|bar| bar.kind == BarKind::Memory);
        let sizes = memory.filter(|bar| bar.prefetchable == prefetchable);
        sizes.map(|bar| bar.size).sum::<u64>().div_ceil(1 << 20)
    };
    of(true).max(of(false))
}

/// A device in a port.
#[derive(Debug)]
struct Card {
    /// QEMU's name of it; no other one ever has it.
    id: String,
    /// None where somebody else serves it.
    server: Option<ServerHandle>,
    /// Who does, where it is for this guest alone.
    _process: Option<DeviceProcess>,
    /// Whether it has MSI-X, or may have.
    msix: bool,
    /// Whether QEMU will never free it.
    held: bool,
}

impl Card {
    /// Whether the guest has let go of it.
    fn is_gone(&self, qmp: &mut Qmp) -> Result<bool, QmpError> {
        let named = qmp.execute("qom-list", json!({ "path": NAMED }))?;
        let mut named = named.as_array().into_iter().flatten();
        let is_this = |entry: &Value| entry.get("name").and_then(Value::as_str) == Some(&self.id);
        Ok(!named.any(is_this))
    }

    /// Waits until the guest has.
    fn wait(&self, port: Port, qmp: &mut Qmp) -> Result<(), SessionError> {
        let refused = |event: &Event| event.is_of("DEVICE_UNPLUG_GUEST_ERROR", &self.id);
        // Of a device that is held this never comes.
        let deleted = |event: &Event| event.is_of("DEVICE_DELETED", &self.id);
        let deadline = Instant::now() + LET_GO;
        loop {
            let came = |event: &Event| refused(event) || deleted(event);
            match qmp.wait_for("DEVICE_DELETED", LOOK, came) {
                Ok(event) if refused(&event) => return Err(PlugError::GuestRefuses(port).into()),
                Ok(_) => return Ok(()),
                Err(QmpError::Silent { .. }) if self.is_gone(qmp)? => return Ok(()),
                Err(QmpError::Silent { .. }) if Instant::now() < deadline => {}
                Err(QmpError::Silent { .. }) => return Err(PlugError::Kept { port }.into()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// The ports of a guest, and what is in them.
#[derive(Debug)]
pub(super) struct Ports {
    /// None where QEMU takes no commands.
    qmp: Option<Qmp>,
    cards: Vec<Option<Card>>,
    /// Devices that were pulled, and that QEMU does not free.
    held: Vec<Card>,
    /// How devices are served.
    options: Options,
    /// How many were ever plugged in.
    count: u64,
    /// How many QEMU was asked to hold.
    holds: u32,
    /// Room for the BARs of what is plugged into a port, MiB.
    window_mib: u32,
}

impl Ports {
    pub(super) fn new(channel: Option<UnixStream>, machine: &Machine) -> Result<Self, QmpError> {
        Ok(Self {
            qmp: channel.map(Qmp::new).transpose()?,
            cards: Port::all(machine.ports).map(|_| None).collect(),
            held: Vec::new(),
            options: machine.options(),
            count: 0,
            holds: 0,
            window_mib: machine.port_window_mib,
        })
    }

    pub(super) fn qmp(&mut self) -> Option<&mut Qmp> {
        self.qmp.as_mut()
    }

    /// The channel to QEMU and what is in a port.
    fn at(&mut self, port: Port) -> Result<(&mut Qmp, &mut Option<Card>), PlugError> {
        let ports = self.cards.len() as u32;
        let card = self.cards.get_mut(port.0 as usize);
        match (&mut self.qmp, card) {
            (Some(qmp), Some(card)) => Ok((qmp, card)),
            _ => Err(PlugError::NoPort { port, ports }),
        }
    }

    /// Plugs in what `serve` serves, once the port is known to be empty.
    pub(super) fn plug(
        &mut self,
        port: Port,
        serve: impl FnOnce(Options) -> Result<Served, SessionError>,
    ) -> Result<(), SessionError> {
        self.empty(port)?;
        let served = serve(self.options)?;
        self.add(port, served)
    }

    /// Makes sure that a port has no device in it.
    fn empty(&mut self, port: Port) -> Result<(), SessionError> {
        let (qmp, place) = self.at(port)?;
        let Some(card) = place else {
            return Ok(());
        };
        // The guest can let go of one by itself.
        if !card.is_gone(qmp)? {
            return Err(PlugError::Taken(port).into());
        }
        self.take_out(port)
    }

    fn add(&mut self, port: Port, served: Served) -> Result<(), SessionError> {
        // What somebody else serves may have it.
        let server = served.server.as_ref();
        let needs_mib = server.map_or(0, |server| needed_mib(server.spec()));
        let window_mib = self.window_mib;
        if needs_mib > u64::from(window_mib) {
            return Err(PlugError::TooLarge {
                port,
                needs_mib,
                window_mib,
            }
            .into());
        }
        let msix = server.is_none_or(|server| server.spec().msix.is_some());
        let id = format!("card{}", self.count);
        let number = self.holds;
        let (qmp, place) = self.at(port)?;
        // A descriptor that is there when QEMU starts is inherited. This one is not,
        // and QEMU takes none of its kind later, so it opens ours.
        let fd = served.handle.as_raw_fd();
        let path = format!("/proc/{}/fd/{fd}", process::id());
        let socket = json!({ "type": "unix", "path": path });
        let (driver, bus) = ("vfio-user-pci", port.id());
        let arguments = json!({ "driver": driver, "id": id, "bus": bus, "socket": socket });
        qmp.execute("device_add", arguments)?;
        let held = msix && number < qemu::HOLDS;
        let link = format!("{NAMED}/{id}");
        let card = place.insert(Card {
            id,
            server: served.server,
            _process: served.process,
            msix,
            held: false,
        });
        if held {
            // At once: the guest may let go of it at any time.
            let (path, property) = qemu::hold(number);
            let arguments = json!({ "path": path, "property": property, "value": link });
            qmp.execute("qom-set", arguments)?;
            card.held = true;
        }
        self.count += 1;
        self.holds += u32::from(held);
        Ok(())
    }

    pub(super) fn unplug(&mut self, port: Port) -> Result<(), SessionError> {
        let (qmp, place) = self.at(port)?;
        let card = place.as_ref().ok_or(PlugError::Empty(port))?;
        if !card.is_gone(qmp)? {
            if card.msix && !card.held {
                let holds = qemu::HOLDS;
                return Err(PlugError::MsixStays { port, holds }.into());
            }
            qmp.execute("device_del", json!({ "id": card.id }))?;
            card.wait(port, qmp)?;
        }
        self.take_out(port)
    }

    /// Has a port empty whose device the guest has let go of.
    fn take_out(&mut self, port: Port) -> Result<(), SessionError> {
        let (_, place) = self.at(port)?;
        let Some(card) = place.take() else {
            return Ok(());
        };
        let Some(server) = &card.server else {
            self.held.extend(card.held.then_some(card));
            return Ok(());
        };
        if card.held {
            // QEMU stays connected to what it does not free, and lends it memory for
            // as long: it aborts where it cannot say what it maps. But a card that is
            // out of its slot does nothing.
            let now = || When::In(Duration::ZERO);
            for out in [FaultKind::Reset(now()), FaultKind::Removed(now())] {
                let out = Fault::new(out).build();
                if let Err(error) = out.and_then(|out| server.faults().arm(out)) {
                    tracing::warn!("the device of port {port} goes on when it is pulled: {error}");
                }
            }
            self.held.push(card);
            return Ok(());
        }
        match server.wait(HUNG_UP) {
            None => Err(PlugError::StillConnected { port }.into()),
            Some(ServerEnd::Failed(why)) => Err(SessionError::Device(why)),
            Some(ServerEnd::Panicked(panic)) => Err(SessionError::Device(panic.to_string())),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn server(&self, port: Port) -> Option<&ServerHandle> {
        self.cards.get(port.0 as usize)?.as_ref()?.server.as_ref()
    }

    pub(super) fn servers(&self) -> impl Iterator<Item = &ServerHandle> {
        let cards = self.cards.iter().flatten();
        cards.filter_map(|card| card.server.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use device_model::{Identity, bar::Bar, bar::BarIndex};

    use super::*;

    #[test]
    fn a_window_has_room_for_all_bars_of_a_kind() {
        let spec = DeviceSpec::new(Identity::new(0x1bed, 1));
        assert_eq!(needed_mib(&spec), 0);
        let spec = spec
            .bar(BarIndex::BAR0, Bar::trapped(4096))
            .bar(BarIndex::BAR2, Bar::trapped(64 << 20));
        assert_eq!(needed_mib(&spec), 65);
    }
}
