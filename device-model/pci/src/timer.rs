// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Timers of a device: one thread, started with the first timer, that calls
//! the device back at its time. It holds the device's lock meanwhile, so that
//! a callback and an access exclude each other, and a timer that was stopped
//! does not go off any more.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Name of a timer; the device chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub u32);

/// Whom timers call back.
pub(crate) trait CallBack: Send + Sync {
    /// Calls the device, under its lock, if the timer `is_due` then. `false` where the device
    /// panics or has panicked.
    fn timer(&self, timer: TimerId, is_due: &dyn Fn() -> bool) -> bool;
}

/// The timers of a device, in the host's time. Clones speak of the same
/// timers.
///
/// A device has them from [`PciDevice::attach`](crate::PciDevice::attach) on, and
/// may start some there: these belong to the state after power on, and a reset
/// starts them anew. A [detached bus](crate::Bus::detached) has none: what is
/// started there is lost, with a warning.
#[derive(Debug, Clone, Default)]
pub struct Timers {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Timers").field(&self.lock().running).finish()
    }
}

#[derive(Default)]
struct State {
    /// Whom to call.
    device: Option<Weak<dyn CallBack>>,
    running: BTreeMap<TimerId, Running>,
    /// The device is being attached.
    attaching: bool,
    /// What it has started meanwhile: after how long, and how often.
    at_power_on: BTreeMap<TimerId, (Duration, Option<Duration>)>,
    /// Number of the last start: tells one start of a timer from the next.
    starts: u64,
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    due: Instant,
    period: Option<Duration>,
    start: u64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Timers {
    /// Calls [`PciDevice::timer`](crate::PciDevice::timer) once, `after` from now. A timer of that name
    /// that runs already starts anew.
    pub fn start(&self, timer: TimerId, after: Duration) {
        self.run(timer, after, None);
    }

    /// Calls [`PciDevice::timer`](crate::PciDevice::timer) every `period` (1 us at least), first one
    /// period from now. What is missed is left out.
    pub fn start_periodic(&self, timer: TimerId, period: Duration) {
        let period = period.max(Duration::from_micros(1));
        self.run(timer, period, Some(period));
    }

    fn run(&self, timer: TimerId, after: Duration, period: Option<Duration>) {
        let mut state = self.shared.lock();
        if state.device.is_none() {
            tracing::warn!(
                "timer {} never goes off: it was started on a detached bus, not on the one that \
                 attach() hands out",
                timer.0
            );
            return;
        }
        if state.attaching {
            state.at_power_on.insert(timer, (after, period));
        }
        self.start_locked(&mut state, timer, after, period);
    }

    fn start_locked(
        &self,
        state: &mut State,
        timer: TimerId,
        after: Duration,
        period: Option<Duration>,
    ) {
        if state.closed {
            return;
        }
        // Longer than an Instant reaches: never.
        let Some(due) = Instant::now().checked_add(after) else {
            state.running.remove(&timer);
            return;
        };
        state.starts += 1;
        let start = state.starts;
        state.running.insert(timer, Running { due, period, start });
        if state.thread.is_none() {
            let shared = Arc::clone(&self.shared);
            let thread = thread::Builder::new().name("device-timer".into());
            match thread.spawn(move || shared.call_back()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => tracing::error!("no timer of the device goes off: {error}"),
            }
        }
        self.shared.changed.notify_all();
    }

    /// Stops a timer. Called by the device itself, it does not go off any
    /// more; called by another thread, it may be going off at this moment.
    pub fn stop(&self, timer: TimerId) {
        let mut state = self.shared.lock();
        state.running.remove(&timer);
        if state.attaching {
            state.at_power_on.remove(&timer);
        }
    }

    /// Stops all timers, as [`Timers::stop`].
    pub fn stop_all(&self) {
        let mut state = self.shared.lock();
        state.running.clear();
        if state.attaching {
            state.at_power_on.clear();
        }
    }

    /// Whether a timer is to go off.
    #[must_use]
    pub fn is_running(&self, timer: TimerId) -> bool {
        self.shared.lock().running.contains_key(&timer)
    }

    /// Whom to call from now on; what is started by `attach` runs after each power
    /// on.
    pub(crate) fn attach(&self, device: Weak<dyn CallBack>, attach: impl FnOnce()) {
        {
            let mut state = self.shared.lock();
            state.device = Some(device);
            state.attaching = true;
        }
        attach();
        self.shared.lock().attaching = false;
    }

    /// As after power on: those run that the device started when it was attached.
    pub(crate) fn power_on(&self) {
        let mut state = self.shared.lock();
        state.running.clear();
        for (timer, (after, period)) in state.at_power_on.clone() {
            self.start_locked(&mut state, timer, after, period);
        }
    }

    /// Ends the thread; when this returns, nobody is called any more. Not to
    /// be called with the device's lock held.
    pub(crate) fn close(&self) {
        let thread = {
            let mut state = self.shared.lock();
            state.closed = true;
            state.running.clear();
            state.thread.take()
        };
        self.shared.changed.notify_all();
        if let Some(thread) = thread {
            // It does not panic.
            let _ = thread.join();
        }
    }
}

impl Shared {
    /// The thread.
    fn call_back(&self) {
        let mut state = self.lock();
        while !state.closed {
            let first = state.running.iter().min_by_key(|(_, running)| running.due);
            let Some((&timer, &running)) = first else {
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = running.due.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                let waited = self.changed.wait_timeout(state, left);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                continue;
            }
            let Some(device) = state.device.as_ref().and_then(Weak::upgrade) else {
                return;
            };
            drop(state);
            // The device's lock comes first, as where the device starts a timer.
            let called = device.timer(timer, &|| self.is_due(timer, running.start));
            state = self.lock();
            if !called {
                state.running.clear();
            }
        }
    }

    /// Whether that start of a timer still counts; the next time is noted.
    fn is_due(&self, timer: TimerId, start: u64) -> bool {
        let mut state = self.lock();
        let still = state.running.get_mut(&timer);
        let Some(running) = still.filter(|running| running.start == start) else {
            return false;
        };
        match running
            .period
            .and_then(|period| running.due.checked_add(period))
        {
            Some(due) => running.due = due.max(Instant::now()),
            None => {
                state.running.remove(&timer);
            }
        }
        true
    }
}

#[cfg(test)]
#[path = "timer_tests.rs"]
mod tests;
