// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is checked when a program has ended, beside what the kernel reports by itself:
//! interrupts that nobody handled, devices that no driver took, warnings of the devices.

use device_model::Recorder;
use irqbed_abi::control::{Inspection, InterruptLine, Reply, Request};
use irqbed_machine::{
    kernel_report::Finding,
    kmod::fits,
    session::{SessionError, unexpected},
};

use super::{DeviceFault, Failure, Outcome, Trial, Unbound, Unhandled};
use crate::scenario::Scenario;

/// Interrupts by a line that may be nobody's.
const STRAY: u64 = 9;

impl Trial {
    /// What drivers have done with interrupts and devices so far.
    pub(super) fn inspect(&mut self) -> Result<Inspection, SessionError> {
        match self.guest.ask(Request::Inspect)? {
            Reply::Inspected(inspection) => Ok(inspection),
            answer => Err(unexpected(
                "the state of interrupts and devices".to_owned(),
                &answer,
            )),
        }
    }
}

/// Whether a line is only of the guest's serial ports, by which the harness speaks with it. Their
/// interrupts are edges: one that comes when its data were read already is nobody's.
fn is_of_the_harness(line: &InterruptLine) -> bool {
    let mut names = line.actions.split(',');
    names.all(|name| name.starts_with("ttyS"))
}

/// The interrupts that nobody handled, beside those of `before` and the harness's own.
pub(super) fn unhandled(before: &Inspection, after: &Inspection) -> Vec<Unhandled> {
    let is_same = |line: &InterruptLine, other: &InterruptLine| {
        line.irq == other.irq && line.actions == other.actions
    };
    let tested = after
        .interrupts
        .iter()
        .filter(|line| !is_of_the_harness(line));
    let new = tested.filter_map(|line| {
        let mut known = before.interrupts.iter();
        let known = known.find(|known| is_same(known, line));
        let known = known.map_or(0, |known| known.unhandled);
        // A line may fire once more while its end is on its way; one that no handler takes
        // fires until the kernel switches it off. A message comes once.
        let stray = if line.chip.contains("MSI") { 0 } else { STRAY };
        (line.unhandled > known.saturating_add(stray)).then(|| Unhandled(line.clone()))
    });
    new.collect()
}

/// The devices that a module of the scenario is for and no driver took. Those of which a
/// probe failed are named already.
pub(super) fn unbound(
    scenario: &Scenario,
    inspection: &Inspection,
    failed: &[Finding],
) -> Vec<Unbound> {
    let unbound = inspection
        .functions
        .iter()
        .filter(|function| !function.was_bound);
    let unnamed = unbound.filter(|function| {
        let mut lines = failed.iter().map(|finding| &finding.line);
        !lines.any(|line| line.contains(&function.place))
    });
    let claimed = unnamed.filter_map(|function| {
        let mut modules = scenario.modules.iter();
        let is_for = |alias: &String| fits(alias, &function.modalias);
        let module = modules.find(|module| module.aliases.iter().any(is_for))?;
        Some(Unbound {
            place: function.place.clone(),
            module: module.name.clone(),
        })
    });
    claimed.collect()
}

/// Adds what the devices warned of, and interrupts that nobody handled. Where a fault that was
/// asked for has happened, it may be the cause, and so they are notes.
pub(super) fn add_warnings(
    scenario: &Scenario,
    recorders: &[(String, Recorder)],
    unhandled: Vec<Unhandled>,
    outcome: &mut Outcome,
) {
    let has_happened = |fault: &DeviceFault| fault.counts.hits > 0;
    let faulty = outcome.faults.iter().any(has_happened);
    let warnings = recorders.iter().flat_map(|(device, recorder)| {
        let warnings = recorder.warnings().into_iter();
        warnings.map(|warning| Failure::Warning {
            device: device.clone(),
            warning: warning.to_string(),
        })
    });
    let failures = warnings.chain(unhandled.into_iter().map(Failure::Unhandled));
    for failure in failures {
        let text = failure.to_string();
        let mut allowed = scenario.description.allowed.iter();
        if allowed.any(|allowed| text.contains(allowed)) {
            continue;
        }
        if faulty {
            outcome.notes.push(format!("beside the faults: {text}"));
        } else {
            outcome.failures.push(failure);
        }
    }
}

/// Says of a breakpoint in the kernel that it need not be the driver's. The kernel sets one where
/// it replaces code that other processors may execute; of several that are emulated, one has met
/// it when it was gone.
pub(super) fn doubt_breakpoints(outcome: &mut Outcome) {
    let mut kernel = outcome.failures.iter();
    if kernel
        .any(|failure| matches!(failure, Failure::Kernel(found) if found.line.contains("int3:")))
    {
        outcome.notes.push(
            "a breakpoint (int3) that nobody set can be QEMU's fault where it emulates several \
             processors; with `--vcpus 1` it is not (docs/kernels.md)"
                .to_owned(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(actions: &str, chip: &str, unhandled: u64) -> InterruptLine {
        InterruptLine {
            irq: 3,
            actions: actions.to_owned(),
            chip: chip.to_owned(),
            count: 200,
            unhandled,
        }
    }

    #[track_caller]
    fn assert_named(before: u64, after: InterruptLine, is_named: bool) {
        let inspection = |line: InterruptLine| Inspection {
            interrupts: vec![line],
            ..Inspection::default()
        };
        let known = InterruptLine {
            unhandled: before,
            ..after.clone()
        };
        let named = unhandled(&inspection(known), &inspection(after));
        assert_eq!(!named.is_empty(), is_named, "{named:?}");
    }

    #[test]
    fn interrupts_that_no_handler_of_a_driver_takes_are_named() {
        assert_named(0, line("mine", "PCI-MSI-0000:00:01.0", 1), true);
        assert_named(1, line("mine", "PCI-MSI-0000:00:01.0", 1), false);
        assert_named(0, line("mine", "IO-APIC", STRAY), false);
        assert_named(0, line("mine", "IO-APIC", STRAY + 1), true);
        assert_named(0, line("mine,ttyS1", "IO-APIC", 100), true);
    }

    #[test]
    fn those_of_the_harness_s_serial_ports_are_not() {
        for actions in ["ttyS1", "ttyS0,ttyS2"] {
            assert_named(0, line(actions, "IO-APIC", 75), false);
        }
    }
}
