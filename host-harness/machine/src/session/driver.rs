// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver of the event device, loaded, counting and unloaded, and the listeners
//! that it tells of events.

use std::time::Duration;

use irqbed_abi::{
    control::{ListenerReport, ListenerSpec, Reply, Request},
    counters::Counters,
};

use super::{Session, SessionError, error::quoted};

use crate::span::span;

/// How long the device may take to be enabled by a driver that has loaded.
const READY_LIMIT: Duration = Duration::from_secs(5);

/// Where the driver says whether its handler runs in a thread.
const FORCED_THREAD: &str = "/sys/module/irqbed/parameters/forced_thread";

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

    /// What makes the kernel run the handler of the loaded driver in a thread, if
    /// something does: `PREEMPT_RT`, where the notifier's locks may sleep, or the
    /// kernel parameter `threadirqs`. A guest where neither is possible is not asked:
    /// it is as it was.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn handler_forced_by(
        &mut self,
        kernel_parameters: &[String],
    ) -> Result<Option<&'static str>, SessionError> {
        const THREADIRQS: &str = "threadirqs";
        let by = if self.hello().version.contains("PREEMPT_RT") {
            "PREEMPT_RT"
        } else if kernel_parameters.iter().any(|word| word == THREADIRQS) {
            THREADIRQS
        } else {
            return Ok(None);
        };
        let (_, forced, _) = self.run(&["cat", FORCED_THREAD])?;
        Ok((forced.trim() == "Y").then_some(by))
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
