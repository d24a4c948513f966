// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The program `device-model`, as somebody at a terminal uses it.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use device_model::control::{ControlClient, Reply, Request};
use rustix::process::{Pid, Signal, kill_process};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_device-model"));
    command
        .env_remove("IRQBED_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Starts the device and returns when it has said how to start QEMU.
fn start(socket: &Path, control: &Path) -> (Child, String) {
    start_with(socket, control, &[])
}

fn start_with(socket: &Path, control: &Path, options: &[&str]) -> (Child, String) {
    let mut child = program()
        .args(["event", "--socket"])
        .arg(socket)
        .arg("--control")
        .arg(control)
        .args(options)
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("Ctrl-C") && stdout.read_line(&mut said).unwrap() > 0 {}
    (child, said)
}

fn end(mut child: Child) -> (Option<i32>, String) {
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_secs(10), "it hangs");
        thread::sleep(Duration::from_millis(5));
    }
    let mut stderr = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut stderr)
        .unwrap();
    (child.wait().unwrap().code(), stderr)
}

fn fails(arguments: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = program().args(arguments).output().unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn it_says_how_to_start_qemu_and_cleans_up_at_a_signal() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("device");
        let control = folder.path().join("control");
        let (child, said) = start(&socket, &control);
        assert!(said.contains("vfio-user-pci"), "{said}");
        assert!(said.contains(socket.to_str().unwrap()), "{said}");
        for path in [&socket, &control] {
            let mode = fs::metadata(path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let mut client = ControlClient::connect(&control).unwrap();
        let reply = client.ask(&Request::Counters).unwrap();
        assert_eq!(reply, Reply::Counters(Default::default()));
        kill_process(Pid::from_child(&child), signal).unwrap();
        let (code, stderr) = end(child);
        assert_eq!(
            (code, stderr.as_str()),
            (Some(0), "device-model: stopped\n")
        );
        assert!(!socket.exists() && !control.exists());
    }
}

#[test]
fn it_ends_when_its_client_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("device");
    let (child, _) = start(&socket, &folder.path().join("control"));
    let client = vfio_user::Client::new(&socket).unwrap();
    drop(client);
    let (code, stderr) = end(child);
    assert_eq!(code, Some(0));
    assert!(stderr.contains("QEMU has left"), "{stderr}");
    assert!(!socket.exists());
}

#[test]
fn it_waits_for_the_next_client_if_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("device");
    let control = folder.path().join("control");
    let options = ["--on-disconnect", "keep", "--poll-us", "20"];
    let (child, _) = start_with(&socket, &control, &options);
    for _ in 0..3 {
        let mut client = vfio_user::Client::new(&socket).unwrap();
        let mut magic = [0; 4];
        client.region_read(0, 0, &mut magic).unwrap();
        assert_eq!(u32::from_le_bytes(magic), irqbed_abi::regs::MAGIC);
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (code, stderr) = end(child);
    assert_eq!(
        (code, stderr.as_str()),
        (Some(0), "device-model: stopped\n")
    );
    assert!(!socket.exists() && !control.exists());
}

#[test]
fn errors_are_one_line_that_names_the_thing() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, "").unwrap();
    let (code, stderr) = fails(&["event", "--socket", taken.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("taken exists"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let nowhere = folder.path().join("no/device");
    let (code, stderr) = fails(&["event", "--socket", nowhere.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("No such file"), "{stderr}");
    let socket = folder.path().join("device");
    let socket = socket.to_str().unwrap();
    let (code, stderr) = fails(&[
        "event",
        "--socket",
        socket,
        "--control",
        taken.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("taken exists"), "{stderr}");
    assert!(!Path::new(socket).exists());
}

#[test]
fn usage_errors_have_status_2_and_list_the_devices() {
    let (code, stderr) = fails(&["gadget", "--socket", "x"]);
    assert_eq!(code, Some(2));
    assert!(
        stderr.contains("possible values: event, edu, nic-lite"),
        "{stderr}"
    );
    let (code, stderr) = fails(&["event"]);
    assert_eq!(code, Some(2));
    assert!(stderr.contains("--socket"), "{stderr}");
}

#[test]
fn the_functions_of_a_slot_have_a_socket_each_and_end_together() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("card");
    let mut child = program()
        .args(["edu,nic-lite", "--mapped", "--socket"])
        .arg(&socket)
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !said.contains("Ctrl-C") && stdout.read_line(&mut said).unwrap() > 0 {}
    let functions = ["card.0", "card.1"].map(|name| folder.path().join(name));
    for (number, path) in functions.iter().enumerate() {
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert!(said.contains(&format!(r#""addr":"5.{number}""#)), "{said}");
    }
    let [edu, nic] = functions.each_ref().map(|path| {
        let mut client = vfio_user::Client::new(path).unwrap();
        let mut id = [0; 4];
        client.region_read(7, 0, &mut id).unwrap();
        (client, u32::from_le_bytes(id))
    });
    assert_eq!((edu.1, nic.1), (0x11e8_1234, 0x0002_1bed));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (code, _) = end(child);
    assert_eq!(code, Some(0));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

#[test]
fn the_registers_of_each_device_are_printed() {
    for (device, register) in [
        ("event", "`SelfRaise`"),
        ("edu", "`Liveness`"),
        ("nic-lite", "`TxDoorbell[n]`, n = 0 to 3"),
    ] {
        let output = program().args([device, "--registers"]).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && said.contains(register), "{said}");
    }
}

#[test]
fn an_option_of_another_device_is_refused() {
    for arguments in [
        ["edu,nic-lite", "--socket", "x", "--control", "y"].as_slice(),
        &["event,event", "--socket", "x", "--control", "y"],
        &["nic-lite", "--socket", "x", "--mapped"],
        &["event", "--registers", "--socket", "x"],
    ] {
        let (code, stderr) = fails(arguments);
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.starts_with("error: "), "{stderr}");
    }
}

#[test]
fn any_device_has_a_control_socket_for_its_faults() {
    for devices in ["nic-lite", "edu,event"] {
        let folder = tempfile::tempdir().unwrap();
        let control = folder.path().join("control");
        let mut child = program()
            .args([devices, "--socket"])
            .arg(folder.path().join("device"))
            .arg("--control")
            .arg(&control)
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        while !said.contains("Ctrl-C") && stdout.read_line(&mut said).unwrap() > 0 {}
        let mut client = ControlClient::connect(&control).unwrap();
        // 32 vectors are those of the event device.
        let last_of_event = "irq-lost:vector=31".parse().unwrap();
        let faults = vec![last_of_event];
        let reply = client.ask(&Request::Arm { faults }).unwrap();
        match devices {
            "nic-lite" => assert!(matches!(reply, Reply::Failed { .. }), "{reply:?}"),
            _ => assert!(matches!(reply, Reply::Armed { .. }), "{reply:?}"),
        }
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(end(child).0, Some(0));
    }
}
