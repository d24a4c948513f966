// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a pair of mechanism and context needs of the machine that it is measured in.

use irqbed_machine::{
    host,
    qemu::{ClockKind, Machine},
};
use irqbed_results::mechanism::{Context, Driver, Mechanism, Pair, driver, most_listeners};

/// The machine that a pair needs: this one, and what it cannot do without.
#[must_use]
pub fn machine_for(pair: Pair, machine: &Machine) -> Machine {
    Machine {
        iommu: machine.iommu || driver(pair.mechanism) == Driver::Vfio,
        ..machine.clone()
    }
}

/// Why this pair cannot be measured in a machine, if it cannot, with so
/// many listeners.
#[must_use]
pub fn cannot(pair: Pair, machine: &Machine, listeners: u32) -> Option<String> {
    if let Some(most) = most_listeners(pair.mechanism).filter(|&most| listeners > most) {
        return Some(format!(
            "it can have --listeners {most}, and not {listeners}: the device is open to one \
             process at a time"
        ));
    }
    match pair.mechanism {
        Mechanism::MmapPoll => looks_all_the_time(machine),
        Mechanism::Vfio => drives_the_device(pair, machine),
        _ => None,
    }
}

fn drives_the_device(pair: Pair, machine: &Machine) -> Option<String> {
    let why = if pair.context != Context::Hardirq {
        "vfio-pci signals the listener from its hard interrupt handler, and from nowhere else"
    } else if machine.clock == ClockKind::Instructions {
        "no driver of ours stamps the interrupt, so there is nothing in the guest to count \
         from; give --clock wall"
    } else {
        return None;
    };
    Some(why.to_owned())
}

/// Why a listener that never sleeps cannot be measured, if it cannot.
fn looks_all_the_time(machine: &Machine) -> Option<String> {
    let cores = host::cores();
    // The harness needs one that the guest's processors do not take.
    let free = cores > machine.vcpus;
    (machine.clock == ClockKind::Wall && !free).then(|| {
        format!(
            "the listener never sleeps, and {} vCPUs on {cores} cores leave none free; give less \
             --vcpus, or --clock instructions",
            machine.vcpus
        )
    })
}

#[cfg(test)]
mod tests {
    use irqbed_machine::accel::Accelerator;
    use irqbed_results::mechanism::{Context, Mechanism};

    use super::*;

    fn machine(clock: ClockKind, vcpus: u32) -> Machine {
        Machine {
            vcpus,
            ..Machine::new(Accelerator::Tcg, clock)
        }
    }

    #[test]
    fn a_device_for_one_process_is_refused_to_two() {
        for &mechanism in Mechanism::ALL {
            let context = Context::Hardirq;
            let pair = Pair { mechanism, context };
            let refusal = cannot(pair, &machine(ClockKind::Instructions, 1), 2);
            let one = most_listeners(mechanism) == Some(1);
            assert_eq!(
                refusal.is_some_and(|why| why.contains("--listeners 1")),
                one
            );
        }
    }

    #[test]
    fn who_never_sleeps_needs_a_core_that_is_free() {
        for &context in Context::ALL {
            let refusal =
                |mechanism, clock| cannot(Pair { mechanism, context }, &machine(clock, 4096), 1);
            for &mechanism in Mechanism::ALL {
                let expected = match mechanism {
                    Mechanism::MmapPoll => true,
                    Mechanism::Vfio => context != Context::Hardirq,
                    _ => false,
                };
                assert_eq!(refusal(mechanism, ClockKind::Wall).is_some(), expected);
            }
            assert_eq!(refusal(Mechanism::MmapPoll, ClockKind::Instructions), None);
        }
    }

    #[test]
    fn who_drives_the_device_is_alone_and_is_timed_from_the_host() {
        let pair = Pair {
            mechanism: Mechanism::Vfio,
            context: Context::Hardirq,
        };
        assert_eq!(cannot(pair, &machine(ClockKind::Wall, 1), 1), None);
        let two = cannot(pair, &machine(ClockKind::Wall, 1), 2);
        assert!(two.is_some_and(|why| why.contains("--listeners 1")));
        let counted = cannot(pair, &machine(ClockKind::Instructions, 1), 1);
        assert!(counted.is_some_and(|why| why.contains("--clock wall")));
    }

    #[test]
    fn only_who_needs_an_iommu_is_given_one() {
        let plain = machine(ClockKind::Wall, 1);
        for &mechanism in Mechanism::ALL {
            let context = Context::Hardirq;
            let given = machine_for(Pair { mechanism, context }, &plain);
            assert_eq!(given.iommu, mechanism == Mechanism::Vfio);
            assert_eq!(
                Machine {
                    iommu: false,
                    ..given
                },
                plain
            );
        }
    }
}
