// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The library's own client, at this server and at one that says strange
//! things.

use std::{
    io::{Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::FileExt, net::UnixListener},
    },
    path::Path,
    time::Duration,
};

use device_model::{
    Disconnect, Options,
    vfio_user::{Client, ClientError, Command},
};
use rustix::io::Errno;

use crate::{
    fixture::{BAR_MAPPED, BAR_TRAPPED, CONFIG, EVENTFD, Fixture, MSIX, TRIGGER, event, memfd},
    raw::{CAPABILITIES, PATIENCE, message},
};

fn reset() -> Options {
    Options::default().on_disconnect(Disconnect::Reset)
}

/// The client of a fixture that nobody else is connected to.
fn client(fixture: &mut Fixture) -> Client {
    // The fixture's own leaves.
    fixture
        .client
        .stream
        .shutdown(std::net::Shutdown::Both)
        .unwrap();
    Client::connect(&fixture.path, PATIENCE).unwrap()
}

#[test]
fn a_client_reads_and_writes_what_the_server_has() {
    let mut fixture = Fixture::with(reset());
    let mut client = client(&mut fixture);
    let trapped = client.region(BAR_TRAPPED).unwrap();
    assert!(trapped.read && trapped.write && trapped.file.is_none());
    assert_eq!(trapped.size, 0x20_0000);
    assert_eq!(client.region(9).unwrap().size, 0, "there are nine");

    let mut vendor = [0; 2];
    client.region_read(CONFIG, 0, &mut vendor).unwrap();
    assert_eq!(vendor, [0xed, 0x1b]);
    for width in [1, 2, 4, 8] {
        let data = &[0x5a; 8][..width];
        client.region_write(BAR_TRAPPED, 64, data).unwrap();
        let mut read = [0; 8];
        client
            .region_read(BAR_TRAPPED, 64, &mut read[..width])
            .unwrap();
        assert_eq!(&read[..width], data);
    }
    let mapped = client.region(BAR_MAPPED).unwrap().file.unwrap();
    mapped.write_all_at(&[7; 4], 0).unwrap();
    let mut read = [0; 4];
    client.region_read(BAR_MAPPED, 0, &mut read).unwrap();
    assert_eq!(read, [7; 4]);

    client
        .dma_map(0x1000, 0x1000, memfd(0x1000).as_fd())
        .unwrap();
    let again = client.dma_map(0x1000, 0x1000, memfd(0x1000).as_fd());
    assert!(matches!(
        again,
        Err(ClientError::Refused {
            command: Command::DmaMap,
            errno: Errno::EXIST
        })
    ));
    let eventfd = event();
    client
        .set_irqs(MSIX, EVENTFD | TRIGGER, 0, 1, &[eventfd.as_fd()])
        .unwrap();
}

#[test]
fn a_client_says_what_a_server_refuses_and_goes_on() {
    let mut fixture = Fixture::with(reset());
    let mut client = client(&mut fixture);
    let refused = client.region_read(BAR_TRAPPED, 0x20_0000, &mut [0; 4]);
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("RegionRead"), "{error}");
    client.region_read(BAR_TRAPPED, 0, &mut [0; 4]).unwrap();
}

#[test]
fn a_client_does_not_wait_for_ever_behind_another() {
    let fixture = Fixture::with(reset());
    let limit = Duration::from_secs(1);
    let error = Client::connect(&fixture.path, limit).unwrap_err();
    assert!(matches!(error, ClientError::Silent(_)), "{error}");
}

/// What a client makes of a server that answers with these bytes and hangs up.
fn answered(bytes: &[u8]) -> ClientError {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let listener = UnixListener::bind(&path).unwrap();
    let bytes = bytes.to_vec();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        stream.write_all(&bytes).unwrap();
    });
    let error = Client::connect(Path::new(&path), PATIENCE).unwrap_err();
    server.join().unwrap();
    error
}

#[test]
fn an_answer_of_no_sense_is_an_error_and_no_more() {
    let good = message(1, Command::Version as u16, 1, CAPABILITIES);
    let other = message(2, Command::Version as u16, 1, CAPABILITIES);
    let command = message(1, Command::DmaRead as u16, 0, &[0; 16]);
    for bytes in [other, command, vec![0; 16], vec![0xff; 64], [0; 8].to_vec()] {
        let error = answered(&bytes);
        let told = matches!(error, ClientError::Nonsense { .. } | ClientError::HungUp);
        assert!(told, "{error:?} after {bytes:?}");
    }
    for cut in 0..good.len() {
        assert!(
            matches!(answered(&good[..cut]), ClientError::HungUp),
            "{cut}"
        );
    }
    let refusal = message(1, Command::Version as u16, 0x21, &[]);
    assert!(matches!(answered(&refusal), ClientError::Refused { .. }));
}
