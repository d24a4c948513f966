// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A guest whose device has faults, and what is counted of it on both sides.

use std::{
    thread,
    time::{Duration, Instant},
};

use device_model::{
    event::{DeviceCounters, Payload, RaiseError, Vector},
    fault::FaultReport,
};
use irqbed_abi::{
    control::{Behaviour, ListenerReport, ListenerSpec, Mechanism},
    counters::Counters,
};

use crate::support::Guest;

/// Between two events: about 1000 a second.
const GAP: Duration = Duration::from_millis(1);
/// How long the driver may take to set a device up anew.
const ANEW: Duration = Duration::from_secs(30);
/// Events under a fault, and after it.
pub const UNDER: u32 = 200;
const AFTER: u32 = 200;
/// Of a message that is limited in its rate the kernel says how often it was not
/// said, with a function's name.
const LIMITED: [&str; 2] = ["irqbed_", "callbacks suppressed"];

/// Everything that is counted, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    pub device: DeviceCounters,
    pub driver: Counters,
    pub listener: ListenerReport,
}

/// What was counted between two moments.
#[derive(Debug)]
pub struct Outcome {
    pub before: Counted,
    pub after: Counted,
    pub faults: Vec<FaultReport>,
}

impl Outcome {
    pub fn device(&self) -> DeviceCounters {
        self.after.device.since(&self.before.device)
    }

    pub fn driver(&self, count: fn(&Counters) -> u64) -> u64 {
        count(&self.after.driver) - count(&self.before.driver)
    }

    pub fn listener(&self, count: fn(&ListenerReport) -> u64) -> u64 {
        count(&self.after.listener) - count(&self.before.listener)
    }

    pub fn hits(&self) -> u64 {
        self.faults.iter().map(|report| report.hits).sum()
    }

    /// Events that arrived intact and in order.
    pub fn delivered(&self) -> u64 {
        self.listener(|l| l.received) - self.damaged()
    }

    /// Events that arrived, and the listener saw what was wrong.
    pub fn damaged(&self) -> u64 {
        self.listener(|l| l.bad_payload) + self.listener(|l| l.out_of_order)
    }

    /// Events that did not arrive for a reason that has a name. What a reset
    /// discards may have been on its way, and arrive all the same.
    pub fn lost(&self) -> u64 {
        let device = self.device();
        device.ring_overflow
            + device.dma_errors
            + device.discarded
            + self.driver(|d| d.bad_record)
            + self.driver(|d| d.socket_full)
            + self.driver(|d| d.queue_full)
            + self.driver(|d| d.no_listener)
            + self.driver(|d| d.no_memory)
            + self.driver(|d| d.listener_gone)
    }

    /// Every event was delivered, none twice.
    #[track_caller]
    pub fn assert_all_delivered(&self, of: u32, what: &str) {
        assert_eq!(self.device().raised, u64::from(of), "{what}: {self:#?}");
        assert_eq!(self.delivered(), u64::from(of), "{what}: {self:#?}");
        assert_eq!((self.damaged(), self.lost()), (0, 0), "{what}: {self:#?}");
    }

    /// Nothing is lost without a name. More may come out than went in: a record
    /// that looked complete once more is one that the listener has out of order.
    #[track_caller]
    pub fn assert_balanced(&self, what: &str) {
        let raised = self.device().raised;
        let explained = self.delivered() + self.damaged() + self.lost();
        assert!(raised <= explained, "{what}: {self:#?}");
        let twice = self.listener(|l| l.out_of_order) + self.device().discarded;
        assert!(explained - raised <= twice, "{what}: {self:#?}");
    }
}

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
        let driver = self.guest.flush();
        let session = &mut self.guest.session;
        let deadline = Instant::now() + ANEW;
        let listener = loop {
            let report = session.report(self.listener).expect("a report");
            if report.received >= driver.sent - self.sent_before || Instant::now() > deadline {
                break report;
            }
        };
        let device = session.source().counters();
        Counted {
            device,
            driver,
            listener,
        }
    }

    /// Raises events, `burst` at a time, on vector 0, until one is refused.
    pub fn raise(&self, events: u32, burst: u32) -> Result<(), RaiseError> {
        let source = self.guest.session.source();
        for _ in 0..events / burst {
            source.raise_burst(Vector::default(), Payload::Pattern(16), burst)?;
            thread::sleep(GAP * burst);
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
