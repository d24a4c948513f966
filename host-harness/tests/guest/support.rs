// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the guest tests share.

use std::{
    thread,
    time::{Duration, Instant},
};

use irqbed_abi::{
    control::{Behaviour, ListenerSpec, Mechanism, Reply, Request},
    counters::Counters,
};
use irqbed_machine::{
    accel::{AccelRequest, choose},
    artefacts::Artefacts,
    execution_log::ExecutionLog,
    progress::Progress,
    qemu::{ClockKind, Machine},
    session::{Session, Setup},
};
use irqbed_measure::measure::{self, Plan, Rate, Run};

use crate::coverage;

/// A booted guest. Others run beside it, as many as there are tests at a time.
pub struct Guest {
    pub session: Session,
    /// Kernel warnings from before the test had done anything.
    boot_warnings: usize,
    number: u32,
}

/// What a kernel says of a machine that is slow.
const SLOW: [&str; 3] = [
    "hrtimer: interrupt took",
    "sched: DL replenish lagged too much",
    "sched: RT throttling activated",
];

/// What 7.x says of each reset of a device that a process is given.
const RESETS: [&str; 2] = [": resetting", ": reset done"];

/// Kernel that the guests boot, where it is not the stock one: `./just test-debug`
/// and `./just test-matrix` say so.
pub fn kernel() -> Option<String> {
    std::env::var("IRQBED_TEST_KERNEL").ok()
}

/// Whether the kernel is one that checks: what it does for an event depends on those before.
pub fn is_debug_kernel() -> bool {
    kernel().is_some_and(|name| name.ends_with("-debug"))
}

/// A number that a recipe gives a test by a variable of the environment.
pub fn number_from(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number"))
    })
}

/// Says why a test cannot be run; `./just test-matrix` does not count it as passed.
pub fn skip(why: &str) {
    println!("skipped: {why}");
}

pub fn artefacts() -> Artefacts {
    let artefacts = Artefacts::locate().expect("the tests run after `./just setup`");
    match kernel() {
        Some(name) => artefacts
            .with_kernel(&name)
            .unwrap_or_else(|error| panic!("{error}")),
        None => artefacts,
    }
}

pub fn machine(clock: ClockKind) -> Machine {
    let accelerator = choose(AccelRequest::Tcg)
        .expect("TCG always works")
        .accelerator;
    let mut machine = Machine::new(accelerator, clock);
    if is_debug_kernel() {
        // One that checks keeps account of all memory, in memory.
        machine.memory_mib *= 2;
    }
    if coverage::folder().is_some() {
        machine
            .kernel_parameters
            .push(coverage::PARAMETER.to_owned());
    }
    machine
}

impl Guest {
    /// Boots with the driver loaded.
    pub fn boot() -> Self {
        let mut guest = Self::boot_bare(&machine(ClockKind::Wall));
        guest.session.load_module([]).expect("the driver loads");
        guest
    }

    /// Boots without the driver; steady, where instructions are counted.
    pub fn boot_bare(machine: &Machine) -> Self {
        Self::boot_parts(&artefacts(), machine)
    }

    /// The same, of other parts than the stock ones.
    pub fn boot_parts(artefacts: &Artefacts, machine: &Machine) -> Self {
        Self::boot_as(Setup::of(artefacts, machine), machine)
    }

    /// Boots with empty ports and no device, without the driver.
    pub fn boot_ports(ports: u32) -> Self {
        Self::boot_empty(&Machine {
            ports,
            ..machine(ClockKind::Wall)
        })
    }

    /// The same of another machine.
    pub fn boot_empty(machine: &Machine) -> Self {
        let artefacts = artefacts();
        Self::boot_as(Setup::of(&artefacts, machine).without_device(), machine)
    }

    /// The same with a log of what the guest executes.
    pub fn boot_logged(machine: &Machine, log: &ExecutionLog) -> Self {
        let artefacts = artefacts();
        Self::boot_as(Setup::of(&artefacts, machine).logged(log), machine)
    }

    fn boot_as(setup: Setup<'_>, machine: &Machine) -> Self {
        let mut session = setup.boot().expect("the guest boots");
        if machine.clock == ClockKind::Instructions {
            session.steady().expect("the guest is made steady");
        }
        let boot_warnings = session.kernel_log().expect("the agent reads the log").len();
        Self {
            session,
            boot_warnings,
            number: coverage::number(),
        }
    }

    /// Those of these mechanisms that its kernel has: io_uring reads again and again
    /// since Linux 6.7.
    pub fn known(&self, mechanisms: &[Mechanism]) -> Vec<Mechanism> {
        let numbers = self.session.hello().kernel.split(['.', '-']);
        let release: Vec<u32> = numbers.map_while(|number| number.parse().ok()).collect();
        let is_known =
            |&mechanism: &Mechanism| mechanism != Mechanism::IoUring || release >= vec![6, 7];
        mechanisms.iter().copied().filter(is_known).collect()
    }

    /// Raises events at a rate the guest easily takes.
    pub fn raise(&mut self, events: u64, payload: u32) -> Run {
        self.raise_at(Rate::Hertz(1000.0), events, payload)
    }

    /// Raises events at the same rate, each when the one before has arrived: none is lost for want
    /// of room, however slow the guest is.
    pub fn raise_one_by_one(&mut self, events: u64, payload: u32) -> Run {
        self.raise_at(Rate::OneByOne(1000.0), events, payload)
    }

    fn raise_at(&mut self, rate: Rate, events: u64, payload: u32) -> Run {
        self.run(&Plan {
            events,
            rate,
            payload,
            vectors: 1,
            ..Plan::default()
        })
    }

    pub fn run(&mut self, plan: &Plan) -> Run {
        measure::run(&mut self.session, plan, &Progress::hidden()).expect("the run ends")
    }

    pub fn flush(&mut self) -> Counters {
        self.session.flush().expect("the driver answers")
    }

    /// What the kernel complained of, but that the driver is not its own and the
    /// machine slow.
    pub fn complaints(&mut self) -> Vec<String> {
        coverage::gather(&mut self.session, self.number);
        let log = self.session.kernel_log().expect("the agent reads the log");
        log.into_iter()
            .skip(self.boot_warnings)
            .filter(|line| !line.contains("loading out-of-tree module taints kernel"))
            .filter(|line| !SLOW.iter().any(|slow| line.starts_with(slow)))
            .filter(|line| {
                !line.starts_with("vfio-pci") || !RESETS.iter().any(|end| line.ends_with(end))
            })
            .collect()
    }

    /// The kernel had nothing to complain of.
    pub fn assert_quiet(&mut self) {
        let complaints = self.complaints();
        assert!(complaints.is_empty(), "kernel warnings: {complaints:#?}");
    }
}

/// Sends a signal to every listener.
pub fn signal_listeners(guest: &mut Guest, signal: &str) {
    // A listener's process is the agent with `listen` as its first argument.
    let mut script =
        format!("all=$(ps -o pid,args | awk '$3 == \"listen\" {{print $1}}'); kill -{signal} $all");
    if signal == "STOP" {
        // A process stops when it is there to be told, which may be after `kill` has ended.
        let stopped = "grep -q '^State:.T' /proc/$one/status";
        script += &format!("; for one in $all; do until {stopped}; do usleep 1000; done; done");
    }
    sh(&mut guest.session, &script);
}

/// What a script in the guest prints, which must succeed and complain of nothing.
#[track_caller]
pub fn sh(session: &mut Session, script: &str) -> String {
    let ran = session.run(&["sh", "-ec", script]);
    let (status, output, error) = ran.expect("a shell runs");
    assert_eq!((status, &*error), (0, ""), "{script}: {output}");
    output
}

/// Between two looks whether a script has ended.
const LOOK: Duration = Duration::from_millis(100);

/// What a script in the guest ends with, prints and complains of, where it takes longer than
/// the agent waits for a program. Who waits is told when it takes longer than `limit`.
#[track_caller]
pub fn sh_within(limit: Duration, session: &mut Session, script: &str) -> (i32, String, String) {
    let own = "/tmp/long";
    let script = format!(
        "rm -rf {own}; mkdir {own}; \
         (sh -c '{script}' >{own}/output 2>{own}/error; echo $? >{own}/new; \
         mv {own}/new {own}/status) </dev/null >/dev/null 2>&1 &"
    );
    sh(session, &script);
    let begun = Instant::now();
    let status = loop {
        let status = sh(session, &format!("cat {own}/status 2>/dev/null || true"));
        if let Ok(status) = status.trim().parse() {
            break status;
        }
        assert!(begun.elapsed() < limit, "it does not end: {script}");
        thread::sleep(LOOK);
    };
    let [output, error] = ["output", "error"].map(|name| sh(session, &format!("cat {own}/{name}")));
    (status, output, error)
}

/// Looks for objects that nobody points to. They count from an age of 5 s, and the first scan
/// may take what is on the move for lost.
pub const LOOK_FOR_LEAKS: &str = "sleep 6; echo scan >kmemleak; echo scan >kmemleak; cat kmemleak";

/// What a script for kmemleak prints.
#[track_caller]
pub fn kmemleak(limit: Duration, session: &mut Session, script: &str) -> String {
    let script = format!("cd /sys/kernel/debug; {script}");
    let (status, output, error) = sh_within(limit, session, &script);
    assert_eq!((status, &*error), (0, ""), "{script}");
    output
}

pub fn unicast() -> ListenerSpec {
    ListenerSpec::new(Mechanism::Netlink, Behaviour::Measure)
}

/// Sends a datagram to the driver as it is: what comes back.
pub fn send(guest: &mut Guest, bytes: Vec<u8>, unprivileged: bool) -> Vec<Vec<u8>> {
    send_to(guest, None, bytes, unprivileged)
}

/// Sends a datagram to another netlink protocol, where one is given.
pub fn send_to(
    guest: &mut Guest,
    protocol: Option<u32>,
    bytes: Vec<u8>,
    unprivileged: bool,
) -> Vec<Vec<u8>> {
    let request = Request::SendRaw {
        bytes,
        protocol,
        group: None,
        unprivileged,
    };
    match guest.session.ask(request).expect("the agent sends") {
        Reply::Datagrams { datagrams } => datagrams,
        other => panic!("{other:?}"),
    }
}

/// A netlink message: `nlmsghdr` as in linux/netlink.h, with `NLM_F_REQUEST | NLM_F_ACK`.
pub fn message(declared: u32, kind: u16, port: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = declared.to_le_bytes().to_vec();
    bytes.extend(kind.to_le_bytes());
    bytes.extend(5u16.to_le_bytes());
    bytes.extend(7u32.to_le_bytes());
    bytes.extend(port.to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// The error of an `NLMSG_ERROR` message, 0 for an ack.
pub fn error_of(datagram: &[u8]) -> i32 {
    assert_eq!(
        u16::from_le_bytes([datagram[4], datagram[5]]),
        2,
        "not an NLMSG_ERROR: {datagram:?}"
    );
    i32::from_le_bytes([datagram[16], datagram[17], datagram[18], datagram[19]])
}
