// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Raising many events for somebody who asked: no faster than the guest takes
//! them, and not for ever.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{MAX_COUNT, Reply};
use crate::event::{EventSource, Outcome, Payload, RaiseError, Vector};

/// How long to sleep while the ring is full.
const NAP: Duration = Duration::from_millis(1);
/// How long the guest may take nothing before it is given up.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a request may take in all.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// Carries out a request. `cancelled` ends it early.
pub(super) fn raise(
    source: &EventSource,
    vector: u32,
    count: u32,
    payload: &[u8],
    cancelled: impl Fn() -> bool,
) -> Reply {
    let failed = |error: String| Reply::Failed { error };
    let Some(vector) = Vector::new(vector) else {
        return failed(format!(
            "there is no vector {vector}: use 0 to {}",
            irqbed_abi::pci::VECTORS - 1
        ));
    };
    if !(1..=MAX_COUNT).contains(&count) {
        return failed(format!("cannot raise {count} events: use 1 to {MAX_COUNT}"));
    }
    let started = Instant::now();
    let (mut first_seq, mut raised, mut ring_overflow) = (None, 0, 0);
    while raised < count && !cancelled() && started.elapsed() < LONGEST {
        wait_for_room(source, vector, payload.len(), &cancelled);
        match source.raise(vector, Payload::Bytes(payload)) {
            Ok(event) => {
                first_seq.get_or_insert(event.seq.get());
                raised += 1;
                if event.outcome == Outcome::RingOverflow {
                    // Nobody takes events: one lost says so.
                    ring_overflow += 1;
                    break;
                }
            }
            Err(error) => return failed(after(raised, &error)),
        }
    }
    match first_seq {
        Some(first_seq) => Reply::Raised {
            first_seq,
            count: raised,
            ring_overflow,
        },
        None => failed("the device is being shut down".into()),
    }
}

fn wait_for_room(source: &EventSource, vector: Vector, len: usize, cancelled: &impl Fn() -> bool) {
    let mut since = Instant::now();
    let mut in_flight = source.in_flight(vector);
    // What is too long or not armed never has room: the raise says so.
    while in_flight > 0 && !source.has_room(vector, len) && !cancelled() {
        if since.elapsed() >= PATIENCE {
            return;
        }
        thread::sleep(NAP);
        let now = source.in_flight(vector);
        if now < in_flight {
            since = Instant::now();
        }
        in_flight = now;
    }
}

fn after(raised: u32, error: &RaiseError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    match raised {
        0 => text,
        raised => format!("after {raised} events: {text}"),
    }
}
