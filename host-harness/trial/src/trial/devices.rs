// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The devices of a trial: those that this process serves, the processes that serve others,
//! and which of them ended, and why.

use std::{
    os::unix::process::ExitStatusExt,
    time::{Duration, Instant},
};

use super::DeviceFault;
use crate::scenario::Scenario;
use device_model::{Recorder, ServerEnd, ServerHandle, control::Target};
use irqbed_machine::{
    builtin::Builtin,
    device_process::{DeviceEnd, DeviceProcess},
    qemu::DeviceSocket,
    served::FaultControl,
    session::{Guest, SessionError, ends_over_a_device},
};

/// How long a device model, or QEMU, may take from its last word to the other to its end.
const END_LIMIT: Duration = Duration::from_secs(2);
/// How long a device model that somebody else wrote may take to end after its guest. Some
/// wait for another guest.
const OTHERS_LIMIT: Duration = Duration::from_millis(500);
/// Between two looks.
const SLICE: Duration = Duration::from_millis(10);

/// The devices that are there from the start of a trial.
#[derive(Debug, Default)]
pub(super) struct Devices {
    servers: Vec<(Builtin, ServerHandle)>,
    /// By what those that can have faults are given them, and their names.
    faults: Vec<(String, FaultControl)>,
    processes: Vec<DeviceProcess>,
    target: Option<Target>,
}

impl Devices {
    /// Serves the devices of a scenario, or starts those who do. Returns the socket of each.
    pub(super) fn serve(
        scenario: &Scenario,
        options: device_model::Options,
    ) -> Result<(Self, Vec<DeviceSocket>), SessionError> {
        let mut devices = Self::default();
        let (mut sockets, mut targets) = (Vec::new(), Vec::new());
        for device in &scenario.description.devices {
            let served = device.serve(options)?;
            targets.extend(served.target());
            let faults = served.faults();
            devices
                .faults
                .extend(faults.map(|faults| (device.device.name(), faults)));
            devices.servers.extend(device.builtin().zip(served.server));
            devices.processes.extend(served.process);
            sockets.push(DeviceSocket {
                handle: served.handle,
                address: device.address,
            });
        }
        // Of several that are equal it is the first.
        let rank = |target: &Target| matches!(target, Target::Other(_));
        devices.target = targets.into_iter().min_by_key(rank);
        Ok((devices, sockets))
    }

    /// What a control socket asks: the event device, else the first one of ours.
    pub(super) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// The faults that are armed, and what each did.
    pub(super) fn faults(&self) -> Vec<DeviceFault> {
        let each = self.faults.iter();
        each.flat_map(|(name, faults)| DeviceFault::all(name, None, faults.list()))
            .collect()
    }

    /// What happened at each, by its name.
    pub(super) fn recorders(&self) -> Vec<(String, Recorder)> {
        let servers = self.servers.iter();
        let named = servers.map(|(device, server)| {
            let name = device.as_str().to_owned();
            (name, server.recorder().clone())
        });
        named.collect()
    }
}

/// Which ended, and why.
impl Devices {
    /// `Err` once a device has ended and QEMU has not: QEMU's own end takes each device with
    /// it, and is told by who looks at QEMU.
    pub(super) fn check(&mut self, guest: &mut Guest) -> Result<(), SessionError> {
        let Some(mut why) = self.failed().or_else(|| guest.misses_a_device()) else {
            return Ok(());
        };
        // Whichever went first, the other is seen to go a moment later.
        let deadline = Instant::now() + END_LIMIT;
        loop {
            if guest.has_ended_by_itself()? {
                return Ok(());
            }
            let failed = self.failed();
            let is_known = failed.is_some() || self.processes.is_empty();
            why = failed.unwrap_or(why);
            if (is_known && guest.misses_a_device().is_some()) || Instant::now() >= deadline {
                return Err(SessionError::Device(why));
            }
            std::thread::sleep(SLICE);
        }
    }

    /// Why a guest did not boot: QEMU does not start with a device model that has ended, and
    /// those that it was connected to end with it.
    pub(super) fn cause(&mut self, error: SessionError) -> SessionError {
        let limit = match &error {
            SessionError::Interrupted(_) => return error,
            SessionError::BootEnded {
                messages, status, ..
            } if !ends_over_a_device(messages) => {
                // QEMU may abort over a device model that is gone, with other last words. One
                // that has only lost its client ends well.
                if status.signal() != Some(libc::SIGABRT) || self.processes.is_empty() {
                    return error;
                }
                let failed = wait_until(Instant::now() + END_LIMIT, || self.failed_process());
                return failed.map_or(error, SessionError::Device);
            }
            SessionError::BootEnded { .. } | SessionError::Device(_)
                if !self.processes.is_empty() =>
            {
                END_LIMIT
            }
            _ => Duration::ZERO,
        };
        let failed = wait_until(Instant::now() + limit, || self.failed());
        failed.map_or(error, SessionError::Device)
    }

    /// `Err` where a device did not survive the end of the guest.
    pub(super) fn check_after_end(&mut self) -> Result<(), SessionError> {
        for (device, server) in &self.servers {
            if let Some(end @ ServerEnd::Panicked(_)) = server.wait(END_LIMIT) {
                return Err(SessionError::Device(in_words(*device, end)));
            }
        }
        let deadline = Instant::now() + OTHERS_LIMIT;
        for process in &mut self.processes {
            let end = wait_until(deadline, || process.ended());
            if let Some(end) = end.filter(DeviceEnd::is_panic) {
                return Err(SessionError::Device(end.to_string()));
            }
        }
        Ok(())
    }

    /// The first process that has ended otherwise than with its client.
    fn failed_process(&mut self) -> Option<String> {
        let mut ends = self.processes.iter_mut().filter_map(DeviceProcess::ended);
        Some(ends.find(DeviceEnd::is_failure)?.to_string())
    }

    /// The first that has ended otherwise than with its client, or whose process has ended.
    fn failed(&mut self) -> Option<String> {
        let is_failure =
            |end: &ServerEnd| matches!(end, ServerEnd::Panicked(_) | ServerEnd::Failed(_));
        let ended = |(device, server): &(Builtin, ServerHandle)| {
            let end = server.ended().filter(is_failure)?;
            Some(in_words(*device, end))
        };
        let process = |process: &mut DeviceProcess| Some(process.ended()?.to_string());
        let server = self.servers.iter().find_map(ended);
        server.or_else(|| self.processes.iter_mut().find_map(process))
    }
}

/// What `look` finds, as soon as it finds something; `None` where it has not by then.
fn wait_until<T>(deadline: Instant, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    loop {
        let found = look();
        if found.is_some() || Instant::now() >= deadline {
            return found;
        }
        std::thread::sleep(SLICE);
    }
}

/// How a device of ours ended, with its name.
fn in_words(device: Builtin, end: ServerEnd) -> String {
    let name = device.as_str();
    match end {
        ServerEnd::Panicked(panic) => format!("{name}: {panic}"),
        ServerEnd::Failed(why) => format!("{name}: {why}"),
        ServerEnd::ClientLeft | ServerEnd::Stopped => format!("{name} ended"),
    }
}
