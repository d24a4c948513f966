// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Plugging and pulling, as guests and sessions offer it.

use std::{os::fd::OwnedFd, time::Duration};

use device_model::{Options, PciDevice, ServerHandle, event::EventDevice};

use super::{Guest, PlugError, Session, SessionError, error::quoted, guest::ended};
use crate::{
    qemu::Port,
    qmp::{Qmp, QmpError},
    served::Served,
    span::span,
};

/// How long a guest may take to find a device, and its driver to enable it.
const FOUND: Duration = Duration::from_secs(20);
/// How long QEMU may take from the end of its channel to its own.
const END: Duration = Duration::from_secs(2);

impl Guest {
    /// Serves a device and plugs it into a port; the guest finds it by itself, a
    /// moment later. It is served until it is unplugged or the guest ends.
    ///
    /// # Errors
    /// [`PlugError`]; [`QmpError::Refused`] when QEMU does not take the device.
    pub fn plug(&mut self, port: Port, device: impl PciDevice) -> Result<(), SessionError> {
        self.plug_served(port, |options| {
            Ok(Served::by_us(device, options).map_err(PlugError::Serve)?)
        })
    }

    /// Plugs in a device that somebody else serves, by the handle (`O_PATH`) of its
    /// socket.
    ///
    /// # Errors
    /// [`PlugError`]; [`QmpError::Refused`] when QEMU does not take the device.
    pub fn plug_socket(&mut self, port: Port, socket: &OwnedFd) -> Result<(), SessionError> {
        self.plug_served(port, |_| Ok(Served::at(socket.try_clone()?)))
    }

    /// Plugs in what `serve` serves, which is called if the port is empty.
    pub fn plug_served(
        &mut self,
        port: Port,
        serve: impl FnOnce(Options) -> Result<Served, SessionError>,
    ) -> Result<(), SessionError> {
        let plugged = self.ports.plug(port, serve);
        plugged.map_err(|error| self.in_words_of_qemu(error))
    }

    /// Asks the guest to let go of the device in a port, as a person does who wants
    /// to pull a card, and pulls it.
    ///
    /// # Errors
    /// [`PlugError`]; the device stays where it is.
    pub fn unplug(&mut self, port: Port) -> Result<(), SessionError> {
        let unplugged = self.ports.unplug(port);
        unplugged.map_err(|error| self.in_words_of_qemu(error))
    }

    /// The device in a port, as this process serves it.
    #[must_use]
    pub fn plugged(&self, port: Port) -> Option<&ServerHandle> {
        self.ports.server(port)
    }

    /// The channel on which QEMU takes commands, of a machine with ports or with
    /// suspend to RAM.
    pub fn qmp(&mut self) -> Option<&mut Qmp> {
        self.ports.qmp()
    }

    /// A closed channel means that QEMU has ended, and how is known here.
    pub(super) fn in_words_of_qemu(&mut self, error: SessionError) -> SessionError {
        match error {
            SessionError::Qmp(QmpError::Closed) => match self.qemu.wait(END) {
                Ok(Some(status)) => ended(status, &mut self.qemu),
                _ => error,
            },
            error => error,
        }
    }
}

impl Session {
    /// Plugs an event device into a port. It is the session's device from now on,
    /// and [`Session::source`] raises its events as soon as it
    /// [is driven](Session::wait_until_driven).
    ///
    /// # Example
    /// ```no_run
    /// use device_model::event::{EventDevice, Payload, Vector};
    /// use irqbed_machine::{
    ///     accel::{AccelRequest, choose},
    ///     artefacts::Artefacts,
    ///     qemu::{ClockKind, Machine, Port},
    ///     session::Setup,
    /// };
    ///
    /// # fn main() -> anyhow::Result<()> {
    /// let accelerator = choose(AccelRequest::Auto)?.accelerator;
    /// let machine = Machine {
    ///     ports: 1,
    ///     ..Machine::new(accelerator, ClockKind::Wall)
    /// };
    /// let artefacts = Artefacts::locate()?;
    /// let mut session = Setup::of(&artefacts, &machine).without_device().boot()?;
    /// session.load_module([])?;
    /// session.plug(Port(0), EventDevice::new()?)?;
    /// session.wait_until_driven(Port(0))?;
    /// session.source().raise(Vector::default(), Payload::Pattern(64))?;
    /// session.unplug(Port(0))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`PlugError`], also when the session was booted with a device.
    pub fn plug(&mut self, port: Port, device: EventDevice) -> Result<(), SessionError> {
        if self.server.is_some() {
            return Err(PlugError::HasDevice.into());
        }
        let source = device.source();
        self.guest.plug(port, device)?;
        self.source = source;
        Ok(())
    }

    /// Waits until the driver, which is loaded, has taken the event device in a port
    /// and made all that its listeners need.
    ///
    /// # Errors
    /// [`SessionError::Device`] when it does not, with what the guest's kernel says.
    pub fn wait_until_driven(&mut self, port: Port) -> Result<(), SessionError> {
        let ready = self.source.wait_ready(FOUND);
        // It enables the device before it has done all, and who reads this file waits
        // for the lock that the kernel has for as long.
        let folder = format!("/sys/bus/pci/devices/{}", port.address());
        let script = format!("cat {folder}/0*:00.0/driver_override");
        let (status, ..) = self.run(&["sh", "-c", &script])?;
        if ready && status == 0 {
            return Ok(());
        }
        Err(SessionError::Device(format!(
            "the driver did not enable the device in port {port} within {}{}",
            span(FOUND),
            quoted("the guest said", &self.kernel_log()?)
        )))
    }

    /// Pulls the device in a port, as [`Guest::unplug`] does.
    ///
    /// # Errors
    /// [`PlugError`]; the device stays where it is.
    pub fn unplug(&mut self, port: Port) -> Result<(), SessionError> {
        self.guest.unplug(port)
    }
}
