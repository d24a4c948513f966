// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The client's memory comes and goes.

use std::os::fd::AsFd;

use device_model::vfio_user::Command;
use rustix::io::Errno;

use crate::fixture::*;

#[test]
fn memory_is_mapped_and_unmapped_with_and_without_a_descriptor() {
    let mut fixture = Fixture::new();
    let file = memfd(0x2000);
    let with = fixture.takes_with(
        Command::DmaMap,
        &map(3, 0x1000, 0x1000, 0x1000),
        &[file.as_fd()],
    );
    assert!(with.body.is_empty());
    fixture.takes(Command::DmaMap, &map(1, 0, 0x8000, 0x1000));
    for (body, errno) in [
        (map(3, 0, 0x1800, 0x1000), Errno::EXIST),
        (map(3, 0, 0x8000, 0x1000), Errno::EXIST),
        (map(3, 0, 0x4000, 0), Errno::INVAL),
        (map(3, 0, u64::MAX, 2), Errno::INVAL),
        (map(0, 0, 0x4000, 0x1000), Errno::INVAL),
        (map(7, 0, 0x4000, 0x1000), Errno::INVAL),
    ] {
        fixture.refuses(Command::DmaMap, &body, errno);
    }
    let behind = map(3, 0x2000, 0x4000, 0x1000);
    let answer = fixture
        .client
        .ask_with(Command::DmaMap as u16, &behind, &[file.as_fd()]);
    assert_eq!(answer.errno(), Some(22), "behind the end of the file");
    fixture.refuses(Command::DmaUnmap, &unmap(0, 0x1000, 0x800), Errno::INVAL);
    fixture.refuses(
        Command::DmaUnmap,
        &unmap(1, 0x1000, 0x1000),
        Errno::OPNOTSUPP,
    );
    for (flags, address, size) in [(8, 0, 0), (2, 0x1000, 0), (2, 0, 0x1000)] {
        let unmap = unmap(flags, address, size);
        fixture.refuses(Command::DmaUnmap, &unmap, Errno::INVAL);
    }
    let gone = fixture.takes(Command::DmaUnmap, &unmap(0, 0x1000, 0x1000));
    assert_eq!(gone.body, unmap(0, 0x1000, 0x1000));
    fixture.takes(Command::DmaMap, &map(3, 0, 0x1000, 0x1000));
    fixture.takes(Command::DmaMap, &map(3, 0, u64::MAX - 0xfff, 0x1000));
    fixture.takes(Command::DmaUnmap, &unmap(2, 0, 0));
    fixture.takes(Command::DmaMap, &map(3, 0, 0, u64::MAX));
}
