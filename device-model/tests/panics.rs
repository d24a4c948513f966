// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device that panics, wherever it does, is gone for the guest, and its end
//! says what panicked.

mod common;

use std::{
    fs,
    os::unix::net::UnixStream,
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use common::board::{Board, wait};
use device_model::{
    Bar, BarIndex, Bus, DeviceSpec, Disconnect, FaultInjection, Identity, IntxPin, Options,
    OwnCapability, PciDevice, PowerManagement, PowerState, ResetKind, ServeError, Server,
    ServerEnd, SharedMemory, TimerId, VendorCapability,
    control::{ControlClient, ControlServer, Reply, Request},
    server::DevicePanic,
};

const LONG: Duration = Duration::from_secs(30);
/// BAR 2, its memory.
const MEMORY: BarIndex = BarIndex::BAR2;

struct Panics {
    at: &'static str,
    memory: SharedMemory,
    bus: Arc<Mutex<Option<Bus>>>,
}

impl Panics {
    fn new(at: &'static str) -> Self {
        Self {
            at,
            memory: SharedMemory::new("panics", 0x1000).unwrap(),
            bus: Arc::default(),
        }
    }

    fn maybe(&self, at: &str) {
        assert!(self.at != at, "as it was\n told to");
    }
}

impl PciDevice for Panics {
    fn spec(&self) -> DeviceSpec {
        self.maybe("spec()");
        DeviceSpec::new(Identity::new(0x1bed, 0xdead))
            .bar(BarIndex::BAR0, Bar::trapped(0x1000))
            .bar(MEMORY, Bar::mapped(self.memory.file(), 0x1000))
            .vendor(VendorCapability::new([0; 5]).writable([0xff; 5]))
            .power(PowerManagement::default())
            .intx(IntxPin::A)
    }

    fn doorbells(&self) -> Vec<(BarIndex, device_model::vfio_user::IoEventFd)> {
        self.maybe("doorbells()");
        Vec::new()
    }

    fn attach(&mut self, bus: Bus) {
        *self.bus.lock().unwrap() = Some(bus);
        self.maybe("attach()");
    }

    fn bar_read(&mut self, _: BarIndex, _: u64, data: &mut [u8]) {
        self.maybe("bar_read()");
        data.fill(0);
    }

    fn bar_write(&mut self, _: BarIndex, _: u64, _: &[u8]) {
        self.maybe("bar_write()");
        let bus = self.bus.lock().unwrap().clone().unwrap();
        bus.timers
            .start_periodic(TimerId(1), Duration::from_millis(1));
        if self.at == "its thread worker" {
            bus.spawn("worker", || panic!("as it was told to")).unwrap();
        }
    }

    fn capability_write(&mut self, _: OwnCapability, _: &mut [u8]) {
        self.maybe("capability_write()");
    }

    fn timer(&mut self, _: TimerId) {
        self.maybe("timer()");
    }

    fn power(&mut self, _: PowerState) {
        self.maybe("power()");
    }

    fn quiesce(&mut self) {
        self.maybe("quiesce()");
    }

    fn reset(&mut self, kind: ResetKind) {
        if kind == ResetKind::Function {
            self.maybe("reset()");
        } else {
            self.maybe("reset() of a device that is left");
        }
    }
}

impl Drop for Panics {
    fn drop(&mut self) {
        self.maybe("drop()");
    }
}

/// Does all that a guest and a hypervisor do, until the device is gone. A reset stops
/// the timer that the write has started: not where its turn is waited for.
fn use_it(board: &mut Board, place: &str) -> Option<()> {
    let client = &mut board.client;
    // Memory and bus mastering on.
    client.region_write(7, 4, &[6, 0]).ok()?;
    client.region_write(0, 0, &[1; 4]).ok()?;
    client.region_read(0, 0, &mut [0; 4]).ok()?;
    let mut at = [0];
    client.region_read(7, 0x34, &mut at).ok()?;
    loop {
        let mut head = [0; 2];
        client.region_read(7, at[0].into(), &mut head).ok()?;
        match head[0] {
            0x01 => client.region_write(7, u64::from(at[0]) + 4, &[3]).ok()?,
            0x09 => client.region_write(7, u64::from(at[0]) + 3, &[1]).ok()?,
            _ => {}
        }
        at[0] = head[1];
        if at[0] == 0 {
            break;
        }
    }
    if place == "timer()" {
        return Some(());
    }
    client.reset().ok()
}

fn panicked(end: Option<ServerEnd>) -> DevicePanic {
    match end {
        Some(ServerEnd::Panicked(panic)) => panic,
        other => panic!("{other:?}"),
    }
}

fn check(panic: &DevicePanic, place: &str) {
    let ids = (place != "spec()").then_some((0x1bed, 0xdead));
    assert_eq!((panic.ids, &*panic.place), (ids, place));
    assert_eq!(panic.message, "as it was told to", "{place}");
}

/// The places that a device is at while it is served.
const SERVED: [&str; 9] = [
    "bar_read()",
    "bar_write()",
    "capability_write()",
    "timer()",
    "power()",
    "quiesce()",
    "reset()",
    "its thread worker",
    "drop()",
];

fn serve(path: &Path, at: &'static str, disconnect: Disconnect) -> Board {
    let options = Options::default().on_disconnect(disconnect);
    let server = Server::bind(path).unwrap().options(options);
    let server = server.serve(Panics::new(at)).unwrap();
    Board::connect_to(path, server)
}

#[test]
fn a_panic_anywhere_ends_the_device_and_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    for place in SERVED {
        let mut board = serve(&path, place, Disconnect::End);
        let memory = board.client.region(2).unwrap();
        let file = memory
            .file_offset
            .as_ref()
            .unwrap()
            .file()
            .try_clone()
            .unwrap();
        use_it(&mut board, place);
        if place == "drop()" {
            board.client.shutdown().unwrap();
        }
        let panic = panicked(board.server.wait(LONG));
        check(&panic, place);
        assert!(board.client.region_read(0, 0, &mut [0; 4]).is_err());
        assert_eq!(format!("{:?}", board.server.exit_code()), exit_code(101));
        let mut byte = [0];
        std::os::unix::fs::FileExt::read_exact_at(&file, &mut byte, 0x800).unwrap();
        assert_eq!(byte, [0xff], "{place}: its mapped memory reads all ones");
        let left = DevicePanic::file(&path);
        let text = fs::read_to_string(&left).unwrap();
        assert_eq!(DevicePanic::find(&text), Some(panic));
        assert_eq!(text.lines().count(), 1);
        assert!(!path.exists());
    }
    // Whoever takes the path next begins anew.
    drop(Server::bind(&path).unwrap());
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}

fn exit_code(status: u8) -> String {
    format!("{:?}", std::process::ExitCode::from(status))
}

#[test]
fn a_device_that_panics_when_its_client_leaves_takes_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let place = "reset() of a device that is left";
    let board = serve(&path, place, Disconnect::Reset);
    board.client.shutdown().unwrap();
    let panic = panicked(board.server.wait(LONG));
    assert_eq!(panic.place, "reset()");
    assert!(UnixStream::connect(&path).is_err());
}

#[test]
fn a_panic_while_nobody_is_connected_ends_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let device = Panics::new("timer()");
    let bus = Arc::clone(&device.bus);
    let server = Server::bind(&path).unwrap().serve(device).unwrap();
    let bus = bus.lock().unwrap().clone().unwrap();
    bus.timers.start(TimerId(1), Duration::ZERO);
    check(&panicked(server.join()), "timer()");
}

#[test]
fn a_device_that_panics_before_it_is_served_is_refused_with_that() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    for place in ["spec()", "doorbells()", "attach()"] {
        let served = Server::bind(&path).unwrap().serve(Panics::new(place));
        let Err(ServeError::Panicked(panic)) = served else {
            panic!("{served:?}");
        };
        check(&panic, place);
        let text = fs::read_to_string(DevicePanic::file(&path)).unwrap();
        assert_eq!(DevicePanic::find(&text), Some(panic));
        assert!(!path.exists());
    }
}

#[test]
fn a_panic_that_a_fault_or_the_control_socket_brings_about_is_the_devices() {
    let folder = tempfile::tempdir().unwrap();
    let (path, control) = (folder.path().join("device"), folder.path().join("control"));
    // A reset at its time, on the thread of faults.
    let board = serve(&path, "reset()", Disconnect::End);
    board
        .server
        .faults()
        .arm("reset:delay=1ms".parse().unwrap())
        .unwrap();
    check(&panicked(board.server.join()), "reset()");
    // A device that comes back, on the thread of whoever clears the faults.
    let board = serve(&path, "reset()", Disconnect::End);
    let faults = board.server.faults();
    let _control = ControlServer::bind(&control, faults).unwrap();
    let mut client = ControlClient::connect(&control).unwrap();
    let armed = client.ask(&Request::Arm {
        faults: vec!["removed".parse().unwrap()],
    });
    assert!(matches!(armed, Ok(Reply::Armed { .. })), "{armed:?}");
    let _ = client.ask(&Request::ClearFaults);
    check(&panicked(board.server.join()), "reset()");
    let listed = client.ask(&Request::Faults);
    assert!(listed.is_ok(), "the socket still answers: {listed:?}");
}

#[test]
fn a_dropped_server_of_a_device_that_panics_ends_too() {
    for place in ["drop()", "quiesce()"] {
        let (server, _handle) = device_model::serve(Panics::new(place)).unwrap();
        let stopper = server.stopper();
        drop(server);
        let end = stopper.stop(LONG);
        if place == "drop()" {
            check(&panicked(end), place);
        } else {
            assert_eq!(end, Some(ServerEnd::Stopped), "nothing was under way");
        }
    }
}

/// The program that this test is, in the role of a device model.
const ROLE: &str = "IRQBED_TEST_PANICS_AT";

#[test]
fn a_program_says_it_in_one_line_on_stderr_and_by_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("device");
    let program = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "a_program_that_serves",
            "--ignored",
            "--nocapture",
        ])
        .env(ROLE, &path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait("the socket", || path.exists());
    let client = loop {
        if let Ok(client) = vfio_user::Client::new(&path) {
            break client;
        }
        thread::sleep(Duration::from_millis(1));
    };
    let mut client = client;
    let _ = client.region_write(0, 0, &[1; 4]);
    let output = program.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(101));
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text
        .lines()
        .filter(|line| line.starts_with("irqbed: device "));
    assert_eq!(lines.count(), 1, "{text}");
    check(&DevicePanic::find(&text).unwrap(), "timer()");
}

#[test]
#[ignore = "the other half of the test above"]
fn a_program_that_serves() {
    let Some(path) = std::env::var_os(ROLE) else {
        return;
    };
    let server = Server::bind(Path::new(&path)).unwrap();
    let server = server.serve(Panics::new("timer()")).unwrap();
    let end = server.join().unwrap();
    let status = format!("{:?}", end.exit_code());
    std::process::exit(if status == exit_code(101) { 101 } else { 0 });
}
