// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The control socket: what a second terminal can ask of a running device.

mod common;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use common::{Guest, PAYLOAD_AT};
use device_model::{
    FaultInjection,
    control::{ClientError, ControlClient, ControlError, ControlServer, MAX_LINE, Reply, Request},
    edu::EduDevice,
    fault::{FaultId, MAX_FAULTS},
    socket::SocketError,
};

fn control(guest: &Guest) -> (ControlServer, PathBuf) {
    let path = guest.path.with_file_name("control");
    let server = ControlServer::bind(&path, guest.source.clone()).unwrap();
    (server, path)
}

fn raise(vector: u32, count: u32, payload: &str) -> Request {
    let payload = payload.to_owned();
    Request::Raise {
        vector,
        count,
        payload,
    }
}

fn arm(faults: &[&str]) -> Request {
    let faults = faults.iter().map(|text| text.parse().unwrap());
    Request::Arm {
        faults: faults.collect(),
    }
}

/// What comes back for one line.
fn line(path: &Path, line: &str) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.write_all(line.as_bytes()).unwrap();
    let mut reply = String::new();
    BufReader::new(stream).read_line(&mut reply).unwrap();
    reply
}

#[test]
fn events_can_be_raised_from_another_process() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    let (_server, path) = control(&guest);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut client = ControlClient::connect(&path).unwrap();
    let raised = |first_seq, count| Reply::Raised {
        first_seq,
        count,
        ring_overflow: 0,
    };
    assert_eq!(client.ask(&raise(0, 2, "hello")).unwrap(), raised(1, 2));
    let record = guest.record(1);
    assert_eq!((record.seq, record.flags), (2, 0));
    let at = PAYLOAD_AT + u64::from(record.payload_offset);
    assert_eq!(guest.memory(at, 5), b"hello");
    assert_eq!(
        client.ask(&Request::Counters).unwrap(),
        Reply::Counters(guest.source.counters())
    );
    drop(client);
    let mut next = ControlClient::connect(&path).unwrap();
    assert_eq!(next.ask(&raise(0, 1, "")).unwrap(), raised(3, 1));
    drop(next);
    let reply = line(&path, "{\"irqbed\":1,\"do\":\"raise\"}\n");
    assert_eq!(
        reply,
        "{\"is\":\"raised\",\"first_seq\":4,\"count\":1,\"ring_overflow\":0}\n"
    );
}

#[test]
fn a_ring_that_stays_full_is_reported_after_a_bounded_wait() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    let (_server, path) = control(&guest);
    let mut client = ControlClient::connect(&path).unwrap();
    let reply = client.ask(&raise(0, 10, "")).unwrap();
    let lost = Reply::Raised {
        first_seq: 1,
        count: 5,
        ring_overflow: 1,
    };
    assert_eq!(reply, lost);
    assert_eq!(guest.source.counters().ring_overflow, 1);
}

#[test]
fn more_events_than_the_ring_holds_wait_for_the_guest() {
    let mut guest = Guest::boot();
    guest.arm(0, 4, 8192);
    guest.enable();
    let (_server, path) = control(&guest);
    let asking = thread::spawn(move || {
        let mut client = ControlClient::connect(&path).unwrap();
        client.ask(&raise(0, 30, "x")).unwrap()
    });
    let started = Instant::now();
    while !asking.is_finished() && started.elapsed() < Duration::from_secs(20) {
        guest.consume(0, guest.source.counters().published as u32);
        thread::sleep(Duration::from_millis(2));
    }
    let all = Reply::Raised {
        first_seq: 1,
        count: 30,
        ring_overflow: 0,
    };
    assert_eq!(asking.join().unwrap(), all);
}

#[test]
fn requests_that_cannot_be_carried_out_are_answered() {
    let mut guest = Guest::boot();
    let (_server, path) = control(&guest);
    let mut client = ControlClient::connect(&path).unwrap();
    let mut error = |request: &Request| match client.ask(request).unwrap() {
        Reply::Failed { error } => error,
        other => panic!("{other:?}"),
    };
    assert!(error(&raise(0, 1, "")).contains("not enabled"));
    guest.arm(0, 4, 8192);
    guest.enable();
    assert!(error(&raise(1, 1, "")).contains("vector 1 has no armed ring"));
    assert!(error(&raise(32, 1, "")).contains("no vector 32: use 0 to 31"));
    assert!(error(&raise(0, 0, "")).contains("0 events"));
    assert!(error(&raise(0, u32::MAX, "")).contains("events"));
    assert!(error(&raise(0, 1, &"x".repeat(5000))).contains("5000 bytes is too long"));
    let long = raise(0, 1, &"x".repeat(MAX_LINE));
    assert!(matches!(client.ask(&long), Err(ClientError::TooLong(_))));
    assert_eq!(guest.source.last_seq(), None);
}

#[test]
fn malformed_lines_are_answered_and_the_server_lives_on() {
    let guest = Guest::boot();
    let (_server, path) = control(&guest);
    for bad in [
        "\n",
        "raise\n",
        "{\"irqbed\":1}\n",
        "{\"irqbed\":2,\"do\":\"counters\"}\n",
        "{\"do\":\"counters\"}\n",
        "{\"irqbed\":1,\"do\":\"raise\",\"vector\":-1}\n",
    ] {
        assert!(line(&path, bad).contains("failed"), "{bad}");
    }
    let endless = "x".repeat(MAX_LINE);
    assert!(line(&path, &endless).contains("longer than 65536"));
    // One that leaves in the middle of a line.
    drop(UnixStream::connect(&path).unwrap());
    assert!(line(&path, "{\"irqbed\":1,\"do\":\"counters\"}\n").contains("raised"));
}

#[test]
fn a_dead_socket_is_replaced_and_a_live_one_refused() {
    let guest = Guest::boot();
    let path = guest.path.with_file_name("control");
    drop(UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind by a process that died");
    let server = ControlServer::bind(&path, guest.source.clone()).unwrap();
    assert!(matches!(
        ControlServer::bind(&path, guest.source.clone()),
        Err(ControlError::Socket(SocketError::InUse(_)))
    ));
    drop(server);
    assert!(!path.exists());
    fs::write(&path, "a file").unwrap();
    assert!(matches!(
        ControlServer::bind(&path, guest.source.clone()),
        Err(ControlError::Socket(SocketError::Exists(_)))
    ));
    assert!(matches!(
        ControlClient::connect(&path.with_file_name("nothing")),
        Err(ClientError::Connect { .. })
    ));
}

#[test]
fn the_server_ends_although_a_client_is_connected() {
    let guest = Guest::boot();
    let (server, path) = control(&guest);
    let silent = UnixStream::connect(&path).unwrap();
    let waiting = UnixStream::connect(&path).unwrap();
    thread::sleep(Duration::from_millis(20));
    let started = Instant::now();
    drop(server);
    assert!(started.elapsed() < Duration::from_secs(2));
    drop((silent, waiting));
}

#[test]
fn faults_are_armed_listed_and_cleared_from_another_process() {
    let mut guest = Guest::boot();
    guest.arm(0, 16, 8192);
    guest.enable();
    let (_server, path) = control(&guest);
    let mut client = ControlClient::connect(&path).unwrap();
    let faults = ["irq-lost:vector=0,count=1", "irq-storm:vector=5"];
    let ids = vec![FaultId(1), FaultId(2)];
    assert_eq!(client.ask(&arm(&faults)).unwrap(), Reply::Armed { ids });
    client.ask(&raise(0, 3, "")).unwrap();
    assert_eq!(guest.interrupts(0), 2, "one is lost");
    drop(client);

    let did = "{\"is\":\"faults\",\"faults\":[\
               {\"id\":1,\"fault\":\"irq-lost:vector=0,count=1\",\"opportunities\":3,\"hits\":1},\
               {\"id\":2,\"fault\":\"irq-storm:interrupts=1000,rate=10000,vector=5\",\"opportunities\":0,\"hits\":0}]}\n";
    assert_eq!(line(&path, "{\"irqbed\":1,\"do\":\"faults\"}\n"), did);
    let clear = "{\"irqbed\":1,\"do\":\"clear-faults\"}\n";
    assert_eq!(line(&path, clear), did);
    let none = "{\"is\":\"faults\",\"faults\":[]}\n";
    assert_eq!(line(&path, clear), none);
    assert!(guest.source.faults().list().is_empty());
}

#[test]
fn of_several_faults_all_are_armed_or_none() {
    let guest = Guest::boot();
    let (_server, path) = control(&guest);
    let mut client = ControlClient::connect(&path).unwrap();
    let mut error = |request: &Request| match client.ask(request).unwrap() {
        Reply::Failed { error } => error,
        other => panic!("{other:?}"),
    };
    let unknown_vector = error(&arm(&["irq-lost", "irq-lost:vector=32"]));
    assert!(
        unknown_vector.contains("vector=32: the device has 32 vectors"),
        "{unknown_vector}"
    );
    let many = error(&arm(&["irq-lost"; MAX_FAULTS + 1]));
    assert!(many.contains("64 faults are armed already"), "{many}");
    assert!(guest.source.faults().list().is_empty());
    drop(client);
    for bad in ["irq-last", "irq-lost:chance=2"] {
        let request = format!("{{\"irqbed\":1,\"do\":\"arm\",\"faults\":[\"{bad}\"]}}\n");
        assert!(line(&path, &request).contains("the line is no request"));
    }
}

#[test]
fn a_device_without_events_has_faults_and_says_that_it_raises_nothing() {
    let (server, _handle) = device_model::serve(EduDevice::new()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control");
    let _control = ControlServer::bind(&path, server.faults()).unwrap();
    let mut client = ControlClient::connect(&path).unwrap();
    for request in [raise(0, 1, ""), Request::Counters] {
        match client.ask(&request).unwrap() {
            Reply::Failed { error } => assert!(error.contains("no events to raise"), "{error}"),
            other => panic!("{other:?}"),
        }
    }
    let armed = client.ask(&arm(&["reads-ones:bar=0"])).unwrap();
    assert_eq!(
        armed,
        Reply::Armed {
            ids: vec![FaultId(1)]
        }
    );
    assert_eq!(server.faults().list().len(), 1);
}
