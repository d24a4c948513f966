// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies that are wrong, come twice or too late: an error to who sent them,
//! counted, and nothing to the device.

use std::{
    thread,
    time::{Duration, Instant},
};

use irqbed_abi::{
    control::{Reply, Request},
    genetlink::{A_EVENT_SEQ, A_EVENT_SLOT, CMD_REPLY},
    netlink::MSG_REPLY,
    trace::SLOTS,
};

use crate::{
    family::{GENERIC, attribute, family, genl},
    support::{Guest, error_of, message, send, send_to, unicast},
};

/// Errors of the kernel.
const EPERM: i32 = -1;
const EFAULT: i32 = -14;
const ENODEV: i32 = -19;
const EINVAL: i32 = -22;
const ESTALE: i32 = -116;

/// `ReplyRequest` of the ABI.
fn reply(seq: u64, slot: u32, reserved: u32) -> Vec<u8> {
    let mut bytes = seq.to_le_bytes().to_vec();
    bytes.extend(slot.to_le_bytes());
    bytes.extend(reserved.to_le_bytes());
    bytes
}

/// Events and slots that are wrong while event 5 is in slot 4, and their errors.
const WRONG: &[(&str, u64, u32, i32)] = &[
    ("no event", 0, 4, EINVAL),
    ("a slot out of range", 5, SLOTS, EINVAL),
    ("a slot far out of range", 5, u32::MAX, EINVAL),
    ("another event's slot", 5, 3, ESTALE),
    ("an event to come", 70_000, 4, ESTALE),
];

/// The same in a `ReplyRequest`, and what else can be wrong with one.
fn wrong_requests() -> Vec<(&'static str, Vec<u8>, i32)> {
    let wrong = WRONG
        .iter()
        .map(|&(name, seq, slot, error)| (name, reply(seq, slot, 0), error));
    wrong
        .chain([("a reserved field", reply(5, 4, 1), EINVAL)])
        .collect()
}

/// The same where a request has a length, and what can be wrong with that.
fn wrong_replies() -> Vec<(&'static str, Vec<u8>, i32)> {
    let mut wrong = wrong_requests();
    wrong.extend([
        ("too short", reply(5, 4, 0)[..15].to_vec(), EINVAL),
        ("too long", [reply(5, 4, 0), vec![0]].concat(), EINVAL),
        ("nothing", Vec::new(), EINVAL),
    ]);
    wrong
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

/// The attributes of a reply by generic netlink.
fn event_and_slot(seq: u64, slot: u32) -> [Vec<u8>; 2] {
    [
        attribute(12, A_EVENT_SEQ, &seq.to_le_bytes()),
        attribute(8, A_EVENT_SLOT, &slot.to_le_bytes()),
    ]
}

#[test]
fn a_wrong_reply_by_generic_netlink_is_an_error_to_the_sender_and_counted() {
    let mut guest = guest_that_has_not_replied();
    let family = family(&mut guest);
    let [event, slot] = event_and_slot(5, 4);
    let lacking = "irqbed: no event or no trace slot given";
    let mut wrong = vec![
        ("no number", slot, EINVAL, lacking),
        ("no slot", event, EINVAL, lacking),
        ("nothing", Vec::new(), EINVAL, lacking),
    ];
    for &(name, seq, slot, error) in WRONG {
        let words = match error {
            ESTALE => "irqbed: the trace slot is another event's",
            _ => "irqbed: no such event or trace slot",
        };
        wrong.push((name, event_and_slot(seq, slot).concat(), error, words));
    }
    for (name, attributes, expected, words) in &wrong {
        let request = genl(family, CMD_REPLY, attributes);
        let answers = send_to(&mut guest, GENERIC, request, false);
        assert_eq!(answers.len(), 1, "{name}: {answers:?}");
        let text = String::from_utf8_lossy(&answers[0]);
        assert_eq!(error_of(&answers[0]), *expected, "{name}: {text}");
        assert!(text.contains(words), "{name}: {text}");
    }
    let right = genl(family, CMD_REPLY, &event_and_slot(5, 4).concat());
    let answers = send_to(&mut guest, GENERIC, right, true);
    assert_eq!(error_of(&answers[0]), EPERM, "an unprivileged process");
    // Of that one generic netlink did not tell the driver.
    assert_only_refused(&mut guest, wrong.len() as u64);
}

/// Hands a request to the driver by its ioctl, or none: its error.
fn ioctl(guest: &mut Guest, request: Option<&[u8]>) -> i32 {
    let request = request.map(|bytes| bytes.try_into().expect("the bytes of a request"));
    let request = Request::ReplyByIoctl { request };
    match guest.session.ask(request).expect("the agent replies") {
        Reply::Returned { errno } => -errno,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_wrong_reply_by_ioctl_is_an_error_to_the_sender_and_counted() {
    let mut guest = guest_that_has_not_replied();
    let wrong = wrong_requests();
    for (name, bytes, expected) in &wrong {
        assert_eq!(ioctl(&mut guest, Some(bytes)), *expected, "{name}");
    }
    assert_eq!(ioctl(&mut guest, None), EFAULT, "an address of nothing");
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
    assert_eq!(error_of(&answers[0]), ENODEV);
    let family = family(&mut guest);
    let request = genl(family, CMD_REPLY, &event_and_slot(5, 4).concat());
    let answers = send_to(&mut guest, GENERIC, request, false);
    assert_eq!(error_of(&answers[0]), ENODEV);
    let counters = guest.flush();
    assert_eq!((counters.bad_reply, counters.replies), (3, 0));
    assert_eq!(guest.session.source().counters().replies, 0);
    guest.assert_quiet();
}
