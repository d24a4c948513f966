// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The log of executed instructions says the same as the stamps, and shows a
//! delay where it was put; and the stamps cost little.

use std::collections::BTreeSet;

use irqbed_abi::trace::VERDICT_OK;
use irqbed_machine::{execution_log::ExecutionLog, progress::Progress, qemu::ClockKind};
use irqbed_observe::path::{self, Function, Functions, Logged, Plan};
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

    fn shortest_by_function(&mut self, logged: &[Logged]) -> Vec<Function> {
        let shortest = logged.first().expect("an event").journey.shown();
        let symbols = self.guest.session.symbols(Functions::unknown(shortest));
        Functions::new(symbols.expect("the guest names its functions")).count(shortest)
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

/// The scheduler's averages decay by the time that has passed, which is more with a delay.
const AVERAGES: [&str; 3] = ["__update_load_avg", "update_load_avg", "ttwu_do_wakeup"];

#[test]
fn a_delay_shows_in_the_function_that_it_is_in_and_nowhere_else() {
    const DELAY: u64 = 2000;
    let mut logging = Logging::boot();
    let mut plan = plan(Mechanism::Netlink, Context::Hardirq);
    let without = logging.record(&plan);
    let without = logging.shortest_by_function(&without);
    logging.unload();
    plan.module_parameters = vec![("delay_insns".to_owned(), DELAY.to_string())];
    let with = logging.record(&plan);
    let with = logging.shortest_by_function(&with);

    // The delay is part of the interrupt handler, not a function of its own.
    let handler = "irqbed_interrupt [irqbed]";
    let of_handler = |functions: &[Function]| {
        let found = functions.iter().find(|function| function.name == handler);
        found.expect("the handler").instructions
    };
    assert_eq!(of_handler(&with), of_handler(&without) + DELAY);
    let others = |functions: &[Function]| {
        let is_other = |function: &&Function| {
            let is_average = AVERAGES.iter().any(|name| function.name.starts_with(name));
            function.name != handler && !is_average
        };
        let others = functions.iter().filter(is_other);
        let others = others.map(|function| (function.name.clone(), function.instructions));
        others.collect::<BTreeSet<_>>()
    };
    let (with, without) = (others(&with), others(&without));
    let moved: Vec<_> = with.symmetric_difference(&without).collect();
    assert!(moved.is_empty(), "{moved:?}");
}

#[test]
fn stamps_cost_at_most_two_percent_of_the_shortest_path() {
    let mut logging = Logging::boot();
    // The stamps are the same code for all; here nothing depends on a loop.
    let mut plan = plan(Mechanism::Eventfd, Context::Hardirq);
    let with = logging.record(&plan);
    logging.unload();
    plan.stamps = false;
    let without = logging.record(&plan);
    logging.unload();
    for Logged { slot, journey } in &without {
        assert_eq!((slot.isr, slot.notify, slot.user), (0, 0, 0));
        assert_eq!(slot.verdict, VERDICT_OK);
        assert_eq!(journey.measured, None);
    }
    plan.pair.mechanism = Mechanism::MmapPoll;
    let floor = logging.record(&plan);
    let shortest = |logged: &[Logged]| {
        let shortest = logged.first().expect("an event");
        shortest.journey.instructions.len()
    };
    // Patched branches of the driver, and the agent's reading of its clock and
    // its branch, are there without stamps too.
    let left = 3 + 4 + 2;
    let (with, without) = (shortest(&with), shortest(&without));
    assert!(with > without, "{with} with stamps, {without} without");
    let cost = (with - without) + left;
    let floor = shortest(&floor);
    assert!(cost * 50 <= floor, "{cost} of {floor} instructions");
}
