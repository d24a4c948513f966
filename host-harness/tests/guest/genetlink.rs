// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The generic netlink family: who may ask it for what, and what becomes of its
//! subscribers.

use host_harness::qemu::ClockKind;
use irqbed_abi::{
    control::{Behaviour, ListenerSpec, Mechanism, Request},
    genetlink::{
        A_COUNTERS_INTERRUPTS, A_SUBSCRIPTION_VECTORS, CMD_EVENT, CMD_GET_COUNTERS, CMD_SUBSCRIBE,
        CMD_UNSUBSCRIBE,
    },
};

use crate::support::{Guest, error_of, machine, message, send_to};

/// `NETLINK_GENERIC`, and from linux/genetlink.h: `GENL_ID_CTRL`,
/// `CTRL_CMD_GETFAMILY`, `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_FAMILY_NAME`,
/// `CTRL_ATTR_MCAST_GROUPS`, `CTRL_ATTR_MCAST_GRP_ID`.
const GENERIC: Option<u32> = Some(16);
const CONTROLLER: u16 = 16;
const GET_FAMILY: u8 = 3;
const FAMILY_ID: u16 = 1;
const FAMILY_NAME: u16 = 2;
const GROUPS: u16 = 7;
const GROUP_ID: u16 = 2;

fn boot(mechanism: Mechanism) -> Guest {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    guest
        .session
        .load_module([("notifier", mechanism.as_str().to_owned())])
        .expect("the driver loads");
    guest
}

/// A netlink attribute: `nlattr` as in linux/netlink.h, padded.
fn attribute(declared: u16, kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = declared.to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A generic netlink message, `genlmsghdr` and attributes behind its header.
fn genl(family: u16, command: u8, attributes: &[u8]) -> Vec<u8> {
    let body = [&[command, 1, 0, 0], attributes].concat();
    let len = u32::try_from(16 + body.len()).expect("a short message");
    message(len, family, 0, &body)
}

/// The value of an attribute among others.
fn value(mut attributes: &[u8], wanted: u16) -> &[u8] {
    while let [len0, len1, kind0, kind1, ..] = *attributes {
        let len = usize::from(u16::from_le_bytes([len0, len1]));
        if u16::from_le_bytes([kind0, kind1]) & 0x3fff == wanted {
            return &attributes[4..len];
        }
        attributes = &attributes[len.next_multiple_of(4)..];
    }
    panic!("no attribute {wanted}");
}

/// The attributes of an answer.
fn attributes(answer: &[u8]) -> &[u8] {
    &answer[20..]
}

/// What the kernel says of the family.
fn described(guest: &mut Guest) -> Vec<u8> {
    let name = attribute(11, FAMILY_NAME, b"irqbed\0");
    let request = genl(CONTROLLER, GET_FAMILY, &name);
    let mut answers = send_to(guest, GENERIC, request, false);
    attributes(&answers.remove(0)).to_vec()
}

/// The number that the kernel gave to the family.
fn family(guest: &mut Guest) -> u16 {
    let described = described(guest);
    let id = value(&described, FAMILY_ID);
    u16::from_le_bytes(id.try_into().expect("a u16"))
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
            "Attribute failed policy validation",
        ),
        ("a header alone", message(16, family, 0, &[]), EINVAL, ""),
        (
            "nobody who unsubscribes",
            genl(family, CMD_UNSUBSCRIBE, &[]),
            ENOENT,
            "irqbed: not subscribed",
        ),
    ];
    for (name, bytes, error, words) in cases {
        let answers = send_to(&mut guest, GENERIC, bytes, false);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        let text = String::from_utf8_lossy(&answers[0]);
        assert_eq!(error_of(&answers[0]), error, "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
    }
    let counters = guest.flush();
    assert_eq!((counters.bad_request, counters.subscribers), (1, 0));
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
fn the_family_is_there_with_its_notifiers_only() {
    let mut guest = boot(Mechanism::Netlink);
    let spec = || ListenerSpec::new(Mechanism::Genetlink, Behaviour::Count);
    let error = guest.session.listen(spec()).expect_err("no family");
    assert!(
        error
            .to_string()
            .contains("no generic netlink family irqbed"),
        "{error}"
    );

    guest.session.unload_module().expect("the driver unloads");
    guest
        .session
        .load_module([("notifier", "genetlink-multicast".to_owned())])
        .expect("the driver loads");
    let error = guest.session.listen(spec()).expect_err("no subscribers");
    assert!(
        error.to_string().contains("takes no subscribers"),
        "{error}"
    );
    assert_eq!(guest.flush().bad_request, 1);
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
