// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The stream of messages: cut anywhere, in bunches, wrong, or at its end.

use std::{os::fd::AsFd, time::Duration};

use device_model::{
    ServerEnd,
    vfio_user::{Command, MAX_DATA, MAX_MESSAGE},
};
use rustix::io::Errno;

use crate::{
    fixture::*,
    raw::{self, message},
};

#[test]
fn who_wants_no_reply_gets_none() {
    let mut fixture = Fixture::new();
    const NO_REPLY: u32 = 1 << 4;
    let write = [access(BAR_TRAPPED, 0, 4), vec![5; 4]].concat();
    let unanswered = [
        message(900, Command::RegionWrite as u16, NO_REPLY, &write),
        message(901, Command::RegionRead as u16, NO_REPLY, &[0; 3]),
        message(902, 77, NO_REPLY, &[]),
        message(903, Command::DeviceReset as u16, NO_REPLY, &[]),
        // Replies to nothing that was asked, and a message that is neither.
        message(904, Command::DmaRead as u16, 1, &[0; 16]),
        message(905, Command::RegionRead as u16, 1, &[]),
        message(906, Command::RegionRead as u16, NO_REPLY | 3, &[]),
    ];
    fixture.client.send(&unanswered.concat(), &[]).unwrap();
    let read = fixture.takes(Command::RegionRead, &access(BAR_TRAPPED, 0, 4));
    assert_eq!(read.body[16..], [5; 4]);
    let neither = message(907, Command::RegionRead as u16, 2, &access(0, 0, 4));
    fixture.client.send(&neither, &[]).unwrap();
    let answer = fixture.client.receive().unwrap().unwrap();
    assert_eq!((answer.header.id, answer.errno()), (907, Some(22)));
}

#[test]
fn commands_that_come_in_a_bunch_or_in_crumbs_are_answered_in_order() {
    let mut fixture = Fixture::new();
    let ids = 100..400_u16;
    let bunch: Vec<u8> = ids
        .clone()
        .flat_map(|id| {
            let read = access(BAR_TRAPPED, u64::from(id), 4);
            message(id, Command::RegionRead as u16, 0, &read)
        })
        .collect();
    for crumb in [bunch.len(), 1000, 33, 7] {
        for piece in bunch.chunks(crumb) {
            fixture.client.send(piece, &[]).unwrap();
        }
        for id in ids.clone() {
            let answer = fixture.client.receive().unwrap().unwrap();
            assert_eq!((answer.header.id, answer.errno()), (id, None));
        }
    }
}

#[test]
fn descriptors_belong_to_the_message_they_came_with() {
    let mut fixture = Fixture::new();
    let event = event();
    let read = message(1, Command::RegionRead as u16, 0, &access(CONFIG, 0, 2));
    let connect = irqs(EVENTFD | TRIGGER, MSIX, 0, 1, &[]);
    let connect = message(2, Command::SetIrqs as u16, 0, &connect);
    let trigger = irqs(NONE | TRIGGER, MSIX, 0, 1, &[]);
    let trigger = message(3, Command::SetIrqs as u16, 0, &trigger);
    for cut in [0, 1, 16, connect.len() - 1] {
        fixture.client.send(&read, &[]).unwrap();
        let (head, rest) = connect.split_at(connect.len() - cut);
        fixture.client.send(head, &[event.as_fd()]).unwrap();
        fixture.client.send(rest, &[]).unwrap();
        fixture.client.send(&trigger, &[]).unwrap();
        for id in 1..=3 {
            let answer = fixture.client.receive().unwrap().unwrap();
            assert_eq!((answer.header.id, answer.errno()), (id, None), "cut {cut}");
        }
        assert_eq!(count(&event), 1);
    }
}

#[test]
fn a_length_that_cannot_be_true_is_told_and_ends_the_connection() {
    for (size, errno) in [
        (0, Errno::INVAL),
        (15, Errno::INVAL),
        (MAX_MESSAGE as u32 + 1, Errno::MSGSIZE),
        (u32::MAX, Errno::MSGSIZE),
    ] {
        let mut fixture = Fixture::new();
        let mut nonsense = message(5, Command::RegionRead as u16, 0, &[]);
        nonsense[4..8].copy_from_slice(&size.to_ne_bytes());
        fixture.client.send(&nonsense, &[]).unwrap();
        let answer = fixture.client.receive().unwrap().unwrap();
        let expected = (5, Some(errno.raw_os_error() as u32));
        assert_eq!((answer.header.id, answer.errno()), expected);
        assert!(fixture.client.is_hung_up());
        let end = fixture.server.wait(raw::PATIENCE);
        assert!(matches!(end, Some(ServerEnd::Failed(_))), "{end:?}");
    }
}

#[test]
fn a_client_that_reads_nothing_holds_up_nobody_who_stops_the_server() {
    let fixture = Fixture::new();
    let read = message(1, Command::RegionRead as u16, 0, &access(0, 0, MAX_DATA));
    fixture.client.send(&read.repeat(50), &[]).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let end = fixture.server.stop(raw::PATIENCE);
    assert_eq!(end, Some(ServerEnd::Stopped));
}

#[test]
fn a_client_that_reads_nothing_is_hung_up_on() {
    let fixture = Fixture::new();
    let read = message(1, Command::RegionRead as u16, 0, &access(0, 0, MAX_DATA));
    fixture.client.send(&read.repeat(50), &[]).unwrap();
    let end = fixture.server.wait(3 * raw::PATIENCE);
    assert!(
        matches!(&end, Some(ServerEnd::Failed(why)) if why.contains("has read nothing")),
        "{end:?}"
    );
}

#[test]
fn a_device_that_panics_ends_alone_and_is_said() {
    let (mut bad, mut good) = (Fixture::new(), Fixture::new());
    let write = [access(BAR_TRAPPED, 0, 6), b"panic!".to_vec()].concat();
    let write = message(1, Command::RegionWrite as u16, 0, &write);
    bad.client.send(&write, &[]).unwrap();
    assert!(bad.client.is_hung_up());
    let end = bad.server.wait(raw::PATIENCE);
    assert!(
        matches!(&end, Some(ServerEnd::Panicked(why)) if why.message.contains("as it was told to")),
        "{end:?}"
    );
    good.still_serves();
}
