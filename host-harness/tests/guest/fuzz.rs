// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Random system calls on every entrance of the driver, from several processes at
//! once, some of which are killed, while events arrive; then the driver unloads,
//! loads as another notifier, and all begins again. `IRQBED_FUZZ_OPERATIONS` and
//! `IRQBED_FUZZ_SEED` (`./just fuzz-driver OPERATIONS SEED`) make it longer, or
//! repeat a run.

use std::{
    thread,
    time::{Duration, Instant},
};

use irqbed_machine::qemu::{ClockKind, Machine};
use irqbed_results::mechanism::Context;

use crate::{
    load::under_part_load,
    support::{Guest, machine, number_from, sh_within, unicast},
};
/// System calls where nobody asks for more.
const SLICE: u64 = 120_000;
/// System calls of processes that start together, where none is killed.
const CALLS: u64 = 9_000;
/// How often such processes start before the driver is unloaded.
const STARTS: u64 = 2;
const WORKERS: u64 = 3;
/// Time for system calls to time for events.
const REST: u32 = 4;
/// Rings with events.
const VECTORS: u32 = 4;
const NOTIFIERS: [&str; 9] = [
    "netlink",
    "netlink-broadcast",
    "genetlink",
    "genetlink-multicast",
    "chardev",
    "signal",
    "eventfd",
    "uio",
    "mmap",
];
/// The driver's own words on what it refuses, and the kernel's on messages that are
/// not well formed and on mappings larger than the guest.
const EXPECTED: [&str; 5] = [
    "irqbed ",
    "irqbed: ",
    "netlink: ",
    "Zero length message leads to an empty skb",
    "__vm_enough_memory: ",
];
/// The agent notices earlier that one of them is stuck.
const PATIENCE: Duration = Duration::from_secs(600);
/// Sockets in sockets are freed by a worker of the kernel.
const UNLOADS: Duration = Duration::from_secs(20);

fn unload(guest: &mut Guest, round: &str) {
    let begun = Instant::now();
    while let Err(error) = guest.session.unload_module() {
        assert!(begun.elapsed() < UNLOADS, "{round}: {error}");
        thread::sleep(Duration::from_millis(100));
    }
}

fn complaints(guest: &mut Guest) -> Vec<String> {
    let mut complaints = guest.complaints();
    complaints.retain(|line| !EXPECTED.iter().any(|expected| line.starts_with(expected)));
    complaints.retain(|line| !line.ends_with(" callbacks suppressed"));
    complaints
}

/// The calls that processes speak of, `name done+failed`; those that were killed do not.
fn calls_in(output: &str) -> u64 {
    let counts = output.split_whitespace().filter_map(|word| {
        let (done, failed) = word.trim_end_matches(',').split_once('+')?;
        Some(done.parse::<u64>().ok()? + failed.parse::<u64>().ok()?)
    });
    counts.sum()
}

#[test]
fn no_system_call_brings_the_driver_down() {
    let operations = number_from("IRQBED_FUZZ_OPERATIONS", SLICE);
    let seed = number_from("IRQBED_FUZZ_SEED", 1);
    let mut guest = Guest::boot_bare(&Machine {
        vcpus: 2,
        // It takes half of the time, and who forgets memory is what the soak finds.
        kernel_parameters: vec!["kmemleak=off".to_owned()],
        ..machine(ClockKind::Wall)
    });
    let mut made = 0;
    for number in 0.. {
        if made >= operations {
            break;
        }
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(number);
        let notifier = NOTIFIERS[number as usize % NOTIFIERS.len()];
        let context =
            Context::ALL[(number as usize / NOTIFIERS.len()) % Context::ALL.len()].as_str();
        let round = format!("round {number}, {notifier} in {context}, seed {seed}");
        let parameters = [
            ("notifier", notifier.to_owned()),
            ("context", context.to_owned()),
        ];
        guest.session.load_module(parameters).expect(&round);
        for start in 0..STARTS {
            let seed = seed.wrapping_add(start << 32);
            let script = format!("/init fuzz {seed} {CALLS} {WORKERS}");
            let begun = Instant::now();
            let (status, output, error) = under_part_load(&mut guest, VECTORS, REST, |guest| {
                sh_within(PATIENCE, &mut guest.session, &script)
            });
            made += calls_in(&output);
            println!(
                "{round}, {:.1?}, {made} calls so far:\n{output}",
                begun.elapsed()
            );
            let complaints = complaints(&mut guest);
            assert!(complaints.is_empty(), "{round}: {complaints:#?}");
            assert_eq!((status, error.as_str()), (0, ""), "{round}");
        }
        unload(&mut guest, &round);
    }
    let complaints = complaints(&mut guest);
    assert!(complaints.is_empty(), "at the end: {complaints:#?}");
    guest.session.load_module([]).expect("the driver loads");
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
}
