// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Events all the time, while a test does something else with the guest.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use device_model::event::{EventSource, Payload, RaiseError, Vector};

use crate::support::Guest;

/// From one round of events to the next, where the guest is fast.
const PAUSE: Duration = Duration::from_micros(200);
/// How long a round may stay in its rings before the next one comes all the same.
const STUCK: Duration = Duration::from_millis(100);
/// Between two looks at the rings.
const LOOK: Duration = Duration::from_micros(50);

/// Does something while the device raises events on the first `vectors` rings, one
/// on each at once. The guest has as long for itself as the last ones took it: at a
/// rate that it cannot take it would do nothing else. What is raised without a driver
/// is refused.
pub fn under_load<T>(guest: &mut Guest, vectors: u32, work: impl FnOnce(&mut Guest) -> T) -> T {
    under_part_load(guest, vectors, 1, work)
}

/// The same with `rest` times as long for the guest itself.
pub fn under_part_load<T>(
    guest: &mut Guest,
    vectors: u32,
    rest: u32,
    work: impl FnOnce(&mut Guest) -> T,
) -> T {
    let source = guest.session.source().clone();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                round(&source, vectors);
                wait_until_taken(&source, vectors, STUCK);
                thread::sleep((begun.elapsed() * rest).max(PAUSE));
            }
        });
        let _ended = Ended(&stop);
        work(guest)
    })
}

fn rings(vectors: u32) -> impl Iterator<Item = Vector> {
    (0..vectors).filter_map(Vector::new)
}

fn round(source: &EventSource, vectors: u32) {
    for vector in rings(vectors) {
        match source.raise(vector, Payload::Pattern(64)) {
            Ok(_) | Err(RaiseError::NotEnabled | RaiseError::NotArmed(_)) => {}
            Err(error) => panic!("the device broke: {error}"),
        }
    }
}

/// Waits until the driver has taken what is in the first `vectors` rings, and no longer than
/// `patience`: how long that was.
pub fn wait_until_taken(source: &EventSource, vectors: u32, patience: Duration) -> Duration {
    let begun = Instant::now();
    while rings(vectors).any(|vector| source.in_flight(vector) > 0) && begun.elapsed() < patience {
        thread::sleep(LOOK);
    }
    begun.elapsed()
}

/// Says so when it is dropped, also by a panic.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
