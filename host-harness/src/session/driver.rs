// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver of the event device, loaded, counting and unloaded, and the listeners
//! that it tells of events.

use std::time::Duration;

use irqbed_abi::{
    control::{ListenerReport, ListenerSpec, Reply, Request},
    counters::Counters,
};

use super::{Session, SessionError, error::quoted};

use crate::units::span;

/// How long the device may take to be enabled by a driver that has loaded.
const READY_LIMIT: Duration = Duration::from_secs(5);

impl Session {
    /// Loads the driver and waits until it has enabled the device, if there is one.
    ///
    /// # Errors
    /// [`SessionError::NoParameter`]; [`SessionError::Agent`] with the driver's
    /// own message when it refuses.
    pub fn load_module<'a>(
        &mut self,
        parameters: impl IntoIterator<Item = (&'a str, String)>,
    ) -> Result<(), SessionError> {
        let parameters: Vec<_> = parameters
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        // The kernel itself only warns of one.
        if let Some((name, _)) = parameters
            .iter()
            .find(|(name, _)| !self.parameters.contains(name))
        {
            return Err(SessionError::NoParameter {
                name: name.clone(),
                known: self.parameters.clone(),
            });
        }
        let parameters = parameters.into_iter().collect();
        self.guest.expect_done(Request::LoadModule { parameters })?;
        let has_device = self.server.is_some() || self.guest.ports.servers().next().is_some();
        if !has_device || self.source.wait_ready(READY_LIMIT) {
            Ok(())
        } else {
            Err(SessionError::Device(format!(
                "the driver has loaded but did not enable the device within {}{}",
                span(READY_LIMIT),
                quoted("the guest said", &self.kernel_log()?)
            )))
        }
    }

    /// Unloads the driver.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn unload_module(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::UnloadModule)
    }

    /// Gives the device to `vfio-pci`, for a listener to drive.
    ///
    /// # Errors
    /// [`SessionError::Agent`] when the machine has no IOMMU, or a driver has
    /// the device.
    pub fn bind_vfio(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::BindVfio)
    }

    /// Takes the device from `vfio-pci`.
    ///
    /// # Errors
    /// [`SessionError::Agent`] while a listener drives it.
    pub fn unbind_vfio(&mut self) -> Result<(), SessionError> {
        self.guest.expect_done(Request::UnbindVfio)
    }

    /// Starts a listener; it is subscribed on return. Returns its number.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn listen(&mut self, spec: ListenerSpec) -> Result<u32, SessionError> {
        self.guest
            .ask_for(Request::Listen(spec), |answer| match answer {
                Reply::Listening { listener, .. } => Ok(listener),
                answer => Err(answer),
            })
    }

    /// What a listener has seen.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn report(&mut self, listener: u32) -> Result<ListenerReport, SessionError> {
        self.listener_report(Request::Report { listener })
    }

    /// Ends a listener, by `SIGKILL` if told so.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn end_listener(
        &mut self,
        listener: u32,
        kill: bool,
    ) -> Result<ListenerReport, SessionError> {
        self.listener_report(Request::EndListener { listener, kill })
    }

    fn listener_report(&mut self, request: Request) -> Result<ListenerReport, SessionError> {
        self.guest.ask_for(request, |answer| match answer {
            Reply::Listener(report) => Ok(report),
            answer => Err(answer),
        })
    }

    /// The driver's counters, once it has handed on every record there is.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn flush(&mut self) -> Result<Counters, SessionError> {
        self.counters_by(Request::Flush)
    }

    /// The driver's counters as they are.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn counters(&mut self) -> Result<Counters, SessionError> {
        self.counters_by(Request::Counters)
    }

    fn counters_by(&mut self, request: Request) -> Result<Counters, SessionError> {
        self.guest.ask_for(request, |answer| match answer {
            Reply::Counters(counters) => Ok(*counters),
            answer => Err(answer),
        })
    }

    /// The first socket that closes makes the kernel rebuild its table of the
    /// unit's sockets, which may put the driver's own in front of a listener's.
    /// What opens later stays in front.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn settle_sockets(&mut self) -> Result<(), SessionError> {
        self.counters().map(drop)
    }
}
