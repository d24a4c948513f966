// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest whose device has faults.

use std::{thread, time::Duration};

use device_model::{
    event::{Payload, RaiseError, Vector},
    fault::FaultReport,
};
use irqbed_abi::control::{Behaviour, ListenerSpec, Mechanism};

use crate::{
    account::{Counted, Outcome},
    load::wait_until_taken,
    support::Guest,
};

/// Between two events: about 1000 a second.
const GAP: Duration = Duration::from_millis(1);
/// How long a slow guest is waited for in all, so that it takes the events one by one. Where
/// it takes them all at once, a fault of what it does for an interrupt has one opportunity.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the driver may take to set a device up anew.
const ANEW: Duration = Duration::from_secs(30);
/// Events under a fault, and after it.
pub const UNDER: u32 = 200;
const AFTER: u32 = 200;
/// Of a message that is limited in its rate the kernel says how often it was not
/// said, with a function's name.
const LIMITED: [&str; 2] = ["irqbed_", "callbacks suppressed"];

/// A guest with driver and listener.
pub struct Trial {
    pub guest: Guest,
    pub listener: u32,
    /// What the driver had sent to listeners before this one.
    sent_before: u64,
    /// Lines of the kernel's log that were seen.
    complaints: usize,
}

impl Trial {
    pub fn boot() -> Self {
        let guest = Guest::boot();
        Self::with(guest, Mechanism::Netlink)
    }

    pub fn with(mut guest: Guest, mechanism: Mechanism) -> Self {
        let spec = ListenerSpec {
            receive_buffer: Some(4 << 20),
            ..ListenerSpec::new(mechanism, Behaviour::Measure)
        };
        let listener = guest.session.listen(spec).expect("a listener");
        let complaints = guest.complaints().len();
        let sent_before = guest.flush().sent;
        Self {
            guest,
            listener,
            sent_before,
            complaints,
        }
    }

    /// Loads the driver anew, with other parameters.
    pub fn reload(self, parameters: &[(&str, &str)], mechanism: Mechanism) -> Self {
        let Self {
            mut guest,
            listener,
            ..
        } = self;
        let session = &mut guest.session;
        session.end_listener(listener, false).expect("a report");
        session.unload_module().expect("the driver unloads");
        let parameters = parameters
            .iter()
            .map(|(name, value)| (*name, value.to_string()));
        session.load_module(parameters).expect("the driver loads");
        Self::with(guest, mechanism)
    }

    pub fn arm(&self, text: &str) {
        let fault = text.parse().unwrap_or_else(|error| panic!("{error}"));
        let armed = self.guest.session.source().faults().arm(fault);
        armed.unwrap_or_else(|error| panic!("{text}: {error}"));
    }

    pub fn clear(&self) -> Vec<FaultReport> {
        self.guest.session.source().faults().clear()
    }

    /// Counts when the listener has taken what the driver sent, or has had its
    /// time.
    pub fn counted(&mut self) -> Counted {
        let source = self.guest.session.source().clone();
        Counted::take(&mut self.guest, &source, self.listener, self.sent_before)
    }

    /// Raises events, `burst` at a time, on vector 0, until one is refused.
    pub fn raise(&self, events: u32, burst: u32) -> Result<(), RaiseError> {
        let source = self.guest.session.source();
        let mut patience = PATIENCE;
        for _ in 0..events / burst {
            source.raise_burst(Vector::default(), Payload::Pattern(16), burst)?;
            thread::sleep(GAP * burst);
            patience = patience.saturating_sub(wait_until_taken(source, 1, patience));
        }
        Ok(())
    }

    /// Raises events while a fault is armed.
    pub fn under(&mut self, fault: &str) -> Outcome {
        let before = self.counted();
        self.arm(fault);
        self.raise(UNDER, 1)
            .unwrap_or_else(|error| panic!("{fault}: {error}"));
        let faults = self.clear();
        let after = self.counted();
        Outcome {
            before,
            after,
            faults,
        }
    }

    /// Raises events with no fault: all are delivered.
    #[track_caller]
    pub fn assert_as_before(&mut self, what: &str) {
        let before = self.counted();
        self.raise(AFTER, 1)
            .unwrap_or_else(|error| panic!("after {what}: {error}"));
        let outcome = Outcome {
            before,
            after: self.counted(),
            faults: Vec::new(),
        };
        outcome.assert_all_delivered(AFTER, &format!("after {what}"));
    }

    /// The kernel said nothing new but `expected`, and each of those at most
    /// `most` times.
    #[track_caller]
    pub fn assert_said(&mut self, expected: &[&str], most: usize, what: &str) {
        let all = self.guest.complaints();
        let new = all.get(self.complaints..).unwrap_or_default();
        let other = |line: &&String| {
            !expected.iter().any(|text| line.contains(text))
                && !LIMITED.iter().all(|text| line.contains(text))
        };
        let others: Vec<_> = new.iter().filter(other).collect();
        assert!(others.is_empty(), "{what}: {others:#?}");
        for text in expected {
            let count = new.iter().filter(|line| line.contains(text)).count();
            assert!(count <= most, "{what}: {new:#?}");
        }
        self.complaints = all.len();
    }

    /// Waits until the driver has set the device up anew.
    #[track_caller]
    pub fn assert_ready(&self, what: &str) {
        assert!(self.guest.session.source().wait_ready(ANEW), "{what}");
    }
}
