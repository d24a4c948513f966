// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is agreed on first, and what is refused whatever was.

use device_model::vfio_user::{Command, MAX_DATA, MAX_FDS};
use rustix::io::Errno;

use crate::{fixture::*, raw::CAPABILITIES};

#[test]
fn the_version_and_what_both_sides_can_do_are_negotiated() {
    let mut fixture = Fixture::silent();
    let answer = fixture.version(CAPABILITIES);
    assert_eq!(answer.body[..4], [0; 4]);
    // What the process could map otherwise is its own.
    let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap();
    let limit = limit.trim().parse::<u64>().unwrap();
    let json = std::str::from_utf8(&answer.body[4..]).unwrap();
    let json = json.strip_suffix('\0').unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    let maps = json["capabilities"]["max_dma_maps"].as_u64().unwrap();
    assert!(
        maps > 0 && maps < limit && maps <= 65_535,
        "{maps} of {limit}"
    );
    let expected = serde_json::json!({"capabilities": {
        "max_msg_fds": MAX_FDS,
        "max_data_xfer_size": MAX_DATA,
        "max_dma_maps": maps,
        "pgsizes": 4096,
        "write_multiple": true,
    }});
    assert_eq!(json, expected);
    fixture.refuses(Command::Version, CAPABILITIES, Errno::INVAL);
}

#[test]
fn a_client_without_capabilities_is_told_the_least() {
    let mut fixture = Fixture::silent();
    let answer = fixture.version(&[0, 0, 9, 0]);
    assert_eq!(answer.body[..4], [0; 4], "a minor version that both speak");
    let json = String::from_utf8(answer.body[4..].to_vec()).unwrap();
    assert!(!json.contains("write_multiple") && !json.contains("pgsizes"));
    fixture.refuses(Command::RegionWriteMulti, &[0; 8], Errno::OPNOTSUPP);
}

#[test]
fn a_version_that_makes_no_sense_is_refused_and_may_be_tried_again() {
    let mut fixture = Fixture::silent();
    let long = [b"\0\0\0\0".as_slice(), &[b' '; 70_000], b"{}\0"].concat();
    let nested = [b"\0\0\0\0".as_slice(), &[b'['; 60_000], b"\0"].concat();
    let nonsense: [(&[u8], Errno); 9] = [
        (b"", Errno::INVAL),
        (b"\0\0\0", Errno::INVAL),
        (b"\x01\0\0\0{}\0", Errno::OPNOTSUPP),
        (b"\0\0\0\0{}", Errno::INVAL),
        (b"\0\0\0\0{}\0\0", Errno::INVAL),
        (
            b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":-1}}\0",
            Errno::INVAL,
        ),
        (
            b"\0\0\0\0{\"capabilities\":{\"max_data_xfer_size\":0}}\0",
            Errno::INVAL,
        ),
        (&long, Errno::TOOBIG),
        (&nested, Errno::INVAL),
    ];
    for (body, errno) in nonsense {
        let answer = fixture.version(body);
        assert_eq!(answer.errno(), Some(errno.raw_os_error() as u32));
        let answer = fixture
            .client
            .ask(Command::RegionRead, &access(CONFIG, 0, 2));
        assert_eq!(answer.errno(), Some(22), "nothing is negotiated");
    }
    fixture.version(CAPABILITIES);
    fixture.still_serves();
}

#[test]
fn what_does_not_exist_or_is_not_for_a_server_is_refused() {
    let mut fixture = Fixture::new();
    for command in [0, 19, 0x7fff, 0xffff] {
        let answer = fixture.client.ask_with(command, &[1; 40], &[]);
        assert_eq!(answer.errno(), Some(Errno::NOSYS.raw_os_error() as u32));
    }
    for command in [
        Command::DmaRead,
        Command::DmaWrite,
        Command::DirtyPages,
        Command::DeviceFeature,
        Command::MigrationRead,
        Command::MigrationWrite,
    ] {
        fixture.refuses(command, &[0; 24], Errno::OPNOTSUPP);
    }
}

#[test]
fn bodies_of_a_wrong_length_are_refused() {
    let mut fixture = Fixture::new();
    for number in 2..=15 {
        let command = Command::new(number).unwrap();
        if matches!(
            command,
            Command::DmaRead | Command::DmaWrite | Command::DirtyPages
        ) {
            continue;
        }
        for len in [1, 3, 7, 15, 17, 33, 63, 1000] {
            fixture.refuses(command, &vec![0xff; len], Errno::INVAL);
        }
    }
}

#[test]
fn the_device_says_what_it_has() {
    let mut fixture = Fixture::new();
    let info = fixture.takes(Command::DeviceGetInfo, &words(&[16, 0, 0, 0]));
    assert_eq!(info.body, words(&[16, 3, 9, 5]));
    fixture.refuses(Command::DeviceGetInfo, &words(&[15, 0, 0, 0]), Errno::INVAL);
    let irq = fixture.takes(Command::IrqGetInfo, &words(&[16, 0, MSIX, 0]));
    assert_eq!(irq.body, words(&[16, 1, MSIX, 4]));
    fixture.refuses(Command::IrqGetInfo, &words(&[16, 0, 5, 0]), Errno::INVAL);
    fixture.refuses(Command::IrqGetInfo, &words(&[8, 0, 0, 0]), Errno::INVAL);
}
