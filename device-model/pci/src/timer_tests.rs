// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::{
    Bus, DeviceSpec, Identity, PciDevice, ResetKind, attached::Attached, device_panic::PanicWatch,
};

const ONCE: TimerId = TimerId(1);
const OFTEN: TimerId = TimerId(2);
const SOON: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(60);

struct Clock {
    told: Sender<TimerId>,
}

impl PciDevice for Clock {
    fn spec(&self) -> DeviceSpec {
        DeviceSpec::new(Identity::new(1, 1))
    }

    fn timer(&mut self, timer: TimerId) {
        self.told.send(timer).unwrap();
        assert_ne!(timer, TimerId(13), "a device with an error");
    }
}

fn attached(device: Box<dyn PciDevice>) -> Attached {
    let (spec, watch) = (device.spec(), PanicWatch::default());
    watch.identify(&spec.identity);
    Attached::new(device, &spec, watch)
}

fn clock() -> (Attached, Timers, Receiver<TimerId>) {
    let (told, hears) = channel();
    let attached = attached(Box::new(Clock { told }));
    let timers = attached.bus().timers.clone();
    (attached, timers, hears)
}

#[test]
fn a_timer_goes_off_once_or_again_and_again() {
    let (_device, timers, hears) = clock();
    timers.start(ONCE, SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(ONCE));
    assert!(!timers.is_running(ONCE));
    timers.start_periodic(OFTEN, SOON);
    for _ in 0..3 {
        assert_eq!(hears.recv_timeout(LONG), Ok(OFTEN));
    }
    assert!(timers.is_running(OFTEN));
}

#[test]
fn started_anew_it_goes_off_at_the_new_time_alone() {
    let (_device, timers, hears) = clock();
    timers.start(ONCE, LONG);
    timers.start(OFTEN, LONG);
    timers.start(ONCE, SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(ONCE));
    assert!(!timers.is_running(ONCE) && timers.is_running(OFTEN));
    timers.start(ONCE, Duration::MAX);
    assert!(!timers.is_running(ONCE), "never is not at all");
}

#[test]
fn a_reset_stops_every_timer() {
    let (mut device, timers, hears) = clock();
    timers.start_periodic(OFTEN, SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(OFTEN));
    device.reset(ResetKind::Function);
    hears.try_iter().count();
    assert!(!timers.is_running(OFTEN));
    timers.start(ONCE, SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(ONCE), "and no other");
}

#[test]
fn after_the_end_nobody_is_called() {
    let (device, timers, hears) = clock();
    timers.start_periodic(OFTEN, SOON);
    drop(device);
    timers.start(ONCE, SOON);
    assert!(!timers.is_running(ONCE) && !timers.is_running(OFTEN));
    hears.try_iter().count();
    assert!(hears.recv_timeout(Duration::from_millis(20)).is_err());
}

#[test]
fn a_panic_in_a_callback_ends_the_device() {
    let (device, timers, hears) = clock();
    timers.start_periodic(OFTEN, LONG);
    timers.start(TimerId(13), SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(TimerId(13)));
    while timers.is_running(OFTEN) {
        thread::yield_now();
    }
    timers.start(ONCE, SOON);
    while timers.is_running(ONCE) {
        thread::yield_now();
    }
    assert!(hears.try_recv().is_err(), "nobody is called any more");
    let panic = device.bus().watch.panic().unwrap();
    assert_eq!((panic.ids, &*panic.place), (Some((1, 1)), "timer()"));
    assert!(panic.message.contains("a device with an error"));
}

#[test]
fn what_attach_starts_goes_off_and_is_started_anew_by_each_reset() {
    struct Heart(Sender<TimerId>);

    impl PciDevice for Heart {
        fn spec(&self) -> DeviceSpec {
            DeviceSpec::new(Identity::new(1, 1))
        }

        fn attach(&mut self, bus: Bus) {
            bus.timers.start_periodic(OFTEN, SOON);
            bus.timers.start(ONCE, SOON);
            bus.timers.start_periodic(TimerId(3), SOON);
            bus.timers.stop(TimerId(3));
        }

        fn timer(&mut self, timer: TimerId) {
            self.0.send(timer).unwrap();
        }
    }

    let (told, hears) = channel();
    let mut device = attached(Box::new(Heart(told)));
    let timers = device.bus().timers.clone();
    for _ in 0..3 {
        let mut seen = Vec::new();
        while !(seen.contains(&ONCE) && seen.iter().filter(|id| **id == OFTEN).count() > 2) {
            seen.push(hears.recv_timeout(LONG).unwrap());
        }
        assert!(!seen.contains(&TimerId(3)), "it was stopped");
        timers.start_periodic(TimerId(4), LONG);
        device.reset(ResetKind::Function);
        assert!(!timers.is_running(TimerId(4)));
        hears.try_iter().count();
    }
}

#[test]
fn a_device_that_is_not_attached_has_no_timer() {
    let timers = Bus::detached().timers;
    timers.start(ONCE, SOON);
    assert!(!timers.is_running(ONCE));
}
