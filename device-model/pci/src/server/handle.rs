// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The end of a server, and those who wait for it.

use std::{
    process::ExitCode,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{ServerEnd, Stopper};
use crate::{hook::Hooks, recorder::Recorder, spec::DeviceSpec};

/// How long a dropped [`ServerHandle`] waits for its thread.
const DROP_BOUND: Duration = Duration::from_secs(2);

/// The end of a server, once there is one.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    end: Mutex<Option<ServerEnd>>,
    ended: Condvar,
}

impl Outcome {
    fn lock(&self) -> MutexGuard<'_, Option<ServerEnd>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set(&self, end: ServerEnd) {
        *self.lock() = Some(end);
        self.ended.notify_all();
    }

    /// The end, if it comes within `timeout`; `None` waits for ever.
    pub fn wait(&self, timeout: Option<Duration>) -> Option<ServerEnd> {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut end = self.lock();
        while end.is_none() {
            end = match until {
                None => self.ended.wait(end).unwrap_or_else(PoisonError::into_inner),
                Some(until) => {
                    let left = until.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return None;
                    }
                    let waited = self.ended.wait_timeout(end, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        end.clone()
    }
}

/// A device that is being served. Dropping it stops the server and waits at
/// most two seconds for its thread.
#[derive(Debug)]
pub struct ServerHandle {
    pub(super) outcome: Arc<Outcome>,
    pub(super) stopper: Stopper,
    pub(super) spec: DeviceSpec,
    pub(super) hooks: Hooks,
    pub(super) recorder: Recorder,
    pub(super) thread: Option<JoinHandle<()>>,
}

impl ServerHandle {
    /// Why the server has ended; `None` while it runs.
    #[must_use]
    pub fn ended(&self) -> Option<ServerEnd> {
        self.outcome.lock().clone()
    }

    /// Waits for the end, at most `timeout`.
    #[must_use]
    pub fn wait(&self, timeout: Duration) -> Option<ServerEnd> {
        self.outcome.wait(Some(timeout))
    }

    /// Waits for the end, however long it takes.
    #[must_use]
    pub fn join(mut self) -> Option<ServerEnd> {
        let end = self.outcome.wait(None);
        self.join_thread();
        end
    }

    /// Waits for the end, however long it takes, and gives the status with which a
    /// program that serves this device ends: see [`ServerEnd::exit_code`].
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        self.join().map_or(ExitCode::SUCCESS, |end| end.exit_code())
    }

    /// Closes the connection and waits for the end, at most `timeout`.
    pub fn stop(&self, timeout: Duration) -> Option<ServerEnd> {
        self.stopper.stop(timeout)
    }

    /// A handle that can stop the server from another thread.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// How the device presents itself.
    #[must_use]
    pub const fn spec(&self) -> &DeviceSpec {
        &self.spec
    }

    /// Where somebody may step in between the device and its bus.
    #[must_use]
    pub const fn hooks(&self) -> &Hooks {
        &self.hooks
    }

    /// The last accesses to the device's registers, and what it was warned of.
    #[must_use]
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    fn join_thread(&mut self) {
        if let Some(thread) = self.thread.take() {
            // It cannot end in a panic: `run` catches them.
            let _ = thread.join();
        }
    }
}

impl Drop for ServerHandle {
    fn drop(&mut self) {
        // A thread that does not end in time is stuck in its device: leave it.
        if self.stop(DROP_BOUND).is_some() {
            self.join_thread();
        }
    }
}
