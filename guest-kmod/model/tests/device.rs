// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The driver's ring algorithm against a device whose interrupts and writes go
//! wrong in every way, step by step. Whatever happens: each event is delivered
//! once or lost under one name, a good event that follows is delivered, and the
//! watchdog comes to rest.

use std::collections::{HashMap, HashSet};

use irqbed_abi::ring::{EventRecord, ready_word};
use irqbed_ring_model::{Functions, MUTATIONS, REAL, Ring, State, Taken};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};
use zerocopy::IntoBytes;

const SLOTS: u32 = 1000;
const PATIENCE: u64 = 20;
const RECORD: u32 = 32;
/// Polls after which a watchdog must be at rest that is left alone.
const REST: u32 = 12;

/// What becomes of a write.
#[derive(Debug, Clone)]
enum Fault {
    None,
    Lost,
    /// So many bytes of it arrive, and the rest as many steps later; 0 for never.
    Torn(u32, u32),
    /// So many steps later.
    Late(u32),
    /// So many bytes on, around the end of the records.
    Misplaced(i32),
    /// With these bits flipped.
    Corrupted(Vec<u32>),
}

/// What becomes of an interrupt.
#[derive(Debug, Clone, Copy)]
enum Interrupt {
    Sent,
    Lost,
    Twice,
    Late(u32),
}

/// What happens between the two writes of a record.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Drain,
    Poll,
}

#[derive(Debug, Clone)]
struct Event {
    body: Fault,
    between: Between,
    ready: Fault,
}

#[derive(Debug, Clone)]
enum Step {
    /// Events, and one interrupt behind the last.
    Raise(Vec<Event>, Interrupt),
    /// An interrupt with nothing behind it.
    Spurious,
    /// A poll of the watchdog, so long after what was before.
    Poll(u64),
    /// A flush: polls until no ring is behind.
    Flush,
    /// The device is reset, and the driver sets it up anew.
    Reset,
}

/// The device's end of the ring.
struct Device {
    produced: u32,
    consumed: u32,
    stopped: bool,
    /// In the middle of an event.
    busy: bool,
    /// Writes that are late, by the step they arrive at.
    late: Vec<(u32, u32, Vec<u8>)>,
    interrupts: Vec<u32>,
    raised: u64,
    overflow: u64,
    discarded: u64,
}

/// Both ends, and what they counted.
struct World {
    ring: Ring,
    device: Device,
    entries: u32,
    step: u32,
    now: u64,
    delivered: u64,
    bad: u64,
    /// The event of each record, and the records that a fault may have damaged.
    events: HashMap<u32, u64>,
    damaged: HashSet<u32>,
    seen: HashSet<u32>,
    last: Option<Taken>,
    /// A ring is to be armed anew.
    restart: bool,
}

impl World {
    fn new(functions: Functions, entries: u32) -> Self {
        let mut world = Self {
            ring: Ring::new(functions, entries, SLOTS),
            device: Device {
                produced: 0,
                consumed: 0,
                stopped: true,
                busy: false,
                late: Vec::new(),
                interrupts: Vec::new(),
                raised: 0,
                overflow: 0,
                discarded: 0,
            },
            entries,
            step: 0,
            now: 0,
            delivered: 0,
            bad: 0,
            events: HashMap::new(),
            damaged: HashSet::new(),
            seen: HashSet::new(),
            last: None,
            restart: false,
        };
        world.arm();
        world
    }

    fn in_flight(&self) -> u32 {
        let in_flight = self.device.produced.wrapping_sub(self.device.consumed);
        let newly = self.ring.shared().wrapping_sub(self.device.consumed);
        in_flight.checked_sub(newly).unwrap_or(in_flight)
    }

    /// As the register RING_ARM is written with 1.
    fn arm(&mut self) {
        self.device.discarded += u64::from(self.in_flight());
        let first = self.ring.rearm();
        self.device.produced = first;
        self.device.consumed = first;
        self.device.stopped = false;
        self.ring.set_shared(first);
    }

    /// With 0: what is late never comes.
    fn stop(&mut self) {
        self.device.stopped = true;
        self.device.late.clear();
    }

    /// A write that is not where its record is, or not as it was.
    fn damages(&mut self, offset: u32, len: u32) {
        for index in offset / RECORD..=(offset + len - 1) / RECORD {
            let produced = self.device.produced;
            for lap in 0..3 {
                let last = produced.wrapping_add(self.entries * lap);
                let back = last.wrapping_sub(index) % self.entries;
                self.damaged.insert(last.wrapping_sub(back));
            }
        }
    }

    fn write(&mut self, number: u32, offset: u32, data: &[u8], fault: &Fault) {
        match fault {
            Fault::None => self.ring.write(offset, data),
            Fault::Lost => {}
            Fault::Torn(bytes, rest) => {
                let bytes = (*bytes as usize).min(data.len());
                self.ring.write(offset, &data[..bytes]);
                if *rest > 0 {
                    let due = self.step + rest;
                    let offset = offset + bytes as u32;
                    self.device.late.push((due, offset, data[bytes..].to_vec()));
                }
            }
            Fault::Late(steps) => {
                self.device
                    .late
                    .push((self.step + steps, offset, data.to_vec()));
            }
            Fault::Misplaced(bytes) => {
                let size = self.ring.size() as i64;
                let offset = (i64::from(offset) + i64::from(*bytes)).rem_euclid(size) as u32;
                self.damages(offset, data.len() as u32);
                self.ring.write(offset, data);
            }
            Fault::Corrupted(bits) => {
                let mut data = data.to_vec();
                for bit in bits {
                    let at = *bit as usize % (8 * data.len());
                    data[at / 8] ^= 1 << (at % 8);
                }
                self.damaged.insert(number);
                self.ring.write(offset, &data);
            }
        }
    }

    fn raise(&mut self, event: &Event) -> bool {
        self.device.raised += 1;
        let newly = self.ring.shared().wrapping_sub(self.device.consumed);
        if newly <= self.device.produced.wrapping_sub(self.device.consumed) {
            self.device.consumed = self.ring.shared();
        }
        let in_flight = self.device.produced.wrapping_sub(self.device.consumed);
        if self.device.stopped || in_flight >= self.entries {
            self.device.overflow += 1;
            return false;
        }
        self.device.busy = true;
        let number = self.device.produced;
        let seq = self.device.raised;
        let record = EventRecord {
            seq,
            payload_offset: 64 * (number % 64),
            payload_len: number % 65,
            slot: number % SLOTS,
            flags: 1,
            number,
            ready: number,
        };
        self.events.insert(number, seq);
        let offset = (number & (self.entries - 1)) * RECORD;
        self.write(number, offset, record.as_bytes(), &event.body);
        match event.between {
            Between::Nothing => {}
            Between::Drain => self.drain(),
            Between::Poll => {
                self.poll(false);
            }
        }
        let ready = ready_word(number).to_le_bytes();
        self.write(number, offset + 28, &ready, &event.ready);
        self.device.produced = number.wrapping_add(1);
        self.device.busy = false;
        if std::mem::take(&mut self.restart) {
            self.restart();
        }
        true
    }

    fn drain(&mut self) {
        self.ring.drain();
        self.count();
    }

    /// Counts what was taken, and looks whether it is what was raised.
    fn count(&mut self) {
        for taken in self.ring.taken() {
            self.last = Some(taken);
            if taken.valid == 1 {
                self.delivered += 1;
            } else {
                self.bad += 1;
            }
            assert!(self.seen.insert(taken.number), "twice: {taken:?}");
            if !self.damaged.contains(&taken.number) {
                assert_eq!(self.events.get(&taken.number), Some(&taken.seq));
                assert_eq!(taken.valid, 1);
            }
        }
    }

    /// `irqbed_poll_ring()` of irqbed_watchdog.c.
    fn poll(&mut self, sync: bool) -> bool {
        let pending = self.in_flight() > 0;
        match self.ring.poll(pending, self.now, PATIENCE) {
            State::Idle => false,
            State::Moving => sync,
            State::Waiting => true,
            State::Unannounced => {
                self.drain();
                true
            }
            // The register is written when the device is done with the event.
            State::Hole if self.device.busy => {
                self.restart = true;
                false
            }
            State::Hole => {
                self.restart();
                false
            }
        }
    }

    /// `irqbed_restart_ring()`.
    fn restart(&mut self) {
        let behind = self.device.produced.wrapping_sub(self.ring.next());
        if behind as i32 > 0 {
            self.stop();
            self.ring.salvage(self.device.produced);
            self.count();
            self.arm();
        }
    }

    /// What is due arrives.
    fn arrive(&mut self) {
        self.step += 1;
        let late = std::mem::take(&mut self.device.late);
        let (due, later): (Vec<_>, _) = late.into_iter().partition(|late| late.0 <= self.step);
        self.device.late = later;
        for (_, offset, data) in due {
            self.ring.write(offset, &data);
        }
        let interrupts = std::mem::take(&mut self.device.interrupts);
        let (due, later): (Vec<_>, Vec<_>) =
            interrupts.into_iter().partition(|at| *at <= self.step);
        self.device.interrupts = later;
        for _ in due {
            self.drain();
        }
    }

    fn take(&mut self, step: &Step) {
        self.arrive();
        match step {
            Step::Raise(events, interrupt) => {
                let mut published = false;
                for event in events {
                    published |= self.raise(event);
                }
                match interrupt {
                    _ if !published => {}
                    Interrupt::Sent => self.drain(),
                    Interrupt::Lost => {}
                    Interrupt::Twice => {
                        self.drain();
                        self.drain();
                    }
                    Interrupt::Late(steps) => self.device.interrupts.push(self.step + steps),
                }
            }
            Step::Spurious => self.drain(),
            Step::Poll(after) => {
                self.now += after;
                self.poll(false);
            }
            Step::Flush => {
                for _ in 0..6 {
                    if !self.poll(true) {
                        break;
                    }
                    self.now += PATIENCE;
                }
            }
            Step::Reset => {
                // What is late does not come any more; what the driver finds
                // complete it takes, the rest is discarded.
                self.device.late.clear();
                self.ring.salvage(self.ring.end());
                self.count();
                self.arm();
            }
        }
        self.check();
    }

    /// Every event is in one place.
    fn check(&self) {
        let lost = self.bad + self.ring.missing() + self.device.overflow + self.device.discarded;
        let explained = self.delivered + lost + u64::from(self.in_flight());
        assert_eq!(self.device.raised, explained, "raised, and explained");
    }

    /// With no fault any more.
    fn calm(&mut self) {
        self.step += 1000;
        self.arrive();
        let mut polls = 0;
        while self.poll(true) {
            self.now += PATIENCE;
            polls += 1;
            assert!(polls < REST, "the watchdog does not come to rest");
        }
        self.check();
        assert_eq!(self.in_flight(), 0, "records that nobody takes");
        let (delivered, others) = (self.delivered, self.bad + self.ring.missing());
        let events = u64::from(3 * self.entries);
        for _ in 0..events {
            self.take(&Step::Raise(vec![GOOD], Interrupt::Sent));
            assert_eq!(self.last.map(|last| last.seq), Some(self.device.raised));
        }
        assert_eq!(self.delivered, delivered + events);
        assert_eq!(self.bad + self.ring.missing(), others);
        assert!(!self.poll(true));
    }
}

const GOOD: Event = Event {
    body: Fault::None,
    between: Between::Nothing,
    ready: Fault::None,
};

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        6 => Just(Fault::None),
        1 => Just(Fault::Lost),
        1 => (0..32u32, 0..6u32).prop_map(|(bytes, rest)| Fault::Torn(bytes, rest)),
        1 => (1..20u32).prop_map(Fault::Late),
        1 => prop_oneof![-70..70i32, (-4..4i32).prop_map(|records| 32 * records)]
            .prop_map(Fault::Misplaced),
        1 => vec(any::<u32>(), 1..9).prop_map(Fault::Corrupted),
    ]
}

fn events() -> impl Strategy<Value = Event> {
    let between = prop_oneof![
        4 => Just(Between::Nothing),
        1 => Just(Between::Drain),
        1 => Just(Between::Poll),
    ];
    (faults(), between, faults()).prop_map(|(body, between, ready)| Event {
        body,
        between,
        ready,
    })
}

fn steps() -> impl Strategy<Value = Step> {
    let interrupts = prop_oneof![
        3 => Just(Interrupt::Sent),
        2 => Just(Interrupt::Lost),
        1 => Just(Interrupt::Twice),
        1 => (1..9u32).prop_map(Interrupt::Late),
    ];
    prop_oneof![
        8 => (vec(prop_oneof![2 => Just(GOOD), 1 => events()], 1..9), interrupts)
            .prop_map(|(events, interrupt)| Step::Raise(events, interrupt)),
        1 => Just(Step::Spurious),
        3 => (0..30u64).prop_map(Step::Poll),
        1 => Just(Step::Flush),
        1 => Just(Step::Reset),
    ]
}

/// Runs a variant through as many cases, the same ones each time.
fn run(functions: Functions, cases: u32) -> Result<(), String> {
    let config = Config {
        cases,
        failure_persistence: None,
        // A variant with a fault need not say how few steps show it.
        max_shrink_iters: if functions.name == "real" { 4096 } else { 0 },
        ..Config::default()
    };
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(config, random);
    let strategy = (1..5u32, vec(steps(), 1..60));
    let result = runner.run(&strategy, |(order, steps)| {
        let mut world = World::new(functions, 1 << order);
        for step in &steps {
            world.take(step);
        }
        world.calm();
        Ok(())
    });
    match result {
        Ok(()) => Ok(()),
        Err(TestError::Fail(reason, (order, steps))) => {
            Err(format!("{reason}: a ring of {}, {steps:#?}", 1 << order))
        }
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn whatever_goes_wrong_each_event_is_delivered_once_or_lost_under_one_name() {
    // The figure is for a test that runs each time; more finds no more.
    if let Err(error) = run(REAL, 4000) {
        panic!("{error}");
    }
}

#[test]
fn a_fault_in_the_algorithm_does_not_stay_hidden() {
    let hook = std::panic::take_hook();
    // Each of them fails in a case, and that is right.
    std::panic::set_hook(Box::new(|_| {}));
    let hidden: Vec<_> = MUTATIONS
        .iter()
        .filter(|functions| run(**functions, 4000).is_ok())
        .map(|functions| functions.name)
        .collect();
    std::panic::set_hook(hook);
    assert!(hidden.is_empty(), "{hidden:?}");
}
