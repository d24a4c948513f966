// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed bench-mmio` at servers in processes of their own.

use std::{
    fs,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use irqbed_abi::regs;
use rustix::process::Signal;
use serde_json::Value;

use crate::{
    program::{Ended, Running, irqbed, run, run_with},
    sandbox::{Sandbox, wait_until},
};

/// Our own program, as anybody's server.
struct Server {
    child: Child,
    path: PathBuf,
}

impl Server {
    fn start(sandbox: &Sandbox, on_disconnect: &str) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/device-model");
        let path = sandbox.own("device");
        let child = Command::new(program)
            .args(["event", "--on-disconnect", on_disconnect, "--socket"])
            .arg(&path)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("setup has built it");
        let server = Self { child, path };
        wait_until("the server listens", || server.path.exists());
        server
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("UTF-8")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// No guest is started, one line says why, and the exit status is as expected.
#[track_caller]
fn refused(sandbox: &Sandbox, status: i32, arguments: &[&str], words: &[&str]) {
    let arguments = [&["bench-mmio"], arguments].concat();
    let ended = run_with(sandbox, "IRQBED_QEMU", sandbox.forbidden_qemu(), &arguments);
    assert_eq!(ended.status.code(), Some(status), "{ended:#?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.matches("error:").count(), 1, "{ended:#?}");
    if status != 2 || ended.stderr.starts_with("irqbed:") {
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    }
    for word in words {
        assert!(
            ended.stderr.contains(word),
            "no {word:?} in: {}",
            ended.stderr
        );
    }
    sandbox.assert_no_guest_was_started();
}

#[test]
fn a_register_that_makes_no_sense_is_a_usage_error() {
    let sandbox = Sandbox::new();
    let cases: [(&[&str], &str); 10] = [
        (&[], "--socket"),
        (&["--socket", "a"], "--region"),
        (&["--region", "0", "--device", "event"], "--socket"),
        (&["--socket", "a", "--region", "9"], "0..=8"),
        (
            &["--socket", "a", "--region", "0", "--width", "3"],
            "1, 2, 4, 8",
        ),
        (
            &["--socket", "a", "--region", "0", "--offset", "0y"],
            "0x10",
        ),
        (&["--socket", "a", "--region", "0,1"], "once for each"),
        (
            &["--socket", "a", "--region", "0", "--poll-us", "5"],
            "--device",
        ),
        (
            &[
                "--socket", "a", "--region", "0", "--width", "1", "--write", "256",
            ],
            "more than 1 bytes",
        ),
        (&["--socket=a", "--socket=a", "--region=0"], "twice"),
    ];
    for (arguments, words) in cases {
        refused(&sandbox, 2, arguments, &[words]);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn a_server_or_a_register_that_is_not_there_is_said_in_one_line() {
    let sandbox = Sandbox::new();
    let at = |path: &str, more: &[&str], words: &[&str]| {
        let arguments = [&["--socket", path][..], more].concat();
        refused(&sandbox, 2, &arguments, words);
    };
    let path = |name| sandbox.own(name).to_str().expect("UTF-8").to_owned();
    at(&path("none"), &["--region=0"], &["no such socket"]);
    fs::write(path("file"), "").expect("a file");
    at(&path("file"), &["--region=0"], &["file", "no socket"]);
    drop(UnixListener::bind(path("left")).expect("a socket"));
    at(&path("left"), &["--region=0"], &["nobody listens"]);

    let server = Server::start(&sandbox, "reset");
    let served = server.path();
    at(served, &["--region=5"], &[served, "no region 5"]);
    at(served, &["--region=0", "--offset=0x100000"], &["0x100000"]);
    at(
        served,
        &["--region=0", "--offset=2"],
        &["multiple of the width"],
    );
    at(served, &["--region=7"], &["--way socket"]);

    // It is connected to by somebody else, who does not leave.
    let other = UnixStream::connect(&server.path).expect("a connection");
    at(served, &["--region=0"], &["another client"]);
    drop(other);
    drop(server);
    sandbox.assert_nothing_left();
}

#[test]
fn a_server_that_hangs_up_at_once_is_refused() {
    let sandbox = Sandbox::new();
    let path = sandbox.own("closing");
    let listener = UnixListener::bind(&path).expect("a socket");
    let server = thread::spawn(move || drop(listener.accept()));
    let arguments = ["--socket", path.to_str().expect("UTF-8"), "--region=0"];
    refused(&sandbox, 2, &arguments, &["closed the connection"]);
    server.join().expect("it accepts");
}

#[test]
fn a_server_of_one_connection_is_told_apart() {
    let sandbox = Sandbox::new();
    let server = Server::start(&sandbox, "end");
    let arguments = [
        "--socket",
        server.path(),
        "--region=0",
        "--rounds=1",
        "--count=1",
    ];
    refused(&sandbox, 1, &arguments, &["one connection", "--way guest"]);
    sandbox.assert_nothing_left();
}

fn figures(ended: &Ended) -> Value {
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    serde_json::from_str(&ended.stdout).expect("JSON")
}

#[test]
fn servers_are_measured_over_their_sockets_and_from_a_guest() {
    let sandbox = Sandbox::new();
    let mut server = Server::start(&sandbox, "reset");
    let short = ["--rounds=3", "--count=10", "--accel=tcg", "--json=-"];
    let of_theirs = ["--socket", server.path(), "--region=0"];
    let ours = ["bench-mmio", "--device=event,nic-lite", "--poll-us=0,50"];
    let read = figures(&run(&sandbox, &[&ours[..], &of_theirs, &short].concat()));
    let servers: Vec<&str> = read["servers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|server| server["name"].as_str().expect("a name"))
        .collect();
    let expected = [
        "event",
        "event, polling 50 µs",
        "nic-lite",
        "nic-lite, polling 50 µs",
        server.path(),
    ];
    assert_eq!(servers, expected);
    let measured = read["figures"].as_array().expect("a list");
    for (index, one) in measured.iter().enumerate() {
        assert_eq!(one["server"], expected[index % 5]);
        assert_eq!(one["way"], ["socket", "guest"][index / 5]);
        assert_eq!(one["count"], 30);
        let at = |name: &str| one[name].as_f64().expect("a time");
        let names = ["min_ns", "p50_ns", "p90_ns", "p99_ns", "max_ns"];
        // A word of another process does not come within a microsecond.
        assert!(at("min_ns") > 1000.0, "{one}");
        assert!(names.is_sorted_by(|one, next| at(one) <= at(next)), "{one}");
    }
    assert_eq!(measured.len(), 10);
    // Each pair, in either way.
    assert_eq!(read["ratios"].as_array().expect("a list").len(), 20);
    assert!(
        read["environment"]["guest_kernel"]
            .as_str()
            .expect("a name")
            .contains('.')
    );

    // Written, by the same two ways.
    let scratch = format!("--offset={:#x}", regs::REG_SCRATCH);
    let write = ["bench-mmio", "--write=0xa5a5", "--width=4", &scratch];
    let write = figures(&run(&sandbox, &[&write[..], &of_theirs, &short].concat()));
    assert_eq!(write["parameters"]["write"], 0xa5a5);
    assert_eq!(write["figures"].as_array().expect("a list").len(), 2);
    assert!(
        server.child.try_wait().expect("a child").is_none(),
        "it serves on"
    );
    drop(server);
    sandbox.assert_nothing_left();
}

#[test]
fn one_connection_is_enough_from_the_guest_alone() {
    let sandbox = Sandbox::new();
    let mut server = Server::start(&sandbox, "end");
    let arguments = [
        "bench-mmio",
        "--way=guest",
        "--rounds=2",
        "--count=5",
        "--region=0",
    ];
    let arguments = [&arguments[..], &["--accel=tcg", "--socket", server.path()]].concat();
    let ended = run(&sandbox, &arguments);
    ended.assert_good();
    assert!(ended.stdout.contains("from the guest"), "{ended:#?}");
    assert!(!ended.stdout.contains("over the socket"), "{ended:#?}");
    assert!(server.child.wait().expect("a child").success());
    sandbox.assert_nothing_left();
}

#[test]
fn ctrl_c_ends_a_measurement_and_leaves_the_server_alone() {
    let sandbox = Sandbox::new();
    let mut server = Server::start(&sandbox, "reset");
    let target = sandbox.own("result.json");
    for milliseconds in [100, 4000] {
        let json = ["--json", target.to_str().expect("UTF-8")];
        let way = [
            "--way",
            if milliseconds < 1000 {
                "socket"
            } else {
                "guest"
            },
        ];
        let arguments = [
            "bench-mmio",
            "--accel=tcg",
            "--rounds=1000",
            "--count=50000",
        ];
        let of = ["--socket", server.path(), "--region=0"];
        let arguments = [&arguments[..], &of, &json, &way].concat();
        let running = Running::start(&sandbox, irqbed(&sandbox, &arguments));
        thread::sleep(Duration::from_millis(milliseconds));
        running.signal(Signal::INT);
        running.wait().assert_interrupted();
        assert!(!target.exists());
    }
    assert!(
        server.child.try_wait().expect("a child").is_none(),
        "it serves on"
    );
    drop(server);
    sandbox.assert_nothing_left();
}
