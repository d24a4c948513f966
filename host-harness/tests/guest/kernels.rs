// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kernels beside the stock one: what every kernel is asked in few seconds, on
//! the newest of them. `./just test-matrix` has all tests run on each.

use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_machine::{
    artefacts::{ArtefactError, Artefacts},
    qemu::{ClockKind, Machine},
};
use irqbed_measure::measure::{Plan, Rate};
use irqbed_results::mechanism::{Context, Mechanism};

use crate::{
    mechanisms::load,
    support::{Guest, artefacts, kernel, machine, skip},
};

/// The newest kernel there is a name for.
const NEWEST: &str = "7.3";

/// One of each kind: sockets, files, memory, and each context once.
const PAIRS: [(Mechanism, Context); 4] = [
    (Mechanism::Netlink, Context::Hardirq),
    (Mechanism::Genetlink, Context::Workqueue),
    (Mechanism::Read, Context::Bh),
    (Mechanism::Uio, Context::Threaded),
];

#[test]
fn the_newest_kernel_delivers_by_every_kind_of_mechanism() {
    let artefacts = Artefacts::locate().expect("the tests run after `./just setup`");
    let artefacts = match artefacts.with_kernel(NEWEST) {
        Err(ArtefactError::AbsentKernel(_)) => {
            return skip("`./just kernel 7.3` was not run");
        }
        other => other.expect("a name that there is"),
    };
    let mut guest = Guest::boot_parts(&artefacts, &machine(ClockKind::Wall));
    for (mechanism, context) in PAIRS {
        load(&mut guest, mechanism, context);
        let spec = ListenerSpec::new(mechanism, Behaviour::Measure);
        let number = guest.session.listen(spec).expect("a listener");
        let run = guest.run(&Plan {
            events: 200,
            rate: Rate::Max { window: 8 },
            payload: 64,
            vectors: 4,
            ..Plan::default()
        });
        assert_eq!(run.delivered(), 200, "{mechanism:?} in {context:?}");
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (report.received, report.bad_payload),
            (200, 0),
            "{mechanism:?} in {context:?}"
        );
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

/// What the driver says of its handler, and the harness makes of it.
#[track_caller]
fn assert_forced(guest: &mut Guest, pair: (Mechanism, Context), by: Option<&str>) {
    load(guest, pair.0, pair.1);
    let threadirqs = ["threadirqs".to_owned()];
    let forced = guest.session.handler_forced_by(&threadirqs);
    assert_eq!(forced.expect("the agent answers"), by, "{pair:?}");
    guest.session.unload_module().expect("the driver unloads");
}

#[test]
fn a_handler_that_the_kernel_moves_into_a_thread_is_named_so() {
    let own = artefacts();
    let mut guest = Guest::boot_parts(
        &own,
        &Machine {
            kernel_parameters: vec!["threadirqs".to_owned()],
            ..machine(ClockKind::Wall)
        },
    );
    // Where locks sleep, or are checked as if they did, the notifier's decide.
    let name = kernel().unwrap_or_default();
    let moved = match name.rsplit_once('-') {
        Some((_, "rt")) => Some("PREEMPT_RT"),
        Some((_, "debug")) => Some("threadirqs"),
        _ => None,
    };
    assert_forced(&mut guest, (Mechanism::Netlink, Context::Hardirq), moved);
    for context in [Context::Threaded, Context::Bh, Context::Workqueue] {
        assert_forced(&mut guest, (Mechanism::Netlink, context), None);
    }
    assert_forced(&mut guest, (Mechanism::MmapPoll, Context::Hardirq), None);
    guest.assert_quiet();
}
