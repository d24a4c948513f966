// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A benchmark of a device that goes wrong: its faults are armed before the
//! first event and cleared behind the last.

use std::time::Duration;

use device_model::fault::{Fault, FaultKind, FaultReport};
use irqbed_machine::{qemu::ClockKind, session::Session};
use irqbed_results::units::thousands;

use super::{Bench, BenchError};
use crate::measure::{self, Run};

/// Why a run with this clock cannot have a fault, if it cannot.
#[must_use]
pub fn refusal(fault: &Fault, clock: ClockKind) -> Option<String> {
    let name = fault.kind().name();
    match fault.kind() {
        FaultKind::Removed(_) | FaultKind::Returned(_) | FaultKind::Reset(_) => Some(format!(
            "{name} takes the guest's clock and rings away with the device, so that nothing can \
             be timed: see what a driver makes of it by `irqbed test` or `irqbed run-vm`"
        )),
        kind if clock == ClockKind::Instructions && takes_time(kind) => Some(format!(
            "{name} takes time of the host, which is other instructions of the guest each time: \
             give --clock wall"
        )),
        _ => None,
    }
}

/// Whether something of a fault comes at a time of the host.
fn takes_time(kind: &FaultKind) -> bool {
    match kind {
        FaultKind::IrqDuplicated { gap } => *gap > Duration::ZERO,
        FaultKind::IrqSpurious { rate } => rate.is_some(),
        FaultKind::DmaTorn { rest, .. } => rest.is_some(),
        FaultKind::IrqDelayed { .. } | FaultKind::IrqStorm { .. } | FaultKind::DmaLate { .. } => {
            true
        }
        _ => false,
    }
}

impl Bench {
    /// Measures while the device has the faults; what each did. What they kept
    /// back arrives when they are over.
    pub(super) fn with_faults(
        &self,
        session: &mut Session,
        measure: impl FnOnce(&mut Session) -> Result<Run, BenchError>,
    ) -> Result<(Run, Vec<FaultReport>), BenchError> {
        if self.faults.is_empty() {
            return Ok((measure(session)?, Vec::new()));
        }
        let faults = session.source().faults();
        faults.arm_all(&self.faults)?;
        let run = measure(session);
        let reports = faults.clear();
        let mut run = run?;
        run.late = measure::take_late(session, &mut run)?;
        Ok((run, reports))
    }
}

/// What faults did to a run as a whole.
pub(super) fn notes(run: &Run) -> Vec<String> {
    let late = (run.late > 0).then(|| {
        format!(
            "{} of the events arrived when the faults were over, after the run",
            thousands(run.late)
        )
    });
    let refused = run.refused.as_ref().map(|why| {
        format!(
            "the device took no more than {} events: {why}",
            thousands(run.traces.len() as u64)
        )
    });
    late.into_iter().chain(refused).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(fault: &str, clock: ClockKind) -> Option<String> {
        refusal(&fault.parse().expect("a fault"), clock)
    }

    #[test]
    fn what_takes_time_is_not_counted_in_instructions() {
        for fault in [
            "irq-delayed",
            "irq-duplicated",
            "irq-storm",
            "irq-spurious:rate=10",
            "dma-late",
            "dma-torn:bytes=8,rest=1ms",
        ] {
            let why = refused(fault, ClockKind::Instructions).expect(fault);
            assert!(why.contains("--clock wall"), "{why}");
            assert_eq!(refused(fault, ClockKind::Wall), None);
        }
        for fault in [
            "irq-lost",
            "irq-duplicated:gap=0ns",
            "irq-spurious",
            "irq-misrouted",
            "dma-torn:bytes=8",
            "dma-corrupted",
        ] {
            assert_eq!(refused(fault, ClockKind::Instructions), None, "{fault}");
        }
    }

    #[test]
    fn what_takes_the_device_away_leaves_nothing_to_time() {
        for clock in [ClockKind::Wall, ClockKind::Instructions] {
            let why = refused("removed:delay=1s", clock).expect("refused");
            assert!(why.contains("irqbed test"), "{why}");
        }
    }
}
