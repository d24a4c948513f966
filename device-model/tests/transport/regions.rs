// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Regions: what is said of them, and how they are read and written.

use device_model::vfio_user::{Command, HEADER_SIZE, MAX_DATA, MAX_MESSAGE};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::fixture::*;

fn region_info(index: u32, argsz: u32) -> Vec<u8> {
    words(&[argsz, 0, index, 0, 0, 0, 0, 0])
}

#[test]
fn a_region_that_is_mapped_in_parts_says_which() {
    let mut fixture = Fixture::new();
    let trapped = fixture.takes(Command::RegionGetInfo, &region_info(BAR_TRAPPED, 32));
    assert_eq!(trapped.body, words(&[32, 3, 0, 0, 0x20_0000, 0, 0, 0]));
    assert!(trapped.fds.is_empty());
    let whole = 32 + 16 + 2 * 16;
    let short = fixture.takes(Command::RegionGetInfo, &region_info(BAR_MAPPED, whole - 1));
    assert_eq!(short.body, words(&[whole, 7, 2, 0, 0x4000, 0, 0, 0]));
    let long = fixture.takes(Command::RegionGetInfo, &region_info(BAR_MAPPED, whole));
    assert_eq!(long.body[..32], words(&[whole, 15, 2, 32, 0x4000, 0, 0, 0]));
    assert_eq!(long.body[32..48], words(&[1 | 1 << 16, 0, 2, 0]));
    let areas = [0_u64, 0x1000, 0x2000, 0x1000];
    assert_eq!(&long.body[48..], areas.as_bytes());
    assert_eq!((short.fds.len(), long.fds.len()), (1, 1));
    let absent = fixture.takes(Command::RegionGetInfo, &region_info(6, 4096));
    assert_eq!(absent.body, words(&[32, 0, 6, 0, 0, 0, 0, 0]));
    fixture.refuses(Command::RegionGetInfo, &region_info(9, 32), Errno::INVAL);
    fixture.refuses(Command::RegionGetInfo, &region_info(0, 31), Errno::INVAL);
}

#[test]
fn a_client_that_takes_no_descriptors_is_sent_none() {
    let mut fixture = Fixture::silent();
    fixture.version(b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":0}}\0");
    let info = fixture.takes(Command::RegionGetInfo, &region_info(BAR_MAPPED, 4096));
    assert_eq!(info.body, words(&[32, 3, 2, 0, 0x4000, 0, 0, 0]));
    assert!(info.fds.is_empty());
    let fds = fixture.takes(Command::RegionGetIoFds, &words(&[4096, 0, 0, 0]));
    assert_eq!(fds.body, words(&[16, 0, 0, 0]));
}

#[test]
fn doorbells_are_offered_where_there_are_some() {
    let mut fixture = Fixture::new();
    let none = fixture.takes(Command::RegionGetIoFds, &words(&[4096, 0, 2, 0]));
    assert_eq!(none.body, words(&[16, 0, 2, 0]));
    let short = fixture.takes(Command::RegionGetIoFds, &words(&[16, 0, 0, 0]));
    assert_eq!(short.body, words(&[16 + 80, 0, 0, 2]));
    assert!(short.fds.is_empty());
    let long = fixture.takes(Command::RegionGetIoFds, &words(&[96, 0, 0, 0]));
    assert_eq!(long.body[..16], words(&[96, 0, 0, 2]));
    let first = words(&[0x10, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
    let second = words(&[0x14, 0, 4, 0, 0, 0, 1, 0, 7, 0]);
    assert_eq!(long.body[16..], [first, second].concat());
    assert_eq!(long.fds.len(), 1, "they share it");
    fixture.refuses(
        Command::RegionGetIoFds,
        &words(&[96, 1, 0, 0]),
        Errno::INVAL,
    );
    fixture.refuses(
        Command::RegionGetIoFds,
        &words(&[96, 0, 9, 0]),
        Errno::INVAL,
    );
}

#[test]
fn regions_are_read_and_written_up_to_the_negotiated_length() {
    let mut fixture = Fixture::new();
    let data: Vec<u8> = (0..MAX_DATA).map(|n| n as u8 ^ (n >> 8) as u8).collect();
    let at = access(BAR_TRAPPED, 3, MAX_DATA);
    let written = fixture.takes(Command::RegionWrite, &[at.clone(), data.clone()].concat());
    assert_eq!(written.body, at);
    let read = fixture.takes(Command::RegionRead, &at);
    assert_eq!((&read.body[..16], &read.body[16..]), (&at[..], &data[..]));
    assert_eq!(HEADER_SIZE + read.body.len(), MAX_MESSAGE);
    let empty = fixture.takes(Command::RegionRead, &access(BAR_TRAPPED, 0, 0));
    assert_eq!(empty.body.len(), 16);
    let too_long = access(BAR_TRAPPED, 0, MAX_DATA + 1);
    fixture.refuses(Command::RegionRead, &too_long, Errno::TOOBIG);
    let wild = access(BAR_TRAPPED, 0, u32::MAX);
    fixture.refuses(Command::RegionRead, &wild, Errno::TOOBIG);
    let lies = [access(BAR_TRAPPED, 0, 8), vec![0; 7]].concat();
    fixture.refuses(Command::RegionWrite, &lies, Errno::INVAL);
}

#[test]
fn accesses_outside_of_a_region_are_refused() {
    let mut fixture = Fixture::new();
    for (region, offset) in [
        (BAR_MSIX, 0xffd),
        (BAR_MSIX, 0x1000),
        (BAR_MSIX, u64::MAX - 1),
        (BAR_MAPPED, 0x3ffd),
        (CONFIG, 0x1000),
        (1, 0),
        (6, 0),
        (8, 0),
        (9, 0),
        (u32::MAX, 0),
    ] {
        let at = access(region, offset, 4);
        fixture.refuses(Command::RegionRead, &at, Errno::INVAL);
        let write = [at, vec![0; 4]].concat();
        fixture.refuses(Command::RegionWrite, &write, Errno::INVAL);
    }
}

#[test]
fn short_writes_may_come_together() {
    let mut fixture = Fixture::new();
    let write = |offset, count, byte: u8| [access(BAR_TRAPPED, offset, count), vec![byte; 8]];
    let body = |count: u64, writes: &[[Vec<u8>; 2]]| {
        [vec![count.as_bytes().to_vec()], writes.concat()]
            .concat()
            .concat()
    };
    let both = body(2, &[write(0, 4, 1), write(4, 8, 2)]);
    let done = fixture.takes(Command::RegionWriteMulti, &both);
    assert_eq!(done.body, 2_u64.as_bytes());
    let read = fixture.takes(Command::RegionRead, &access(BAR_TRAPPED, 0, 13));
    assert_eq!(read.body[16..], [1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 0]);
    for nonsense in [
        body(3, &[write(0, 4, 3)]),
        body(0, &[write(0, 4, 3)]),
        body(u64::MAX, &[write(0, 4, 3)]),
        body(1, &[write(0, 9, 3)]),
    ] {
        fixture.refuses(Command::RegionWriteMulti, &nonsense, Errno::INVAL);
    }
    let second_fails = body(2, &[write(0, 1, 9), write(0x20_0000, 1, 9)]);
    fixture.refuses(Command::RegionWriteMulti, &second_fails, Errno::INVAL);
}
