// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of executed instructions says the same as the stamps, and shows a
//! delay where it was put; and the stamps cost little.

use std::collections::{BTreeMap, BTreeSet};

use irqbed_abi::trace::VERDICT_OK;
use irqbed_machine::{execution_log::ExecutionLog, progress::Progress, qemu::ClockKind};
use irqbed_observe::path::{self, Functions, Journey, Logged, Plan};
use irqbed_results::mechanism::{Context, Mechanism, Pair};

use crate::support::{Guest, machine};

const EVENTS: u64 = 5;

fn plan(mechanism: Mechanism, context: Context) -> Plan {
    Plan {
        pair: Pair { mechanism, context },
        events: EVENTS,
        payload: 16,
        stamps: true,
        module_parameters: Vec::new(),
    }
}

struct Logging {
    guest: Guest,
    log: ExecutionLog,
}

impl Logging {
    fn boot() -> Self {
        let log = ExecutionLog::new().expect("memory");
        let guest = Guest::boot_logged(&machine(ClockKind::Instructions), &log);
        Self { guest, log }
    }

    /// Logs in the order of lengths, and unloads the driver again.
    fn record(&mut self, plan: &Plan) -> Vec<Logged> {
        let session = &mut self.guest.session;
        plan.prepare(session).expect("the driver loads");
        let logged = path::record(session, plan, &self.log, &Progress::hidden())
            .unwrap_or_else(|error| panic!("{}: {error}", plan.pair));
        assert_eq!(logged.len() as u64, EVENTS);
        logged
    }

    fn unload(&mut self) {
        self.guest
            .session
            .unload_module()
            .expect("the driver unloads");
    }

    /// The instructions of each function, in each event, of a part of its journey.
    fn by_function(
        &mut self,
        logged: &[Logged],
        part: impl Fn(&Journey) -> &[u64],
    ) -> BTreeMap<String, BTreeSet<u64>> {
        let parts = logged.iter().map(|event| part(&event.journey));
        let addresses = Functions::unknown(&parts.clone().collect::<Vec<_>>().concat());
        let symbols = self.guest.session.symbols(addresses);
        let functions = Functions::new(symbols.expect("the guest names its functions"));
        let counts: Vec<BTreeMap<_, _>> = parts
            .map(|instructions| {
                let counted = functions.count(instructions).into_iter();
                counted.map(|one| (one.name, one.instructions)).collect()
            })
            .collect();
        let names: BTreeSet<&String> = counts.iter().flat_map(BTreeMap::keys).collect();
        let of = |name: &String| {
            let each = counts.iter();
            each.map(|event| event.get(name).copied().unwrap_or_default())
                .collect()
        };
        names
            .into_iter()
            .map(|name| (name.clone(), of(name)))
            .collect()
    }
}

impl Logging {
    /// The least that each function of the path has in any of the events, all together: what
    /// depends on the time or on a cache is more in some of them.
    fn least(&mut self, logged: &[Logged]) -> u64 {
        let functions = self.by_function(logged, |journey| &journey.instructions);
        let counted = functions.iter().filter(|(name, _)| !is_unsteady(name));
        counted.filter_map(|(_, counts)| counts.first()).sum()
    }
}

#[test]
fn the_path_has_as_many_instructions_as_the_stamps_say() {
    let mut logging = Logging::boot();
    for (mechanism, context) in [
        (Mechanism::Netlink, Context::Hardirq),
        (Mechanism::Read, Context::Workqueue),
        (Mechanism::MmapPoll, Context::Bh),
    ] {
        let plan = plan(mechanism, context);
        for Logged { slot, journey } in logging.record(&plan) {
            let measured = journey.measured.clone().expect("it was stamped").len();
            assert_eq!(measured as u64, slot.user - slot.isr, "{}", plan.pair);
            assert!(measured < journey.instructions.len());
        }
        logging.unload();
    }
    logging.guest.assert_quiet();
}

/// What costs more or less for other reasons. The scheduler averages over the time that has
/// passed, which is more with a delay: load, and how long a processor is idle
/// (`ttwu_do_activate`; before Linux 6.2 `ttwu_do_wakeup`). A tree is now of one depth and now
/// of another, as kmemleak's of all memory.
const UNSTEADY: [&str; 6] = [
    "__update_load_avg",
    "update_load_avg",
    "ttwu_do_",
    "__link_object",
    "__lookup_object",
    "rb_",
];

fn is_unsteady(name: &str) -> bool {
    UNSTEADY.iter().any(|function| name.starts_with(function))
}

#[test]
fn a_delay_shows_in_the_function_that_it_is_in_and_nowhere_else() {
    const DELAY: u64 = 2000;
    let mut logging = Logging::boot();
    let mut plan = plan(Mechanism::Netlink, Context::Hardirq);
    let without = logging.record(&plan);
    let mut without = logging.by_function(&without, Journey::shown);
    logging.unload();
    plan.module_parameters = vec![("delay_insns".to_owned(), DELAY.to_string())];
    let with = logging.record(&plan);
    let mut with = logging.by_function(&with, Journey::shown);

    // The delay is part of the interrupt handler, not a function of its own.
    let handler = "irqbed_interrupt [irqbed]";
    let of_handler = |functions: &mut BTreeMap<String, BTreeSet<u64>>| {
        let counts = functions.remove(handler).expect("the handler");
        assert_eq!(counts.len(), 1, "{counts:?}");
        counts.first().copied().expect("an event")
    };
    assert_eq!(of_handler(&mut with), of_handler(&mut without) + DELAY);
    // What depends on the time or on a cache differs from event to event too.
    let none = BTreeSet::from([0]);
    let names: BTreeSet<&String> = with.keys().chain(without.keys()).collect();
    let moved: Vec<_> = names
        .into_iter()
        .filter(|name| !is_unsteady(name))
        .map(|name| {
            let of = |functions: &BTreeMap<_, _>| functions.get(name).unwrap_or(&none).clone();
            (name, of(&without), of(&with))
        })
        .filter(|(_, without, with)| without.is_disjoint(with))
        .collect();
    assert!(moved.is_empty(), "{moved:?}");
}

#[test]
fn stamps_cost_at_most_two_percent_of_the_shortest_path() {
    let mut logging = Logging::boot();
    // The stamps are the same code for all; here nothing depends on a loop.
    let mut plan = plan(Mechanism::Eventfd, Context::Hardirq);
    let with = logging.record(&plan);
    let with = logging.least(&with);
    logging.unload();
    plan.stamps = false;
    let logged = logging.record(&plan);
    let without = logging.least(&logged);
    logging.unload();
    for Logged { slot, journey } in &logged {
        assert_eq!((slot.isr, slot.notify, slot.user), (0, 0, 0));
        assert_eq!(slot.verdict, VERDICT_OK);
        assert_eq!(journey.measured, None);
    }
    plan.pair.mechanism = Mechanism::MmapPoll;
    let floor = logging.record(&plan);
    let floor = logging.least(&floor);
    // Patched branches of the driver, and the agent's reading of its clock and
    // its branch, are there without stamps too.
    let left = 3 + 4 + 2;
    assert!(with > without, "{with} with stamps, {without} without");
    let cost = (with - without) + left;
    assert!(cost * 50 <= floor, "{cost} of {floor} instructions");
}
