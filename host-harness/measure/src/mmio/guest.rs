// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The same registers from a process in a guest that has all the devices: the
//! instruction traps, QEMU asks the server, and the processor waits.

use std::{
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use device_model::HostTsc;
use irqbed_abi::control::Accesses;
use irqbed_machine::{
    artefacts::Artefacts,
    interrupt,
    progress::Progress,
    qemu::{ClockKind, Connections, Machine},
    served::reach,
    session::Guest,
};
use irqbed_results::ratio::Rounds;

use super::{MmioError, PathOf, Plan, Served, Target, in_turns};

/// How long a server may take to see that a client has left, and to listen
/// anew or end.
const CHANGE: Duration = Duration::from_millis(200);

/// Boots the guest and measures; returns the name of its kernel, too.
pub(super) fn measure(
    plan: &Plan,
    served: &[Served],
    artefacts: &Artefacts,
    progress: &Progress,
) -> Result<(Vec<Rounds>, String), MmioError> {
    if plan.ways.len() > 1 {
        thread::sleep(CHANGE);
    }
    let devices = served.iter().map(handle).collect::<Result<Vec<_>, _>>()?;
    let devices = devices.into_iter().map(Into::into).collect();
    let mut machine = Machine::new(plan.accelerator, ClockKind::Wall);
    machine.vcpus = plan.vcpus;
    let connections = Connections {
        devices,
        ..Connections::default()
    };
    progress.phase("booting");
    let counter = Counter::start();
    let mut guest = Guest::boot(artefacts, &machine, connections)?;
    let kernel = guest.hello().kernel.clone();
    let mut cycles: Vec<Vec<Vec<u64>>> = vec![Vec::new(); plan.targets.len()];
    progress.phase_of("from the guest", plan.rounds);
    for round in 0..plan.rounds {
        for turn in in_turns(round, plan.targets.len()) {
            interrupt::check()?;
            let (Some(target), Some(cycles)) = (plan.targets.get(turn), cycles.get_mut(turn))
            else {
                continue;
            };
            cycles.push(guest.time_accesses(accesses(plan, target, turn))?);
        }
        progress.at(round + 1);
    }
    let nanos = counter.nanos_per_cycle();
    guest.power_off()?;
    let in_nanos = |block: Vec<u64>| block.iter().map(|&cycles| cycles as f64 * nanos).collect();
    let rounds = cycles
        .into_iter()
        .map(|blocks| Rounds(blocks.into_iter().map(in_nanos).collect()))
        .collect();
    Ok((rounds, kernel))
}

/// A handle of a socket at which somebody listens still.
fn handle(served: &Served) -> Result<OwnedFd, MmioError> {
    let one_connection = |why: String| MmioError::OneConnection {
        server: served.name.clone(),
        why,
    };
    match &served.socket {
        PathOf::Path(path) => reach(path).map_err(one_connection),
        PathOf::Handle(handle) => handle
            .try_clone()
            .map_err(|error| one_connection(error.to_string())),
    }
}

/// Our devices are the only ones that QEMU looks for a place for: they lie
/// behind the bridge, one after the other.
fn accesses(plan: &Plan, target: &Target, index: usize) -> Accesses {
    Accesses {
        device: format!("0000:00:{:02x}.0", index + 1),
        bar: target.region,
        offset: target.offset,
        width: plan.width,
        write: plan.write,
        batches: plan.count,
        accesses: 1,
    }
}

/// How long a cycle of the counter is, which the guest counts by as well.
struct Counter(HostTsc, Instant);

impl Counter {
    fn start() -> Self {
        Self(HostTsc::now(), Instant::now())
    }

    fn nanos_per_cycle(&self) -> f64 {
        let cycles = HostTsc::now().0.saturating_sub(self.0.0);
        self.1.elapsed().as_nanos() as f64 / cycles.max(1) as f64
    }
}
