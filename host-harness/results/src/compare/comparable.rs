// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whether two sides can be compared: that they measured the same thing, where that
//! matters on the same machine, and often enough.

use super::{ROUNDS, Thresholds, statistics, unit_of};
use crate::{
    environment::Environment,
    placement::Placement,
    result::{Parameters, RunResult},
    units::Unit,
};

/// Why the two sides of a pair cannot be compared, if they cannot.
pub(super) fn obstacle(
    before: &[&RunResult],
    after: &[&RunResult],
    (base, new): (&Environment, &Environment),
    thresholds: &Thresholds,
) -> Option<String> {
    let (old, fresh) = (before.first()?, after.first()?);
    let unit = old.clock.unit();
    if unit != fresh.clock.unit() {
        return Some("one side counts time, the other instructions".to_owned());
    }
    let invalid = before
        .iter()
        .chain(after)
        .find_map(|result| result.problems().into_iter().next());
    if let Some(problem) = invalid {
        return Some(format!("a result is not valid: {problem}"));
    }
    if let Some(name) = different(&old.parameters, &fresh.parameters, unit) {
        return Some(format!("{name} differs"));
    }
    if !faults(old).eq(faults(fresh)) {
        return Some("fault differs".to_owned());
    }
    if base.guest_kernel != new.guest_kernel {
        return Some(format!(
            "the base was measured on Linux {}, the new one on {}",
            base.guest_kernel, new.guest_kernel
        ));
    }
    if thresholds.across_environments {
        return None;
    }
    if let Some((was, is)) = two(&base.driver_compiler, &new.driver_compiler) {
        return Some(format!(
            "the base's driver was built by {was}, the new one's by {is}; \
             --across-environments compares"
        ));
    }
    if unit == Unit::Instructions {
        return None;
    }
    let name = foreign(base, new)?;
    Some(format!("{name} differs; --across-environments compares"))
}

/// Why there are not enough rounds, if there are not.
pub(super) fn too_few(
    before: &[&RunResult],
    after: &[&RunResult],
    thresholds: &Thresholds,
    tail: f64,
) -> Option<String> {
    if unit_of(before) == Unit::Instructions {
        return None;
    }
    let rounds = before.len().min(after.len());
    if !thresholds.side_by_side {
        return (rounds < ROUNDS).then(|| {
            format!(
                "wall time needs {ROUNDS} rounds on each side (irqbed bench --rounds), not {rounds}"
            )
        });
    }
    if before.len() != after.len() {
        return Some(format!(
            "the base has {} rounds, the new one {}",
            before.len(),
            after.len()
        ));
    }
    too_few_pairs(rounds, tail)
}

/// The same of so many rounds that were taken side by side.
pub(super) fn too_few_pairs(rounds: usize, tail: f64) -> Option<String> {
    let needed = statistics::pairs_for(tail);
    (rounds < needed)
        .then(|| format!("so many wall times need {needed} rounds on each side, not {rounds}"))
}

/// What of the machine differs, as far as it moves wall time.
fn foreign(base: &Environment, new: &Environment) -> Option<&'static str> {
    let pairs = [
        ("the processor", base.cpu == new.cpu),
        ("the number of cores", base.cores == new.cores),
        ("the host's kernel", base.host_kernel == new.host_kernel),
        ("QEMU", base.qemu == new.qemu),
        ("the accelerator", base.accelerator == new.accelerator),
    ];
    let different = pairs.into_iter().find(|(_, equal)| !equal);
    different.map(|(name, _)| name)
}

/// The first parameter that makes two runs different things. What a run is
/// about, the parameters of driver and kernel, may differ.
fn different(base: &Parameters, new: &Parameters, unit: Unit) -> Option<&'static str> {
    let timed = unit == Unit::Nanoseconds;
    let pairs = [
        ("payload_bytes", base.payload_bytes == new.payload_bytes),
        ("vectors", base.vectors == new.vectors),
        ("delivery", base.delivery == new.delivery),
        ("irq", base.irq == new.irq),
        ("vcpus", base.vcpus == new.vcpus),
        ("burst", base.burst == new.burst),
        ("batch", base.batch == new.batch),
        ("load", base.load == new.load),
        ("fifo", base.scheduling.fifo == new.scheduling.fifo),
        ("cpu", base.scheduling.cpu == new.scheduling.cpu),
        ("receive_buffer", base.receive_buffer == new.receive_buffer),
        ("rate_hz", !timed || base.rate_hz == new.rate_hz),
        ("window", !timed || base.window == new.window),
        ("pin", !timed || shape(base) == shape(new)),
        ("poisson_seed", base.poisson_seed == new.poisson_seed),
    ];
    let different = pairs.into_iter().find(|(_, equal)| !equal);
    different.map(|(name, _)| name)
}

/// What went wrong with the device, as it was asked for.
fn faults(result: &RunResult) -> impl Iterator<Item = &str> {
    result.faults.iter().map(|fault| fault.fault.as_str())
}

/// Which of the threads shared a processor of the host.
fn shape(parameters: &Parameters) -> Option<Vec<usize>> {
    parameters.pin.as_ref().map(Placement::shape)
}

/// Both, where they differ. Older results do not say it.
fn two<'a>(was: &'a str, is: &'a str) -> Option<(&'a str, &'a str)> {
    (was != is && !was.is_empty() && !is.is_empty()).then_some((was, is))
}

/// A compiler of the process in the guest that is not the one of the base: it matters to
/// the last stage alone, and little.
pub(super) fn changed_agent(base: &Environment, new: &Environment) -> Option<String> {
    let (was, is) = two(&base.agent_compiler, &new.agent_compiler)?;
    Some(format!(
        "the process in the guest was built by {was}, then by {is}: its part may differ"
    ))
}

/// What differs and may, as it may be what the comparison is about.
pub(super) fn changed_parameters(base: &RunResult, new: &RunResult) -> Vec<String> {
    let (old, fresh) = (&base.parameters, &new.parameters);
    let mut notes = Vec::new();
    if old.module_parameters != fresh.module_parameters {
        notes.push(format!(
            "the driver's parameters differ: {:?}, then {:?}",
            old.module_parameters, fresh.module_parameters
        ));
    }
    if old.kernel_parameters != fresh.kernel_parameters {
        notes.push(format!(
            "the kernel's parameters differ: {:?}, then {:?}",
            old.kernel_parameters, fresh.kernel_parameters
        ));
    }
    notes
}
