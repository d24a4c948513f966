// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other direction: each event is replied to, and the device sees it.

use std::{
    thread,
    time::{Duration, Instant},
};

use host_harness::{
    measure::Run,
    mechanism::{Context, Mechanism, Pair},
    qemu::{ClockKind, Machine},
};
use irqbed_abi::{
    control::{Behaviour, ListenerSpec, ReplyBy},
    netlink::MSG_REPLY,
    trace::SLOTS,
};

use crate::support::{Guest, error_of, machine, message, send, unicast};

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

/// `EPERM`, `EINVAL` and `ESTALE` of the kernel.
const EPERM: i32 = -1;
const EINVAL: i32 = -22;
const ESTALE: i32 = -116;

/// `ReplyRequest` of the ABI.
fn reply(seq: u64, slot: u32, reserved: u32) -> Vec<u8> {
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.extend(slot.to_le_bytes());
    bytes.extend(reserved.to_le_bytes());
    bytes
}

/// Replies that are wrong while event 5 is in slot 4, and their errors.
fn wrong_replies() -> Vec<(&'static str, Vec<u8>, i32)> {
    vec![
        ("no event", reply(0, 4, 0), EINVAL),
        ("a slot out of range", reply(5, SLOTS, 0), EINVAL),
        ("a slot far out of range", reply(5, u32::MAX, 0), EINVAL),
        ("a reserved field", reply(5, 4, 1), EINVAL),
        ("another event's slot", reply(5, 3, 0), ESTALE),
        ("an event to come", reply(70_000, 4, 0), ESTALE),
        ("too short", reply(5, 4, 0)[..15].to_vec(), EINVAL),
        ("too long", [reply(5, 4, 0), vec![0]].concat(), EINVAL),
        ("nothing", Vec::new(), EINVAL),
    ]
}

/// A guest whose listener has received events 1 to 10 and not replied.
fn guest_that_has_not_replied() -> Guest {
    let mut guest = Guest::boot();
    guest.session.listen(unicast()).expect("a listener");
    assert_eq!(guest.raise(10, 16).delivered(), 10);
    guest
}

/// `count` replies were refused, nothing reached the device, and events do.
fn assert_only_refused(guest: &mut Guest, count: u64) {
    let counters = guest.flush();
    assert_eq!((counters.bad_reply, counters.replies), (count, 0));
    assert_eq!(counters.bad_request, 0);
    let device = guest.session.source().counters();
    assert_eq!((device.replies, device.unknown_replies), (0, 0));
    assert_eq!(guest.raise(10, 16).delivered(), 10);
    guest.assert_quiet();
}

#[test]
fn a_wrong_reply_by_netlink_is_an_error_to_the_sender_and_counted() {
    let mut guest = guest_that_has_not_replied();
    let wrong = wrong_replies();
    for (name, payload, expected) in &wrong {
        let length = 16 + u32::try_from(payload.len()).expect("a short payload");
        let answers = send(&mut guest, message(length, MSG_REPLY, 0, payload), false);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        assert_eq!(error_of(&answers[0]), *expected, "{name}");
    }
    let answers = send(&mut guest, message(32, MSG_REPLY, 0, &reply(5, 4, 0)), true);
    assert_eq!(error_of(&answers[0]), EPERM, "an unprivileged process");
    assert_only_refused(&mut guest, wrong.len() as u64 + 1);
}

/// Writes bytes to the device in one piece: exit status, and what dd said.
fn write(guest: &mut Guest, bytes: &[u8]) -> (i32, String) {
    let octal: String = bytes.iter().map(|byte| format!("\\{byte:03o}")).collect();
    let script = format!("printf '{octal}' | dd of=/dev/irqbed0 bs=64");
    let (status, _, said) = guest.session.run(&["sh", "-c", &script]).expect("sh runs");
    (status, said)
}

#[test]
fn a_wrong_reply_by_write_is_an_error_to_the_sender_and_counted() {
    let mut guest = guest_that_has_not_replied();
    // Of nothing, dd writes nothing.
    let wrong: Vec<_> = wrong_replies()
        .into_iter()
        .filter(|(_, bytes, _)| !bytes.is_empty())
        .collect();
    for (name, bytes, expected) in &wrong {
        let (status, said) = write(&mut guest, bytes);
        let reason = match *expected {
            ESTALE => "Stale",
            _ => "Invalid argument",
        };
        assert_ne!(status, 0, "{name}");
        assert!(said.contains(reason), "{name}: {said}");
    }
    assert_only_refused(&mut guest, wrong.len() as u64);
}

#[test]
fn a_second_reply_to_an_event_is_counted_by_the_device() {
    let mut guest = guest_that_has_not_replied();
    for (seen, unknown) in [(1, 0), (1, 1)] {
        assert_eq!(write(&mut guest, &reply(5, 4, 0)).0, 0);
        // The driver's write is posted: the process may be back before.
        let deadline = Instant::now() + Duration::from_secs(5);
        let device = loop {
            let device = guest.session.source().counters();
            if device.replies + device.unknown_replies == seen + unknown
                || Instant::now() > deadline
            {
                break device;
            }
            thread::sleep(Duration::from_millis(1));
        };
        assert_eq!((device.replies, device.unknown_replies), (seen, unknown));
    }
    assert_eq!(guest.flush().replies, 2);
    assert_eq!(guest.raise(10, 16).delivered(), 10);
}

#[test]
fn an_unprivileged_process_gets_neither_the_device_nor_its_doorbell() {
    let mut guest = guest_that_has_not_replied();
    const SCRIPT: &str = "echo 'nobody:x:65534:65534::/:/bin/sh' > /etc/passwd
        su nobody -c 'echo > /dev/irqbed0'";
    let (status, _, said) = guest.session.run(&["sh", "-c", SCRIPT]).expect("sh runs");
    assert_ne!(status, 0);
    assert!(said.contains("Permission denied"), "{said}");
    assert_only_refused(&mut guest, 0);
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

#[test]
fn a_reply_to_a_device_that_is_gone_is_refused() {
    let mut guest = guest_that_has_not_replied();
    const SCRIPT: &str = "set -e
        exec 3<>/dev/irqbed0
        cd /sys/bus/pci/drivers/irqbed
        echo 0* > unbind
        printf '\\5\\0\\0\\0\\0\\0\\0\\0\\4\\0\\0\\0\\0\\0\\0\\0' | dd bs=64 >&3";
    let (status, _, said) = guest.session.run(&["sh", "-c", SCRIPT]).expect("sh runs");
    assert_ne!(status, 0);
    assert!(said.contains("No such device"), "{said}");
    let answers = send(
        &mut guest,
        message(32, MSG_REPLY, 0, &reply(5, 4, 0)),
        false,
    );
    assert_eq!(error_of(&answers[0]), -19, "ENODEV");
    let counters = guest.flush();
    assert_eq!((counters.bad_reply, counters.replies), (2, 0));
    assert_eq!(guest.session.source().counters().replies, 0);
    guest.assert_quiet();
}
