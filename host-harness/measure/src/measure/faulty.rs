// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs of a device that goes wrong: what is no longer waited for, and what
//! comes late.

use std::time::{Duration, Instant};

use device_model::{
    event::{EventSource, Vector},
    fault::{Fault, FaultKind},
};
use irqbed_abi::trace::{SLOTS, VERDICT_NONE};
use irqbed_machine::{
    interrupt::{self, Interrupted},
    session::Session,
};

use super::{MeasureError, POLL, QUIET, Run, Trace, has_verdict};

/// How long a driver may take to bring a device to work again whose faults made
/// it stop.
const RECOVERY: Duration = Duration::from_secs(5);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Whether something is to go wrong with the device.
pub(super) fn is_faulty(source: &EventSource) -> bool {
    !source.faults().list().is_empty()
}

/// Whether the driver of a device with faults brings it to work again; it is
/// waited for.
pub(super) fn recovers(source: &EventSource) -> Result<bool, Interrupted> {
    let since = Instant::now();
    while is_faulty(source) && since.elapsed() < RECOVERY {
        interrupt::check()?;
        if source.wait_ready(LOOK) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What arrives late of a run whose faults are over. A record whose interrupt was
/// lost gets another one, and events are waited for as long as any come. Returns
/// how many did.
///
/// # Errors
/// [`MeasureError`].
pub(crate) fn take_late(session: &mut Session, run: &mut Run) -> Result<u64, MeasureError> {
    let source = session.source().clone();
    let is_missing = |trace: &&mut Trace| trace.verdict == VERDICT_NONE;
    // The slots of those before are others' by now.
    let missing: Vec<&mut Trace> = run
        .traces
        .iter_mut()
        .rev()
        .take(SLOTS as usize)
        .filter(is_missing)
        .collect();
    if missing.is_empty() {
        return Ok(0);
    }
    interrupt_for_what_waits(&source);
    let (mut news, mut known) = (Instant::now(), 0);
    while known < missing.len() && news.elapsed() < QUIET {
        session.alive()?;
        let arrived = missing
            .iter()
            .filter(|trace| has_verdict(&source, trace.seq));
        let arrived = arrived.count();
        if arrived != known {
            known = arrived;
            news = Instant::now();
        }
        std::thread::sleep(POLL);
    }
    for trace in missing {
        *trace = Trace::of(&source, trace.seq);
    }
    Ok(known as u64)
}

/// Interrupts once more on each vector that has records waiting.
fn interrupt_for_what_waits(source: &EventSource) {
    let faults = source.faults();
    let spurious = FaultKind::IrqSpurious { rate: None };
    for vector in Vector::all().filter(|vector| source.in_flight(*vector) > 0) {
        let fault = Fault::new(spurious).vector(vector.get()).build();
        if let Err(error) = fault.and_then(|fault| faults.arm(fault)) {
            tracing::debug!("no interrupt for vector {vector}: {error}");
        }
    }
    faults.clear();
}
