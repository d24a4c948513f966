// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other direction: each event is replied to, and the device sees it.

use irqbed_abi::control::{Behaviour, ListenerSpec, ReplyBy};
use irqbed_machine::qemu::{ClockKind, Machine};
use irqbed_measure::measure::Run;
use irqbed_results::mechanism::{Context, Mechanism, Pair};

use crate::support::{Guest, machine, unicast};

const EVENTS: u64 = 1000;

/// With room for all events of a test, however late a busy host lets it run.
fn replying(mechanism: Mechanism, by: ReplyBy) -> ListenerSpec {
    ListenerSpec {
        receive_buffer: Some(8 << 20),
        reply: Some(by),
        ..ListenerSpec::new(mechanism, Behaviour::Measure)
    }
}

/// Every stamp is there, in the order of the journey.
fn assert_in_order(run: &Run, by: ReplyBy) {
    for trace in &run.traces {
        assert!(trace.isr.is_some(), "{trace:?}");
        assert!(trace.isr <= trace.notify, "{trace:?}");
        assert!(trace.notify < trace.user, "{trace:?}");
        assert!(trace.user <= trace.reply, "{trace:?}");
        if by == ReplyBy::Mmap {
            assert_eq!(trace.command, None, "the driver has no part in it");
        } else {
            assert!(trace.reply <= trace.command, "{trace:?}");
        }
        // On the host's own clock.
        assert!(trace.raise.is_some(), "{trace:?}");
        assert!(trace.raise < trace.device, "{trace:?}");
    }
}

/// Raises events that are all replied to, and accounts for the replies.
fn replies_by(guest: &mut Guest, mechanism: Mechanism, by: ReplyBy, events: u64) {
    let before = (guest.flush(), guest.session.source().counters());
    let spec = replying(mechanism, by);
    let number = guest.session.listen(spec).expect("a listener");
    let run = guest.raise(events, 16);
    assert_eq!(run.delivered(), events);
    assert_in_order(&run, by);
    let report = guest.session.end_listener(number, false).expect("a report");
    assert_eq!((report.replies, report.replies_unsent), (events, 0));
    let device = guest.session.source().counters().since(&before.1);
    assert_eq!((device.replies, device.unknown_replies), (events, 0));
    let driver = guest.flush();
    let by_driver = if by == ReplyBy::Mmap { 0 } else { events };
    assert_eq!(driver.replies - before.0.replies, by_driver);
    assert_eq!(driver.bad_reply, 0);
}

fn a_thousand_replies_by(by: ReplyBy) {
    let mut guest = Guest::boot();
    replies_by(&mut guest, Mechanism::Netlink, by, EVENTS);
    guest.assert_quiet();
}

#[test]
fn a_thousand_replies_by_netlink_reach_the_device() {
    a_thousand_replies_by(ReplyBy::Netlink);
}

#[test]
fn a_thousand_replies_by_generic_netlink_reach_the_device() {
    a_thousand_replies_by(ReplyBy::Genetlink);
}

#[test]
fn a_thousand_replies_by_write_reach_the_device() {
    a_thousand_replies_by(ReplyBy::Write);
}

#[test]
fn a_thousand_replies_by_ioctl_reach_the_device() {
    a_thousand_replies_by(ReplyBy::Ioctl);
}

#[test]
fn a_thousand_replies_by_the_mapped_doorbell_reach_the_device() {
    a_thousand_replies_by(ReplyBy::Mmap);
}

#[test]
fn every_way_back_goes_with_every_kind_of_way_there() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for mechanism in [
        Mechanism::NetlinkBroadcast,
        Mechanism::Genetlink,
        Mechanism::Read,
        Mechanism::Ioctl,
        Mechanism::Eventfd,
    ] {
        let context = Context::Hardirq;
        let pair = Pair { mechanism, context };
        guest
            .session
            .load_module(pair.module_parameters().into_iter().flatten())
            .unwrap_or_else(|error| panic!("{pair}: {error}"));
        for &by in ReplyBy::ALL {
            replies_by(&mut guest, mechanism, by, 100);
        }
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn who_does_not_reply_leaves_no_trace_of_it() {
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    let run = guest.raise(100, 16);
    assert_eq!(run.delivered(), 100);
    for trace in &run.traces {
        assert_eq!((trace.reply, trace.command), (None, None));
        assert_eq!(trace.device, None);
    }
    let device = guest.session.source().counters();
    assert_eq!((device.replies, device.unknown_replies), (0, 0));
}

#[test]
fn only_a_listener_that_measures_replies() {
    let mut guest = Guest::boot();
    let spec = ListenerSpec {
        behaviour: Behaviour::Count,
        ..replying(Mechanism::Netlink, ReplyBy::Write)
    };
    let error = guest.session.listen(spec).expect_err("it has no slots");
    assert!(error.to_string().contains("measures"), "{error}");
}

#[test]
fn a_doorbell_that_is_rung_for_nothing_disturbs_nobody() {
    let mut guest = Guest::boot_bare(&Machine {
        // Lets root write to a BAR that a driver has claimed.
        kernel_parameters: vec!["iomem=relaxed".to_owned()],
        ..machine(ClockKind::Wall)
    });
    guest.session.load_module([]).expect("the driver loads");
    let spec = replying(Mechanism::Netlink, ReplyBy::Mmap);
    guest.session.listen(spec).expect("a listener");
    assert_eq!(guest.raise(10, 16).delivered(), 10);
    const SCRIPT: &str = "set -e
        set -- $(sed -n 2p /sys/bus/pci/drivers/irqbed/0*/resource)
        devmem $1 32 0            # no event
        devmem $1 32 5            # replied to
        devmem $1 32 4294967295   # not raised
        devmem $1 8 11
        devmem $1 16 11
        devmem $(($1 + 4)) 32 11  # not the doorbell
        devmem $1 32 > /dev/null  # reading is harmless";
    let (status, _, said) = guest.session.run(&["sh", "-c", SCRIPT]).expect("sh runs");
    assert_eq!((status, said.as_str()), (0, ""));
    let device = guest.session.source().counters();
    assert_eq!((device.replies, device.unknown_replies), (10, 6));
    assert_eq!(guest.raise(10, 16).delivered(), 10);
    let device = guest.session.source().counters();
    assert_eq!((device.replies, device.unknown_replies), (20, 6));
    guest.assert_quiet();
}
