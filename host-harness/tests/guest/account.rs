// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became of events, as device, driver and listener count it, whatever happened to
//! them.

use std::time::{Duration, Instant};

use device_model::{
    event::{DeviceCounters, EventSource, Vector},
    fault::FaultReport,
};
use irqbed_abi::{
    control::{Behaviour, ListenerReport, Mechanism},
    counters::Counters,
};

use crate::{load::under_load, mechanisms::roomy, support::Guest};

/// How long a listener may take to receive what was sent to it.
const RECEIVED: Duration = Duration::from_secs(30);

/// Everything that is counted, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    pub device: DeviceCounters,
    pub driver: Counters,
    pub listener: ListenerReport,
    /// Records that nobody took.
    pub in_rings: u64,
}

impl Counted {
    /// Counts when a listener has taken what the driver sent, which had sent `sent_before`
    /// before there was one, or has had its time.
    pub fn take(guest: &mut Guest, source: &EventSource, listener: u32, sent_before: u64) -> Self {
        let driver = guest.flush();
        let deadline = Instant::now() + RECEIVED;
        let listener = loop {
            let report = guest.session.report(listener).expect("a report");
            if report.received >= driver.sent - sent_before || Instant::now() > deadline {
                break report;
            }
        };
        Self {
            device: source.counters(),
            driver,
            listener,
            in_rings: Vector::all().map(|v| u64::from(source.in_flight(v))).sum(),
        }
    }
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

    /// Events that did not arrive for a reason that has a name.
    pub fn lost(&self) -> u64 {
        self.lost_to_all()
            + self.driver(|d| d.socket_full)
            + self.driver(|d| d.queue_full)
            + self.driver(|d| d.no_listener)
            + self.driver(|d| d.no_memory)
            + self.driver(|d| d.listener_gone)
    }

    /// Those of them that no listener could have received.
    fn lost_to_all(&self) -> u64 {
        let device = self.device();
        device.ring_overflow
            + device.dma_errors
            + device.discarded
            + self.driver(|d| d.bad_record)
            + self.driver(|d| d.missing_record)
    }

    /// Every event was delivered, none twice.
    #[track_caller]
    pub fn assert_all_delivered(&self, of: u32, what: &str) {
        assert_eq!(self.device().raised, u64::from(of), "{what}: {self:#?}");
        assert_eq!(self.delivered(), u64::from(of), "{what}: {self:#?}");
        assert_eq!((self.damaged(), self.lost()), (0, 0), "{what}: {self:#?}");
    }

    /// Each event was delivered once, or lost under one name, and none is left.
    #[track_caller]
    pub fn assert_balanced(&self, what: &str) {
        self.assert_explained(self.lost(), what);
    }

    /// The same of a listener that has others beside it, and had room for every event.
    #[track_caller]
    pub fn assert_balanced_beside_others(&self, what: &str) {
        self.assert_explained(self.lost_to_all(), what);
    }

    #[track_caller]
    fn assert_explained(&self, lost: u64, what: &str) {
        let explained = self.delivered() + self.damaged() + lost;
        assert_eq!(self.device().raised, explained, "{what}: {self:#?}");
        assert_eq!(self.after.in_rings, 0, "{what}: {self:#?}");
    }
}

/// Does something with the guest while events are on their way to a listener of a mechanism, on
/// `vectors` rings: what became of those that were raised before, meanwhile and after.
#[track_caller]
pub fn over(
    guest: &mut Guest,
    mechanism: Mechanism,
    vectors: u32,
    work: impl FnOnce(&mut Guest),
) -> Outcome {
    let listener = guest.session.listen(roomy(mechanism, Behaviour::Measure));
    let listener = listener.expect("a listener");
    let source = guest.session.source().clone();
    let sent_before = guest.flush().sent;
    let before = Counted::take(guest, &source, listener, sent_before);
    under_load(guest, vectors, work);
    let outcome = Outcome {
        before,
        after: Counted::take(guest, &source, listener, sent_before),
        faults: Vec::new(),
    };
    let report = guest.session.end_listener(listener, false);
    report.expect("a report");
    assert!(outcome.device().raised > 0, "{outcome:#?}");
    assert_eq!(outcome.damaged(), 0, "{outcome:#?}");
    outcome
}
