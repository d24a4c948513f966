// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Descriptors that a client passes are closed, whatever becomes of it. One test
//! alone: what another had open would be counted.

#[path = "transport/fixture.rs"]
mod fixture;
#[path = "transport/raw.rs"]
mod raw;
#[path = "common/send.rs"]
mod send;

use std::os::fd::AsFd;

use device_model::{ServerEnd, vfio_user::Command};
use fixture::*;
use raw::{message, open_files};

#[test]
fn nothing_stays_open() {
    descriptors_where_none_belong_and_too_many_are_closed();
    a_client_that_leaves_at_any_byte_leaves_nothing_open();
}

fn descriptors_where_none_belong_and_too_many_are_closed() {
    let mut fixture = Fixture::new();
    let file = memfd(0x1000);
    let before = open_files();
    let read = access(CONFIG, 0, 2);
    let many = [file.as_fd(); 40];
    for fds in [1, 2, 16, 17, 40] {
        let fds = &many[..fds];
        let read = fixture
            .client
            .ask_with(Command::RegionRead as u16, &read, fds);
        assert_eq!(read.errno(), Some(22));
        let none = fixture.client.ask_with(0, &[], fds);
        assert!(none.errno().is_some());
        let connect = irqs(EVENTFD | TRIGGER, MSIX, 0, fds.len() as u32, &[]);
        let connect = fixture
            .client
            .ask_with(Command::SetIrqs as u16, &connect, fds);
        assert_eq!(connect.errno(), Some(22));
        if fds.len() > 1 {
            let map = map(3, 0, 0, 0x1000);
            let map = fixture.client.ask_with(Command::DmaMap as u16, &map, fds);
            assert_eq!(map.errno(), Some(22));
        }
        fixture.still_serves();
    }
    assert_eq!(open_files(), before);
}

fn a_client_that_leaves_at_any_byte_leaves_nothing_open() {
    let before = open_files();
    let file = memfd(0x1000);
    let mapping = message(9, Command::DmaMap as u16, 0, &map(3, 0, 0, 0x1000));
    for cut in 1..=mapping.len() {
        let fixture = Fixture::new();
        fixture
            .client
            .send(&mapping[..cut], &[file.as_fd()])
            .unwrap();
        drop(fixture.client);
        let end = fixture.server.wait(raw::PATIENCE);
        assert_eq!(end, Some(ServerEnd::ClientLeft));
    }
    drop(file);
    assert_eq!(open_files(), before);
}
