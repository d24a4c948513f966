// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What became of events under a fault, as device, driver and listener count it.

use device_model::{event::DeviceCounters, fault::FaultReport};
use irqbed_abi::{control::ListenerReport, counters::Counters};

/// Everything that is counted, at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Counted {
    pub device: DeviceCounters,
    pub driver: Counters,
    pub listener: ListenerReport,
    /// Records that nobody took.
    pub in_rings: u64,
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
        let device = self.device();
        device.ring_overflow
            + device.dma_errors
            + device.discarded
            + self.driver(|d| d.bad_record)
            + self.driver(|d| d.missing_record)
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

    /// Each event was delivered once, or lost under one name, and none is left.
    #[track_caller]
    pub fn assert_balanced(&self, what: &str) {
        let explained = self.delivered() + self.damaged() + self.lost();
        assert_eq!(self.device().raised, explained, "{what}: {self:#?}");
        assert_eq!(self.after.in_rings, 0, "{what}: {self:#?}");
    }
}
