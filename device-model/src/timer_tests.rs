// SPDX-License-Identifier: Apache-2.0 OR MIT

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;
use crate::{Bus, DeviceSpec, Identity, ResetKind, attached::Attached};

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

fn clock() -> (Attached, Timers, Receiver<TimerId>) {
    let (told, hears) = channel();
    let device = Box::new(Clock { told });
    let attached = Attached::new(device, &DeviceSpec::new(Identity::new(1, 1)));
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
fn a_panic_in_a_callback_stops_the_timers_and_no_more() {
    let (device, timers, hears) = clock();
    timers.start(OFTEN, LONG);
    timers.start(TimerId(13), SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(TimerId(13)));
    // The lock is held until the callback has ended.
    device.bar_read(crate::BarIndex::BAR0, 0, &mut [0]);
    while timers.is_running(OFTEN) {
        thread::yield_now();
    }
    timers.start(ONCE, SOON);
    assert_eq!(hears.recv_timeout(LONG), Ok(ONCE));
}

#[test]
fn a_device_that_is_not_attached_has_no_timer() {
    let timers = Bus::detached().timers;
    timers.start(ONCE, SOON);
    assert!(!timers.is_running(ONCE));
}
