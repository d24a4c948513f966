// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The generic netlink family: who may ask it for what, and what becomes of its
//! subscribers.

use irqbed_abi::{
    control::{Behaviour, ListenerSpec, Mechanism, Request},
    genetlink::{
        A_COUNTERS_INTERRUPTS, A_EVENT_PAYLOAD, A_EVENT_SEQ, A_EVENT_SLOT, A_SUBSCRIPTION_VECTORS,
        CMD_EVENT, CMD_GET_COUNTERS, CMD_REPLY, CMD_SUBSCRIBE, CMD_UNSUBSCRIBE,
    },
};
use irqbed_machine::qemu::ClockKind;

use crate::{
    family::{
        CONTROLLER, FAMILY_NAME, GENERIC, GET_FAMILY, GROUP_ID, GROUPS, attribute, attributes,
        described, family, genl, value,
    },
    support::{Guest, error_of, machine, message, send_to},
};

fn boot(mechanism: Mechanism) -> Guest {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    guest
        .session
        .load_module([("notifier", mechanism.as_str().to_owned())])
        .expect("the driver loads");
    guest
}

fn vectors(mask: u32) -> Vec<u8> {
    attribute(8, A_SUBSCRIPTION_VECTORS, &mask.to_le_bytes())
}

#[test]
fn bad_requests_are_answered_with_a_reason_and_counted_where_they_reach_the_driver() {
    const ENOENT: i32 = -2;
    const EINVAL: i32 = -22;
    const ERANGE: i32 = -34;
    const EOPNOTSUPP: i32 = -95;
    let mut guest = boot(Mechanism::Genetlink);
    let family = family(&mut guest);
    let subscribe = |attributes: &[u8]| genl(family, CMD_SUBSCRIBE, attributes);
    let reply = |attributes: &[u8]| genl(family, CMD_REPLY, attributes);
    // What the driver itself refuses names it; the rest is generic netlink's.
    let cases = [
        ("an unknown command", genl(family, 99, &[]), EOPNOTSUPP, ""),
        (
            "an event from userspace",
            genl(family, CMD_EVENT, &[]),
            EOPNOTSUPP,
            "",
        ),
        (
            "no attribute",
            subscribe(&[]),
            EINVAL,
            "irqbed: no vectors given",
        ),
        (
            "no vectors",
            subscribe(&vectors(0)),
            ERANGE,
            "integer out of range",
        ),
        (
            "a short attribute",
            subscribe(&attribute(6, A_SUBSCRIPTION_VECTORS, &[1, 0])),
            EINVAL,
            "invalid attribute length",
        ),
        (
            "a long attribute",
            subscribe(&attribute(12, A_SUBSCRIPTION_VECTORS, &[1; 8])),
            EINVAL,
            "invalid attribute length",
        ),
        (
            "an attribute longer than the message",
            subscribe(&attribute(400, A_SUBSCRIPTION_VECTORS, &[1; 4])),
            EINVAL,
            "bytes leftover after parsing attributes",
        ),
        (
            "an unknown attribute",
            subscribe(&attribute(8, 77, &[1; 4])),
            EINVAL,
            "Unknown attribute type",
        ),
        (
            "an attribute where there is none",
            genl(family, CMD_UNSUBSCRIBE, &vectors(1)),
            EINVAL,
            // As 7.x says it, or older ones.
            "Unknown attribute type|Attribute failed policy validation",
        ),
        ("a header alone", message(16, family, 0, &[]), EINVAL, ""),
        (
            "nobody who unsubscribes",
            genl(family, CMD_UNSUBSCRIBE, &[]),
            ENOENT,
            "irqbed: not subscribed",
        ),
        (
            "a reply to half a number",
            reply(&attribute(8, A_EVENT_SEQ, &[1; 4])),
            EINVAL,
            "invalid attribute length",
        ),
        (
            "a reply with too much of a slot",
            reply(&attribute(12, A_EVENT_SLOT, &[1; 8])),
            EINVAL,
            "invalid attribute length",
        ),
        (
            "a reply with a payload",
            reply(&attribute(8, A_EVENT_PAYLOAD, &[1; 4])),
            EINVAL,
            "Unknown attribute type",
        ),
    ];
    for (name, bytes, error, words) in cases {
        let answers = send_to(&mut guest, GENERIC, bytes, false);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        let text = String::from_utf8_lossy(&answers[0]);
        assert_eq!(error_of(&answers[0]), error, "{name}: {text}");
        let has_words = words.split('|').any(|words| text.contains(words));
        assert!(has_words, "{name}: {text}");
    }
    let counters = guest.flush();
    assert_eq!((counters.bad_request, counters.subscribers), (1, 0));
    assert_eq!(counters.bad_reply, 0);
    // Attributes that make no sense are worth a line to the kernel.
    let complaints = guest.complaints();
    let of_netlink = |line: &String| line.starts_with("netlink: ");
    assert!(complaints.iter().all(of_netlink), "{complaints:#?}");
}

#[test]
fn an_unprivileged_process_may_ask_the_family_for_nothing() {
    let mut guest = boot(Mechanism::Genetlink);
    let family = family(&mut guest);
    for (command, attributes) in [
        (CMD_SUBSCRIBE, vectors(1)),
        (CMD_UNSUBSCRIBE, vec![]),
        (CMD_GET_COUNTERS, vec![]),
        (CMD_REPLY, vec![]),
    ] {
        let answers = send_to(
            &mut guest,
            GENERIC,
            genl(family, command, &attributes),
            true,
        );
        let errors: Vec<_> = answers.iter().map(|answer| error_of(answer)).collect();
        assert_eq!(errors, [-1], "EPERM for command {command}");
    }
    // Generic netlink did not ask the driver.
    let counters = guest.flush();
    assert_eq!((counters.bad_request, counters.subscribers), (0, 0));
    assert_eq!(counters.bad_reply, 0);
    guest.assert_quiet();
}

#[test]
fn an_unprivileged_process_may_not_join_the_group() {
    let mut guest = boot(Mechanism::GenetlinkMulticast);
    let described = described(&mut guest);
    let group = value(value(value(&described, GROUPS), 1), GROUP_ID);
    let group = u32::from_le_bytes(group.try_into().expect("a u32"));
    let mut join = |unprivileged| {
        guest.session.ask(Request::SendRaw {
            bytes: genl(
                CONTROLLER,
                GET_FAMILY,
                &attribute(11, FAMILY_NAME, b"irqbed\0"),
            ),
            protocol: GENERIC,
            group: Some(group),
            unprivileged,
        })
    };
    join(false).expect("root joins");
    let error = join(true).expect_err("nobody does not").to_string();
    assert!(
        error.contains("join") && error.contains("not permitted"),
        "{error}"
    );
    guest.assert_quiet();
}

#[test]
fn a_second_subscription_of_a_socket_changes_the_first() {
    let mut guest = boot(Mechanism::Genetlink);
    let family = family(&mut guest);
    // Three requests of one socket, in one datagram.
    let requests = [
        genl(family, CMD_SUBSCRIBE, &vectors(1)),
        genl(family, CMD_SUBSCRIBE, &vectors(2)),
        genl(family, CMD_GET_COUNTERS, &[]),
    ];
    let answers = send_to(&mut guest, GENERIC, requests.concat(), false);
    assert_eq!((error_of(&answers[0]), error_of(&answers[1])), (0, 0));
    let subscribers = value(attributes(&answers[2]), A_COUNTERS_INTERRUPTS + 11);
    assert_eq!(subscribers, 1_u64.to_le_bytes());
    let counters = guest.flush();
    assert_eq!((counters.subscribers, counters.listeners_forgotten), (0, 1));
    guest.assert_quiet();
}

#[test]
fn a_killed_subscriber_of_the_family_is_forgotten() {
    let mut guest = boot(Mechanism::Genetlink);
    let spec = || ListenerSpec::new(Mechanism::Genetlink, Behaviour::Measure);
    let victim = guest.session.listen(spec()).expect("a listener");
    assert_eq!(guest.raise(100, 64).delivered(), 100);
    let last = guest.session.end_listener(victim, true).expect("a report");
    assert_eq!((last.received, last.alive), (100, false));
    assert_eq!(guest.raise(50, 64).delivered(), 0);
    let counters = guest.flush();
    assert_eq!(
        (
            counters.subscribers,
            counters.listeners_forgotten,
            counters.no_listener
        ),
        (0, 1, 50)
    );
    guest.session.listen(spec()).expect("a new listener");
    assert_eq!(guest.raise(50, 64).delivered(), 50);
    guest.assert_quiet();
}

#[test]
fn three_listeners_hear_one_multicast_and_one_that_never_reads_costs_only_itself() {
    let mut guest = boot(Mechanism::GenetlinkMulticast);
    let mut listen = |behaviour, room| {
        let spec = ListenerSpec {
            receive_buffer: Some(room),
            ..ListenerSpec::new(Mechanism::GenetlinkMulticast, behaviour)
        };
        guest.session.listen(spec).expect("a listener")
    };
    let listeners =
        [Behaviour::Measure, Behaviour::Count].map(|behaviour| listen(behaviour, 8 << 20));
    let sleeper = listen(Behaviour::Stall, 16 << 10);
    assert_eq!(guest.raise(500, 64).delivered(), 500);
    let counters = guest.flush();
    assert_eq!((counters.sent, counters.socket_full), (500, 0));
    for number in listeners {
        let report = guest.session.end_listener(number, false).expect("a report");
        assert_eq!(
            (report.received, report.bad_payload, report.kernel_drops),
            (500, 0, 0)
        );
    }
    let report = guest.session.end_listener(sleeper, true).expect("a report");
    assert!(
        report.received == 0 && report.kernel_drops > 0,
        "{report:?}"
    );
    guest.assert_quiet();
}

#[test]
fn the_family_is_there_always_and_takes_subscribers_with_its_notifier_only() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for notifier in ["netlink", "chardev", "genetlink-multicast"] {
        guest
            .session
            .load_module([("notifier", notifier.to_owned())])
            .expect("the driver loads");
        let spec = ListenerSpec::new(Mechanism::Genetlink, Behaviour::Count);
        let error = guest.session.listen(spec).expect_err("no subscribers");
        assert!(
            error
                .to_string()
                .contains("takes no subscribers by this protocol"),
            "{notifier}: {error}"
        );
        assert_eq!(guest.flush().bad_request, 1, "{notifier}");
        guest.session.unload_module().expect("the driver unloads");
    }
    guest.assert_quiet();
}

#[test]
fn the_driver_unloads_under_a_subscriber_of_its_family() {
    let mut guest = boot(Mechanism::Genetlink);
    let spec = || ListenerSpec::new(Mechanism::Genetlink, Behaviour::Count);
    let left = guest.session.listen(spec()).expect("a listener");
    guest.session.unload_module().expect("the driver unloads");
    guest
        .session
        .load_module([("notifier", "genetlink".to_owned())])
        .expect("the driver loads");
    assert_eq!(guest.flush().subscribers, 0);
    guest
        .session
        .listen(ListenerSpec::new(Mechanism::Genetlink, Behaviour::Measure))
        .expect("a listener");
    assert_eq!(guest.raise(100, 16).delivered(), 100);
    // Its goodbye finds another family, or none, and that is an answer too.
    let report = guest.session.end_listener(left, false).expect("a report");
    assert_eq!(report.received, 0);
    guest.assert_quiet();
}
