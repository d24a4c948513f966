// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How a server begins and ends, whatever the other side does.

use std::{
    fs,
    io::{Read, Write},
    os::{
        fd::AsRawFd,
        unix::{
            fs::{PermissionsExt, symlink},
            net::{UnixListener, UnixStream},
        },
    },
    path::PathBuf,
    time::{Duration, Instant},
};

use device_model::{
    ServeError, Server, ServerEnd, ServerHandle, event::EventDevice, serve, socket::SocketError,
};

const SOON: Duration = Duration::from_secs(5);

fn device() -> EventDevice {
    EventDevice::new().unwrap()
}

fn refused(path: &std::path::Path) -> SocketError {
    match Server::bind(path) {
        Err(ServeError::Socket(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// A server, and a connection to it through the handle alone.
fn connected() -> (ServerHandle, UnixStream) {
    let (server, handle) = serve(device()).unwrap();
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    let client = UnixStream::connect(path).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    (server, client)
}

fn version_message(size: u32, data: &[u8]) -> Vec<u8> {
    let mut message = vec![0, 0, 1, 0];
    message.extend(size.to_le_bytes());
    message.extend([0; 8]);
    message.extend([0, 0, 1, 0]);
    message.extend(data);
    message
}

#[test]
fn a_socket_is_its_owners_alone_and_goes_with_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let server = Server::bind(&path).unwrap();
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(server);
    assert!(!path.exists());
    let served = Server::bind(&path).unwrap().serve(device()).unwrap();
    drop(served);
    assert!(!path.exists());
}

#[test]
fn a_path_that_exists_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    fs::write(&path, "mine").unwrap();
    assert!(matches!(refused(&path), SocketError::Exists(_)));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    fs::remove_file(&path).unwrap();
    symlink("nowhere", &path).unwrap();
    assert!(matches!(refused(&path), SocketError::Exists(_)));
}

#[test]
fn a_path_that_was_taken_over_is_not_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let server = Server::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let other = UnixListener::bind(&path).unwrap();
    drop(server);
    assert!(path.exists());
    drop(other);
}

#[test]
fn impossible_paths_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("x".repeat(120));
    assert!(matches!(refused(&long), SocketError::TooLong(_)));
    let nowhere = folder.path().join("no/such/folder");
    assert!(matches!(refused(&nowhere), SocketError::NoFolder { .. }));
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(matches!(
        refused(&file.join("x")),
        SocketError::NoFolder { .. }
    ));
    let open = folder.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(
        refused(&open.join("x")),
        SocketError::OpenFolder(_)
    ));
    fs::set_permissions(&open, fs::Permissions::from_mode(0o1777)).unwrap();
    assert!(Server::bind(&open.join("x")).is_ok());
}

#[test]
fn a_server_nobody_connects_to_stops_at_once() {
    let (server, _handle) = serve(device()).unwrap();
    assert_eq!(server.ended(), None);
    assert_eq!(server.wait(Duration::from_millis(10)), None);
    assert_eq!(server.stop(SOON), Some(ServerEnd::Stopped));
    assert_eq!(server.join(), Some(ServerEnd::Stopped));
}

#[test]
fn a_server_whose_client_is_silent_stops_at_once() {
    let (server, mut client) = connected();
    let started = Instant::now();
    drop(server);
    assert!(started.elapsed() < Duration::from_secs(1));
    assert_eq!(client.read(&mut [0]).unwrap(), 0, "hung up");
}

#[test]
fn two_servers_end_apart() {
    let (first, first_client) = connected();
    let (second, mut second_client) = connected();
    assert_eq!(first.stop(SOON), Some(ServerEnd::Stopped));
    second_client
        .write_all(&version_message(40, b"{\"capabilities\":{}}\0"))
        .unwrap();
    let mut reply = [0; 20];
    second_client.read_exact(&mut reply).unwrap();
    assert_eq!(reply[2], 1, "still answering");
    drop((second_client, first_client));
    assert_eq!(second.wait(SOON), Some(ServerEnd::ClientLeft));
}

#[test]
fn nothing_of_an_unnamed_server_is_on_a_disk() {
    let before = count_sockets();
    let (server, handle) = serve(device()).unwrap();
    let name = fs::read_link(format!("/proc/self/fd/{}", handle.as_raw_fd())).unwrap();
    assert!(!name.exists(), "{}", name.display());
    assert!(!PathBuf::from(name.parent().unwrap()).exists());
    assert_eq!(count_sockets(), before);
    drop(server);
}

/// Folders of ours that hold a socket, in the folder for temporary files.
fn count_sockets() -> usize {
    let entries = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries
        .filter(|entry| entry.path().join("device").exists())
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("irqbed-"))
        .count()
}

#[test]
fn messages_that_make_no_sense_end_the_server_and_nothing_else() {
    let nonsense = [
        version_message(0, b""),
        version_message(25, b"\0\0{}\0"),
        version_message(23, b"{{\0"),
        vec![0xff; 64],
        vec![9; 3],
    ];
    for message in nonsense {
        let (server, mut client) = connected();
        client.write_all(&message).unwrap();
        drop(client);
        let end = server.wait(SOON);
        assert!(end.is_some(), "{message:?}");
        assert_ne!(end, Some(ServerEnd::Stopped));
    }
}

#[test]
fn a_device_that_describes_nonsense_is_not_served() {
    use device_model::{Bar, BarIndex, DeviceSpec, Identity, PciDevice, spec::SpecError};
    struct Odd;
    impl PciDevice for Odd {
        fn spec(&self) -> DeviceSpec {
            let identity = Identity {
                vendor: 1,
                device: 1,
                revision: 0,
                class: [0xff, 0, 0],
                subsystem_vendor: 0,
                subsystem: 0,
            };
            DeviceSpec::new(identity).bar(BarIndex::new(0).unwrap(), Bar::trapped(3))
        }
    }
    assert!(matches!(
        serve(Odd),
        Err(ServeError::Spec(SpecError::BarSize { .. }))
    ));
}
