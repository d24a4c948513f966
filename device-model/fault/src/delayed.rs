// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What happens later: one thread, started with the first such thing, that
//! sleeps until its time.

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{FaultId, Faults, kind::FaultKind};
use irqbed_pci::{
    dma::{GuestAddr, Ticket},
    irq::IrqKind,
};

/// Most things under way; what is late beyond that never comes.
const MAX_UNDER_WAY: usize = 65_536;

/// What happens at its time.
#[derive(Debug, Clone)]
pub(super) enum Action {
    /// An interrupt; a line is asserted by it only if it is `late`.
    Interrupt {
        kind: IrqKind,
        vector: u32,
        late: bool,
    },
    /// A write to the guest's memory.
    Write {
        ticket: Ticket,
        addr: GuestAddr,
        data: Vec<u8>,
    },
    /// The next interrupt of a fault without an event.
    Spurious {
        id: FaultId,
        vector: u32,
        period: Duration,
    },
    /// The next interrupt of a storm.
    Storm {
        id: FaultId,
        kind: IrqKind,
        vector: u32,
        left: u32,
        period: Duration,
    },
    /// Something with the whole function; the fault is asked if it has a number.
    Whole {
        id: Option<FaultId>,
        kind: FaultKind,
    },
}

impl Action {
    /// Whether it belongs to the device, and is not there when that is reset.
    const fn is_late(&self) -> bool {
        matches!(self, Self::Interrupt { .. } | Self::Write { .. })
    }
}

#[derive(Default)]
pub(super) struct Delayed {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By their time; the number keeps what comes at one time in order.
    actions: BTreeMap<(Instant, u64), Action>,
    last: u64,
    thread: Option<JoinHandle<()>>,
    closed: bool,
}

impl Delayed {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes all that `are` meant, in order.
    pub fn take(&self, are: impl Fn(&Action) -> bool) -> Vec<Action> {
        let mut state = self.lock();
        let all = std::mem::take(&mut state.actions);
        let (taken, kept) = all.into_iter().partition(|(_, action)| are(action));
        state.actions = kept;
        let taken: BTreeMap<_, _> = taken;
        taken.into_values().collect()
    }

    /// What belongs to the device.
    pub fn take_late(&self) -> Vec<Action> {
        self.take(Action::is_late)
    }

    /// Ends the thread; when this returns, nothing happens any more.
    pub fn close(&self) {
        let thread = {
            let mut state = self.lock();
            state.closed = true;
            state.actions.clear();
            state.thread.take()
        };
        self.changed.notify_all();
        if let Some(thread) = thread {
            // It does not panic.
            let _ = thread.join();
        }
    }

    fn next(&self) -> Option<(Instant, Action)> {
        let mut state = self.lock();
        while !state.closed {
            let first = state.actions.first_entry();
            let left = first.map(|first| first.key().0.saturating_duration_since(Instant::now()));
            state = match left {
                None => {
                    let waited = self.changed.wait(state);
                    waited.unwrap_or_else(PoisonError::into_inner)
                }
                Some(Duration::ZERO) => {
                    return state
                        .actions
                        .pop_first()
                        .map(|((due, _), action)| (due, action));
                }
                Some(left) => {
                    let waited = self.changed.wait_timeout(state, left);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        None
    }
}

impl Faults {
    /// Lets something happen at its time.
    pub(super) fn later(&self, due: Instant, action: Action) {
        let later = &self.inner.later;
        let mut state = later.lock();
        if state.closed || state.actions.len() >= MAX_UNDER_WAY {
            return;
        }
        state.last += 1;
        let number = state.last;
        if action.is_late() {
            self.function().set_late(true);
        }
        state.actions.insert((due, number), action);
        if state.thread.is_none() {
            // The thread goes when the function does: see `close`.
            let faults = self.clone();
            let thread = thread::Builder::new().name("device-faults".into());
            match thread.spawn(move || faults.run()) {
                Ok(thread) => state.thread = Some(thread),
                Err(error) => tracing::error!("no fault happens that has a time: {error}"),
            }
        }
        later.changed.notify_all();
    }

    /// The thread.
    fn run(&self) {
        // Sleeps end when they should, not up to 50 us later.
        if let Err(error) = rustix::thread::set_current_timer_slack(NonZeroU64::new(1)) {
            tracing::debug!("timer slack stays as it is: {error}");
        }
        while let Some((due, action)) = self.inner.later.next() {
            self.guarded("the thread of its faults", || self.carry_out(due, action));
        }
    }

    /// The function is no more.
    pub(super) fn close(&self) {
        self.inner.later.close();
    }
}
