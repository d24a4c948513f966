// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Entries of the kernel's trace as Perfetto has them, by processor.

use std::collections::BTreeMap;

use super::{
    Recording,
    ftrace::{Entry, Softirq, TaskName, What, Woken},
    names::Names,
    perfetto::stamp,
    proto::{
        FtraceData, FtraceEvent, FtraceEventBundle, Ipi, IrqHandlerEntry, IrqHandlerExit,
        LocalTimer, SchedSwitch, SchedWakeup, SoftirqVec,
    },
};

/// Entries in one packet.
const BUNDLE: usize = 4096;

/// All entries, packed by processor.
pub(super) fn bundles(
    recording: &Recording,
    names: &Names,
) -> impl Iterator<Item = FtraceEventBundle> {
    let mut cpus: BTreeMap<u32, Vec<FtraceEvent>> = BTreeMap::new();
    for entry in &recording.ftrace.entries {
        let timed = FtraceEvent {
            timestamp: Some(stamp(recording.clock.of_guest(entry.at))),
            pid: Some(entry.task.pid.cast_unsigned()),
            event: Some(event(entry, names)),
        };
        cpus.entry(entry.cpu).or_default().push(timed);
    }
    let lost: Vec<u32> = recording
        .summary
        .cpus
        .iter()
        .filter(|cpu| cpu.overwritten > 0)
        .map(|cpu| cpu.cpu)
        .collect();
    cpus.into_iter().flat_map(move |(cpu, events)| {
        let begins_late = lost.contains(&cpu);
        let chunks: Vec<_> = events.chunks(BUNDLE).map(<[FtraceEvent]>::to_vec).collect();
        chunks
            .into_iter()
            .enumerate()
            .map(move |(place, event)| FtraceEventBundle {
                cpu: Some(cpu),
                event,
                lost_events: (begins_late && place == 0).then_some(true),
            })
    })
}

fn event(entry: &Entry, names: &Names) -> FtraceData {
    let softirq = |Softirq(vec): Softirq| SoftirqVec { vec: Some(vec) };
    let comm = |task: &TaskName| Some(names.get(task.pid).unwrap_or(&task.comm).to_owned());
    let woken = |woken: &Woken| SchedWakeup {
        comm: comm(&woken.task),
        pid: Some(woken.task.pid),
        prio: Some(woken.prio),
        target_cpu: i32::try_from(woken.cpu).ok(),
    };
    match &entry.what {
        What::Switch {
            prev,
            prev_prio,
            prev_state,
            next,
            next_prio,
        } => FtraceData::SchedSwitch(SchedSwitch {
            prev_comm: comm(prev),
            prev_pid: Some(prev.pid),
            prev_prio: Some(*prev_prio),
            prev_state: Some(bits(prev_state)),
            next_comm: comm(next),
            next_pid: Some(next.pid),
            next_prio: Some(*next_prio),
        }),
        What::Waking(task) => FtraceData::SchedWaking(woken(task)),
        What::Wakeup(task) => FtraceData::SchedWakeup(woken(task)),
        What::WakeupNew(task) => FtraceData::SchedWakeupNew(woken(task)),
        What::IrqEntry { irq, name } => FtraceData::IrqHandlerEntry(IrqHandlerEntry {
            irq: Some(*irq),
            name: Some(name.clone()),
        }),
        What::IrqExit { irq, handled } => FtraceData::IrqHandlerExit(IrqHandlerExit {
            irq: Some(*irq),
            ret: Some((*handled).into()),
        }),
        What::SoftirqEntry(one) => FtraceData::SoftirqEntry(softirq(*one)),
        What::SoftirqExit(one) => FtraceData::SoftirqExit(softirq(*one)),
        What::SoftirqRaise(one) => FtraceData::SoftirqRaise(softirq(*one)),
        What::VectorEntry { name, vector } if name == "local_timer" => {
            let vector = Some(*vector);
            FtraceData::LocalTimerEntry(LocalTimer { vector })
        }
        What::VectorExit { name, vector } if name == "local_timer" => {
            let vector = Some(*vector);
            FtraceData::LocalTimerExit(LocalTimer { vector })
        }
        What::VectorEntry { name, .. } => FtraceData::IpiEntry(Ipi {
            reason: Some(name.clone()),
        }),
        What::VectorExit { name, .. } => FtraceData::IpiExit(Ipi {
            reason: Some(name.clone()),
        }),
    }
}

/// A state's letters as the bits of the kernel's that they stand for
/// (`sched_switch` in trace/events/sched.h).
fn bits(state: &str) -> i64 {
    let bit = |letter| match letter {
        'S' => 0x01,
        'D' => 0x02,
        'T' => 0x04,
        't' => 0x08,
        'X' => 0x10,
        'Z' => 0x20,
        'P' => 0x40,
        'I' => 0x80,
        '+' => 0x100,
        // R, and what separates letters.
        _ => 0,
    };
    state.chars().map(bit).fold(0, |bits, bit| bits | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_the_kernels_bits() {
        for (letters, expected) in [
            ("R", 0),
            ("R+", 0x100),
            ("S", 1),
            ("I", 0x80),
            ("D|Z", 0x22),
        ] {
            assert_eq!(bits(letters), expected, "{letters}");
        }
    }
}
