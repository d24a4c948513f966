// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One guest for as long as is asked for: mechanisms, contexts, interrupts, rates, payloads
//! and faults as a seed has them, listeners that die, the driver loaded anew for each, resets
//! and suspends in the middle of events. Every account balances, the kernel has nothing to say,
//! and neither the host nor the guest keeps memory or descriptors. `./just soak MINUTES SEED`
//! runs it on the debug kernel.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use irqbed_abi::control::{Behaviour, PmTest, SleepState, Suspend};
use irqbed_machine::{
    progress::Progress,
    qemu::{ClockKind, Machine},
};
use irqbed_measure::{
    bench::Bench,
    measure::{Plan, Rate},
};
use irqbed_results::mechanism::{self, Context, InterruptType, Mechanism, Pair};

use crate::{
    account,
    mechanisms::roomy,
    support::{Guest, LOOK_FOR_LEAKS, kmemleak, machine, number_from, sh, unicast},
};

/// How long it is where nobody asks for more.
const SHORT: Duration = Duration::from_secs(30);
/// Rounds until everything has been used once, and memory is what it stays.
const WARM: u32 = 30;
/// What irqbed may grow by after that, as an allocator keeps pages.
const GROWTH_KIB: u64 = 32 << 10;
/// The same of QEMU, which keeps the code that it has translated, 1 GiB at most: a driver that
/// is loaded anew is new code.
const QEMU_GROWTH_KIB: u64 = (1 << 20) + GROWTH_KIB;
/// How long kmemleak may take to look at all memory.
const SCAN: Duration = Duration::from_secs(600);
/// How long a guest sleeps.
const ASLEEP: Duration = Duration::from_millis(300);
/// Events that are delivered at the end of each round that disturbs.
const GOOD: u64 = 200;

/// Those that leave the device its rings.
const FAULTS: [&str; 16] = [
    "irq-lost:chance=CHANCE,seed=SEED",
    "irq-lost",
    "irq-duplicated:gap=50us,chance=CHANCE,seed=SEED",
    "irq-delayed:mean=3ms,distribution=exponential,chance=CHANCE,seed=SEED",
    "irq-spurious:rate=2000",
    "irq-storm:interrupts=100,rate=20000,chance=0.02,seed=SEED",
    "dma-torn:bytes=8,rest=1ms,length=32,chance=CHANCE,seed=SEED",
    "dma-torn:bytes=20,rest=never,length=32,chance=CHANCE,seed=SEED",
    "dma-late:mean=2ms,length=16,chance=CHANCE,seed=SEED",
    "dma-late:mean=2ms,length=32,chance=CHANCE,seed=SEED",
    "dma-misplaced:offset=64,length=32,chance=CHANCE,seed=SEED",
    "dma-misplaced:place=outside,length=4,chance=CHANCE,seed=SEED",
    "dma-corrupted:bits=1,chance=CHANCE,seed=SEED",
    "dma-corrupted:bits=9,length=32,chance=CHANCE,seed=SEED",
    "completions-swapped:chance=CHANCE,seed=SEED",
    "dma-late:mean=30ms,distribution=exponential,length=4,chance=CHANCE,seed=SEED",
];

fn any<T: Copy>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())]
}

/// What a process holds on to: KiB that are its own alone, and descriptors.
fn held_by(process: &str) -> (u64, usize) {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    let kib = kib.and_then(|kib| kib.parse().ok()).expect("a number");
    let open = fs::read_dir(format!("/proc/{process}/fd")).expect("it runs");
    (kib, open.count())
}

/// A benchmark as the seed has it, in which nothing is timed.
fn bench(random: &mut Rng, machine: &Machine, mechanisms: &[Mechanism]) -> Bench {
    let pair = Pair {
        mechanism: any(random, mechanisms),
        context: any(random, Context::ALL),
    };
    let batches = mechanism::batches(pair.mechanism) && random.bool();
    let listeners = random.u32(1..=3);
    let most = mechanism::most_listeners(pair.mechanism).unwrap_or(listeners);
    let fault = |random: &mut Rng| {
        let chance = any(random, &["0.02", "0.2", "0.5"]);
        let fault = any(random, &FAULTS).replace("CHANCE", chance);
        let fault = fault.replace("SEED", &random.u32(..).to_string());
        fault
            .parse()
            .unwrap_or_else(|error| panic!("{fault}: {error}"))
    };
    let faults = (0..any(random, &[0, 0, 1, 1, 2]))
        .map(|_| fault(random))
        .collect();
    let entries = any(random, &["64", "256", "1024"]);
    Bench {
        // Counting instructions needs no clock of the guest's to be known.
        machine: Machine {
            clock: ClockKind::Instructions,
            ..machine.clone()
        },
        module_parameters: [("ring_entries".to_owned(), entries.to_owned())].into(),
        plan: Plan {
            events: random.u64(50..=500),
            rate: match random.u8(..4) {
                0 => Rate::Max { window: 32 },
                1 => Rate::Poisson {
                    hertz: 1000.0,
                    seed: random.u64(..),
                },
                _ => Rate::Hertz(random.u32(200..=2000).into()),
            },
            payload: any(random, &[0, 1, 16, 64, 1000, 4096]),
            vectors: any(random, &[1, 1, 4, 32]),
            burst: any(random, &[1, 1, 8, 64]),
        },
        batch: if batches { 16 } else { 1 },
        interrupt: any(random, InterruptType::ALL),
        listeners: listeners.min(most),
        receive_buffer: random.bool().then_some(4 << 20),
        faults,
        ..Bench::new(machine, pair)
    }
}

fn run_bench(guest: &mut Guest, bench: &Bench, what: &str) {
    let session = &mut guest.session;
    bench
        .prepare(session)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let result = bench.run(session, &Progress::hidden());
    let result = result.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert_eq!(result.problems(), [""; 0], "{what}: {result:#?}");
    bench
        .put_away(session)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
}

/// What happens to a guest while events arrive.
#[derive(Debug, Clone, Copy)]
enum Disturbance {
    ListenersDie,
    Reset,
    Suspend(Suspend),
}

impl Disturbance {
    fn any(random: &mut Rng) -> Self {
        let pm_test = any(
            random,
            &[
                None,
                Some(PmTest::Freezer),
                Some(PmTest::Devices),
                Some(PmTest::Platform),
            ],
        );
        any(
            random,
            &[
                Self::ListenersDie,
                Self::Reset,
                Self::Suspend(Suspend {
                    state: SleepState::Freeze,
                    pm_test,
                    pause_s: 0,
                }),
            ],
        )
    }

    fn happen(self, guest: &mut Guest) {
        thread::sleep(Duration::from_millis(50));
        match self {
            Self::ListenersDie => {
                for _ in 0..3 {
                    let listener = guest.session.listen(unicast()).expect("a listener");
                    thread::sleep(Duration::from_millis(20));
                    let report = guest.session.end_listener(listener, true);
                    report.expect("a report");
                }
            }
            Self::Reset => {
                let script = "echo 1 >$(dirname /sys/bus/pci/drivers/irqbed/*/reset)/reset";
                sh(&mut guest.session, script);
            }
            Self::Suspend(suspend) => {
                let slept = guest.session.guest().suspend(suspend, ASLEEP);
                slept.unwrap_or_else(|error| panic!("{suspend}: {error}"));
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn disturb(guest: &mut Guest, random: &mut Rng, number: u32) {
    let disturbance = Disturbance::any(random);
    let irq = any(random, InterruptType::ALL);
    let context = any(random, Context::ALL);
    let what = format!(
        "round {number}: {disturbance:?}, {}, {}",
        irq.title(),
        context.as_str()
    );
    println!("{what}");
    let parameters = [("irq", irq.as_str()), ("context", context.as_str())];
    let parameters = parameters.map(|(name, value)| (name, value.to_owned()));
    guest.session.load_module(parameters).expect("it loads");
    let outcome = account::over(guest, Mechanism::Netlink, 2, |guest| {
        disturbance.happen(guest);
    });
    match disturbance {
        Disturbance::ListenersDie => outcome.assert_balanced_beside_others(&what),
        _ => outcome.assert_balanced(&what),
    }
    let spec = roomy(Mechanism::Netlink, Behaviour::Measure);
    let listener = guest.session.listen(spec).expect("a listener");
    assert_eq!(guest.raise(GOOD, 64).delivered(), GOOD, "after {what}");
    let report = guest.session.end_listener(listener, false);
    assert_eq!(report.expect("a report").received, GOOD, "after {what}");
    guest.session.unload_module().expect("nothing holds it");
}

/// What a script for kmemleak says, where the kernel has it; `None` where it has not.
fn leaks(guest: &mut Guest, script: &str) -> Option<String> {
    let look = "test -e /sys/kernel/debug/kmemleak || echo no";
    if !sh(&mut guest.session, look).is_empty() {
        return None;
    }
    Some(kmemleak(SCAN, &mut guest.session, script))
}

#[test]
fn nothing_is_lost_or_kept_in_the_long_run() {
    let length = match number_from("IRQBED_SOAK_MINUTES", 0) {
        0 => SHORT,
        minutes => Duration::from_secs(60 * minutes),
    };
    let mut random = Rng::with_seed(number_from("IRQBED_SEED", 1));
    let machine = Machine {
        vcpus: 2,
        ..machine(ClockKind::Wall)
    };
    let mut guest = Guest::boot_bare(&machine);
    let mount = ["mount", "-t", "debugfs", "none", "/sys/kernel/debug"];
    guest.session.run(&mount).expect("mount runs");
    leaks(&mut guest, "echo scan >kmemleak; echo clear >kmemleak");
    let mut mechanisms = guest.known(Mechanism::ALL);
    // It takes the device from the driver.
    mechanisms.retain(|mechanism| *mechanism != Mechanism::Vfio);
    let qemu = guest.session.qemu_id().to_string();
    let held = || [held_by("self"), held_by(&qemu)];
    let (begun, mut warm) = (Instant::now(), None);
    let mut number = 0;
    while begun.elapsed() < length {
        if random.u8(..4) == 0 {
            disturb(&mut guest, &mut random, number);
        } else {
            let bench = bench(&mut random, &machine, &mechanisms);
            let what = format!("round {number}: {bench:?}");
            println!("round {number}: {}, {:?}", bench.pair, bench.faults);
            run_bench(&mut guest, &bench, &what);
        }
        number += 1;
        if number == WARM {
            warm = Some(held());
            println!("after {WARM} rounds: {warm:?} (KiB, descriptors)");
        }
    }
    let raised = guest.session.source().counters().raised;
    println!("{number} rounds, {raised} events, {:.0?}", begun.elapsed());
    let now = held();
    println!("irqbed, QEMU: {warm:?} became {now:?} (KiB, descriptors)");
    let found = leaks(&mut guest, LOOK_FOR_LEAKS);
    println!(
        "kmemleak: {}",
        if found.is_some() {
            "silent"
        } else {
            "not there"
        }
    );
    assert_eq!(found.unwrap_or_default(), "");
    // What the driver says of records that faults have spoilt.
    let mut complaints = guest.complaints();
    complaints.retain(|line| !line.starts_with("irqbed ") && !line.contains("irqbed_"));
    assert!(complaints.is_empty(), "{complaints:#?}");
    let Some(warm) = warm else { return };
    for (which, growth) in [(0, GROWTH_KIB), (1, QEMU_GROWTH_KIB)] {
        let (before, now) = (warm[which], now[which]);
        assert!(now.0 <= before.0 + growth, "{before:?} {now:?}");
        assert_eq!(now.1, before.1, "descriptors");
    }
}
