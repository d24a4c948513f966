// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is special about the mechanisms with io_uring: the kernel chooses the
//! buffers, there are only so many of them, and the request may end.

use irqbed_abi::control::{Behaviour, ListenerSpec};
use irqbed_machine::qemu::ClockKind;
use irqbed_results::mechanism::{Context, Mechanism};

use crate::{
    mechanisms::{load, roomy},
    support::{Guest, machine, signal_listeners},
};

const BOTH: [Mechanism; 2] = [Mechanism::IoUring, Mechanism::NetlinkIoUring];

#[test]
fn more_events_than_buffers_are_taken_in_order_by_few_wake_ups() {
    const EVENTS: u64 = 300;
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for mechanism in guest.known(&BOTH) {
        load(&mut guest, mechanism, Context::Hardirq);
        let number = guest
            .session
            .listen(roomy(mechanism, Behaviour::Measure))
            .expect("a listener");
        assert_eq!(guest.raise(10, 64).delivered(), 10);
        let before = guest.session.report(number).expect("a report");
        signal_listeners(&mut guest, "STOP");
        assert_eq!(guest.raise(EVENTS, 64).delivered(), 0);
        signal_listeners(&mut guest, "CONT");
        let after = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (
                after.received,
                after.out_of_order,
                after.bad_payload,
                after.malformed,
                after.overrun_signals
            ),
            (10 + EVENTS, 0, 0, 0, 0),
            "{mechanism:?}"
        );
        // 64 buffers, or 16: each wake-up brings as many events at most.
        let wake_ups = after.wake_ups - before.wake_ups;
        assert!((5..100).contains(&wake_ups), "{mechanism:?}: {after:?}");
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn a_datagram_longer_than_the_buffer_is_reported() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::NetlinkIoUring, Context::Hardirq);
    let spec = ListenerSpec {
        // The message's header, the event's description and half of its payload.
        read_size: Some(16 + 24 + 32),
        ..ListenerSpec::new(Mechanism::NetlinkIoUring, Behaviour::Measure)
    };
    let number = guest.session.listen(spec).expect("a listener");
    assert_eq!(guest.raise(100, 32).delivered(), 100);
    assert_eq!(guest.raise(100, 64).delivered(), 0);
    assert_eq!(guest.raise(100, 32).delivered(), 100);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!((report.received, report.malformed), (200, 100));
    guest.assert_quiet();
}

#[test]
fn a_socket_that_overran_is_told_from_buffers_that_ran_out() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    load(&mut guest, Mechanism::NetlinkIoUring, Context::Hardirq);
    let number = guest
        .session
        .listen(ListenerSpec::new(
            Mechanism::NetlinkIoUring,
            Behaviour::Measure,
        ))
        .expect("a listener");
    assert_eq!(guest.raise(10, 64).delivered(), 10);
    signal_listeners(&mut guest, "STOP");
    assert_eq!(guest.raise(1000, 1024).delivered(), 0);
    let full = guest.flush().socket_full;
    assert!(full > 0);
    signal_listeners(&mut guest, "CONT");
    // It goes on where it was, with what the socket still held. Until it has
    // all of that, the socket takes nothing.
    while guest.session.report(number).expect("a report").received < 1010 - full {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert_eq!(guest.raise(10, 64).delivered(), 10);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!(report.received, 1020 - full);
    assert_eq!(
        (report.kernel_drops, report.overrun_signals),
        (full, 1),
        "{report:?}"
    );
    guest.assert_quiet();
}
