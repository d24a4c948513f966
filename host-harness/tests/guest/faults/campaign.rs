// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every kind of fault, on rings of every size, with bursts up to the ring's size,
//! in a hard interrupt and in a worker, on one processor and on two: each account
//! balances, and what is raised afterwards is all delivered. What happens follows
//! from a seed. `./just faults-campaign SEEDS` runs as many as are asked for.

use std::time::Duration;

use device_model::event::{Payload, Vector};
use irqbed_abi::control::Mechanism;
use irqbed_machine::qemu::{ClockKind, Machine};

use super::trial::Trial;
use crate::{
    account::Outcome,
    load::wait_until_taken,
    support::{Guest, machine, number_from},
};

const ENTRIES: [u32; 4] = [16, 64, 1024, 4096];
/// Seeds in each slice of a campaign: the driver is loaded once for it.
const SLICE: u64 = 10;
/// Events after each fault.
const GOOD: u32 = 1000;
/// How long the driver may take to set a device up anew.
const ANEW: Duration = Duration::from_secs(30);

/// The faults; `SEED` and `CHANCE` stand for those of the trial.
const FAULTS: [&str; 24] = [
    "irq-lost:chance=CHANCE,seed=SEED",
    "irq-duplicated:gap=50us,chance=CHANCE,seed=SEED",
    "irq-delayed:mean=3ms,distribution=exponential,chance=CHANCE,seed=SEED",
    "irq-spurious:rate=2000",
    "irq-storm:interrupts=100,rate=20000,chance=CHANCE,seed=SEED",
    "irq-misrouted:chance=CHANCE,seed=SEED",
    "reads-ones:chance=CHANCE,seed=SEED",
    "bits-stuck:offset=24,mask=0x1,value=0",
    "dma-torn:bytes=8,rest=1ms,length=32,chance=CHANCE,seed=SEED",
    "dma-torn:bytes=20,rest=never,length=32,chance=CHANCE,seed=SEED",
    "dma-late:mean=2ms,length=16,chance=CHANCE,seed=SEED",
    "dma-late:mean=2ms,length=32,chance=CHANCE,seed=SEED",
    "dma-late:mean=30ms,distribution=exponential,length=4,chance=CHANCE,seed=SEED",
    "dma-misplaced:offset=64,length=32,chance=CHANCE,seed=SEED",
    "dma-misplaced:offset=-28,length=32,chance=CHANCE,seed=SEED",
    "dma-misplaced:place=outside,length=4,chance=CHANCE,seed=SEED",
    "dma-corrupted:bits=1,chance=CHANCE,seed=SEED",
    "dma-corrupted:bits=9,length=32,chance=CHANCE,seed=SEED",
    "dma-failed:chance=0.01,seed=SEED",
    "completions-swapped:chance=CHANCE,seed=SEED",
    "removed:when=interrupt,after=AFTER",
    "removed:when=dma,after=AFTER",
    "reset:when=interrupt,after=AFTER",
    "reset:when=dma,after=AFTER",
];

/// A random number for a seed, by splitmix64.
fn random(seed: u64) -> u64 {
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Raises a burst, and waits until the driver has taken it where it can. A device
/// that stopped is set up anew by its driver when that is asked to look.
fn raise(trial: &mut Trial, burst: u32, faulty: bool) {
    let source = trial.guest.session.source().clone();
    if source
        .raise_burst(Vector::default(), Payload::Pattern(16), burst)
        .is_err()
    {
        assert!(faulty, "a device without a fault takes events");
        if source.faults().is_removed() {
            // A flush has the driver notice.
            trial.guest.flush();
            trial.arm("returned");
        }
        trial.guest.flush();
        assert!(source.wait_ready(ANEW), "the device is not set up anew");
        return;
    }
    let patience = if faulty {
        Duration::from_millis(5)
    } else {
        ANEW
    };
    wait_until_taken(&source, 1, patience);
}

fn try_seed(trial: &mut Trial, entries: u32, seed: u64, what: &str) {
    let [kind, chance, size, after] = [1, 2, 3, 4].map(|n| random(seed.wrapping_mul(7) + n));
    let fault = FAULTS[(kind % FAULTS.len() as u64) as usize]
        .replace("CHANCE", ["0.02", "0.2", "0.5", "1"][(chance % 4) as usize])
        .replace("SEED", &seed.to_string())
        .replace("AFTER", &(after % 40).to_string());
    let burst = match size % 4 {
        0 => 1,
        1 => entries,
        _ => 1 + (size >> 8) as u32 % entries,
    };
    let what = format!("{what}, seed {seed}, bursts of {burst}, {fault}");
    let before = trial.counted();
    trial.arm(&fault);
    for _ in 0..(200 / burst).clamp(3, 40) {
        raise(trial, burst, true);
    }
    let faults = trial.clear();
    trial.guest.flush();
    let ready = trial.guest.session.source().wait_ready(ANEW);
    assert!(ready, "{what}: the device is not set up anew");
    let middle = trial.counted();
    let outcome = Outcome {
        before,
        faults,
        after: middle,
    };
    outcome.assert_balanced(&what);
    // Registers that lied were told so; nothing else may be on its way.
    let good = entries.min(50);
    for _ in 0..GOOD.div_ceil(good) {
        raise(trial, good, false);
    }
    let outcome = Outcome {
        before: middle,
        faults: Vec::new(),
        after: trial.counted(),
    };
    outcome.assert_all_delivered(GOOD.div_ceil(good) * good, &format!("after {what}"));
}

/// Seeds `from` and on, a slice for each configuration in turn.
fn campaign(from: u64, seeds: u64) {
    let mut done = 0;
    for vcpus in [1, 2] {
        let machine = Machine {
            vcpus,
            ..machine(ClockKind::Wall)
        };
        let mut guest = Guest::boot_bare(&machine);
        guest.session.load_module([]).expect("the driver loads");
        let mut trial = Trial::with(guest, Mechanism::Netlink);
        let half = if vcpus == 1 { seeds.div_ceil(2) } else { seeds };
        while done < half {
            let slice = (from + done) / SLICE.min(seeds.div_ceil(2));
            let entries = ENTRIES[(slice % 4) as usize];
            let context = ["hardirq", "workqueue"][(slice / 4 % 2) as usize];
            let what = format!("{vcpus} vCPU, {context}, {entries} entries");
            let parameters = [("context", context), ("ring_entries", &entries.to_string())];
            trial = trial.reload(&parameters, Mechanism::Netlink);
            let end = (done + SLICE).min(half);
            eprintln!("{what}: seeds {} to {}", from + done, from + end - 1);
            for seed in from + done..from + end {
                try_seed(&mut trial, entries, seed, &what);
            }
            done = end;
        }
    }
}

#[test]
fn every_account_balances_whatever_the_seed() {
    campaign(0, 16);
}

#[test]
#[ignore = "as long as it is asked to be: ./just faults-campaign"]
fn seeds_of_a_campaign() {
    let seeds = number_from("IRQBED_SEEDS", 0);
    if seeds > 0 {
        campaign(number_from("IRQBED_FIRST_SEED", 0), seeds);
    }
}
