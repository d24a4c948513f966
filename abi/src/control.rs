// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the harness and the agent say to each other over the guest's second
//! serial line: one JSON value a line, one [`Reply`] to each [`Request`], in
//! order, after the agent's [`Hello`].
//!
//! Nothing is said while events are in flight: results travel in the trace
//! slots, and this line only arranges the run.

mod kernel;
mod listener;
mod mechanism;
mod suspend;

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

pub use kernel::{
    Inspection, InterruptLine, KernelMessage, PciFunction, Process, Symbol, Task, TraceSummary,
    TracedCpu,
};
pub use listener::{Behaviour, ListenerReport, ListenerSpec, Load};
pub use mechanism::{Mechanism, ReplyBy};
pub use suspend::{PmTest, SleepState, Suspend};

use crate::{counters::Counters, reply::ReplyRequest};

/// Version of this protocol; both sides refuse another one.
pub const CONTROL_VERSION: u32 = 8;

/// Most bytes of text in a piece of the kernel's trace.
pub const TRACE_PIECE: u32 = 1 << 20;

/// The agent's first line: the guest is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`CONTROL_VERSION`] of the agent.
    pub irqbed: u32,
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Kernel version, as `uname -v`: it names PREEMPT_RT where that is on. Agents of
    /// other versions of this protocol may leave it out.
    #[serde(default)]
    pub version: String,
    /// Version of the agent.
    pub agent: String,
}

/// A stream that a program writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// How a watched program ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "kebab-case")]
pub enum Ending {
    /// By itself.
    Exited {
        /// Its exit status, 0 to 255.
        status: i32,
    },
    /// By a signal that was not ours.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// Its time was up, and it was killed.
    Limit {
        /// The processes there were, just before.
        processes: Vec<Process>,
    },
    /// Its time was up, and it cannot be killed: the kernel does not let go of
    /// it.
    Stuck {
        /// The processes that are left.
        processes: Vec<Process>,
    },
}

/// Accesses of a process to one word, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accesses {
    /// The device: its place on the bus, `0000:00:02.0`, or `VENDOR:DEVICE` in
    /// hexadecimal; `ram` for plain memory. No driver may have it.
    pub device: String,
    /// The BAR, of memory or of ports.
    pub bar: u32,
    /// Where in the BAR, bytes; a multiple of the width.
    pub offset: u64,
    /// How much at once, bytes: 1, 2, 4, and of memory 8.
    pub width: u32,
    /// The value that is written; `None` to read.
    pub write: Option<u64>,
    /// Batches, each of which is timed.
    pub batches: u64,
    /// Accesses of a batch.
    pub accesses: u64,
}

/// What the harness asks of the agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// Load the driver. Answer: [`Reply::Done`].
    LoadModule {
        /// Module parameters by name.
        parameters: BTreeMap<String, String>,
    },
    /// Unload the driver. Answer: [`Reply::Done`].
    UnloadModule,
    /// Give the device to `vfio-pci`, and load that where it is not. Answer:
    /// [`Reply::Done`].
    BindVfio,
    /// Take the device from `vfio-pci`; no listener may have it any more.
    /// Answer: [`Reply::Done`].
    UnbindVfio,
    /// Start a listener; it is subscribed when the answer comes. Answer:
    /// [`Reply::Listening`].
    Listen(ListenerSpec),
    /// Report of a listener. Answer: [`Reply::Listener`].
    Report {
        /// Number of the listener.
        listener: u32,
    },
    /// End a listener, cleanly (it unsubscribes) or by `SIGKILL`. Answer:
    /// [`Reply::Listener`], its last report.
    EndListener {
        /// Number of the listener.
        listener: u32,
        /// `SIGKILL`, in the middle of whatever it does.
        kill: bool,
    },
    /// The driver's counters, at once. Answer: [`Reply::Counters`].
    Counters,
    /// The driver's counters after it delivered every record there is.
    /// Answer: [`Reply::Counters`].
    Flush,
    /// Answer calibration pings until [`crate::trace::PING_STOP`]. Answers
    /// [`Reply::Calibrating`] when it begins to spin and [`Reply::Done`] when
    /// it was stopped: the one request with two answers.
    Calibrate,
    /// Send these bytes to the driver's netlink socket as they are, and say
    /// what comes back within a second. Answer: [`Reply::Datagrams`].
    SendRaw {
        /// The datagram.
        bytes: Vec<u8>,
        /// To this netlink protocol in place of the driver's own.
        #[serde(default)]
        protocol: Option<u32>,
        /// Join this multicast group first.
        #[serde(default)]
        group: Option<u32>,
        /// Send as an unprivileged user, without `CAP_NET_ADMIN`.
        unprivileged: bool,
    },
    /// Hand a reply to the driver by its ioctl as it is, good or bad. Answer:
    /// [`Reply::Returned`].
    ReplyByIoctl {
        /// Bytes of a [`crate::reply::ReplyRequest`]; `None` for an address
        /// where there is nothing.
        request: Option<[u8; size_of::<ReplyRequest>()]>,
    },
    /// Time accesses to a device. Answer: [`Reply::Accessed`].
    TimeAccesses(Accesses),
    /// Run a program of the guest to its end. Answer: [`Reply::Ran`].
    Run {
        /// The program and its arguments; busybox applets are on the path.
        argv: Vec<String>,
    },
    /// Run a program of the guest and pass on what it says as it says it. When
    /// it ends, or its time is up, every other process is killed, too. Answers:
    /// [`Reply::Said`] any number of times, then [`Reply::Ended`].
    Watch {
        /// The program and its arguments.
        argv: Vec<String>,
        /// Where it starts.
        directory: String,
        /// How long it may take, milliseconds.
        limit_ms: u64,
    },
    /// The time of the program that is watched is up now; asked while it runs.
    /// Answer, behind those to [`Request::Watch`]: [`Reply::Done`].
    EndWatch,
    /// Suspend the guest, while a program is watched, too. Answers:
    /// [`Reply::Suspending`] just before, and [`Reply::Done`] when it has resumed.
    /// A blank line wakes it from suspend to idle; awake it takes no notice of one.
    Suspend(Suspend),
    /// Load a module from a file of the guest, and before it what it needs of
    /// the kernel's own modules where they are there. Answer: [`Reply::Done`].
    InsertModule {
        /// The file.
        path: String,
        /// Module parameters as the kernel takes them, `name=value ...`.
        parameters: String,
    },
    /// Unload a module. Answer: [`Reply::Done`].
    RemoveModule {
        /// Its name, as `/proc/modules` has it.
        name: String,
    },
    /// What the kernel said, at any level, since the last such request, the
    /// oldest first. Answer: [`Reply::KernelMessages`].
    KernelMessages,
    /// Which interrupts nobody handled, and which driver each PCI device has. The agent looks
    /// now, and has looked every now and then while a module was loaded or a program ran.
    /// Answer: [`Reply::Inspected`].
    Inspect,
    /// Give the person at the console a shell; the guest ends with it. Answer:
    /// [`Reply::Done`].
    Shell,
    /// Disturb the guest from now on, or no more. Answer: [`Reply::Done`].
    Disturb {
        /// By what; `None` ends it.
        load: Option<Load>,
    },
    /// Kernel messages of level warning and worse since the start. Answer:
    /// [`Reply::KernelLog`].
    KernelLog,
    /// The kernel functions that addresses belong to. Answer:
    /// [`Reply::Symbols`].
    Symbols {
        /// Virtual addresses of the kernel, in any order.
        addresses: Vec<u64>,
    },
    /// Have the kernel trace scheduler and interrupts from now on, stamped by
    /// the time stamp counter; what it had traced before is gone. Answer:
    /// [`Reply::Done`].
    StartTrace {
        /// Room for the trace of each processor, KiB; the oldest entries give
        /// way.
        room_kib: u32,
    },
    /// Nothing is traced from now on, and the trace stays as it is. Answer:
    /// [`Reply::Done`].
    FreezeTrace,
    /// Freeze the trace, if it is not, and say what there is. Answer:
    /// [`Reply::Trace`].
    SummarizeTrace,
    /// The next piece of a frozen trace as text. Answer: [`Reply::TracePiece`].
    ReadTrace,
    /// End of the guest. Answer: [`Reply::Done`], then it powers off.
    PowerOff,
}

/// What the agent answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Reply {
    /// The request was carried out.
    Done,
    /// The request failed.
    Failed {
        /// What failed and why, in one line.
        error: String,
    },
    /// The agent spins on the ping from now on.
    Calibrating,
    /// The guest suspends now.
    Suspending,
    /// A listener is subscribed.
    Listening {
        /// Number of the listener, counted from 0.
        listener: u32,
        /// Its netlink port id.
        port_id: u32,
    },
    /// Report of a listener.
    Listener(ListenerReport),
    /// The driver's counters.
    Counters(Box<Counters>),
    /// What came back from the driver.
    Datagrams {
        /// One entry a datagram.
        datagrams: Vec<Vec<u8>>,
    },
    /// A system call returned.
    Returned {
        /// Number of its error, 0 for none.
        errno: i32,
    },
    /// Accesses were timed.
    Accessed {
        /// Of each batch, cycles of the guest's time stamp counter.
        cycles: Vec<u64>,
    },
    /// A program ended.
    Ran {
        /// Exit status; 128 + signal number when a signal ended it.
        status: i32,
        /// Its standard output.
        stdout: String,
        /// Its standard error.
        stderr: String,
    },
    /// A watched program said something.
    Said {
        /// Where.
        stream: Stream,
        /// What; bytes that are no UTF-8 are replaced.
        text: String,
    },
    /// A watched program ended.
    Ended(Ending),
    /// What the kernel said.
    KernelMessages {
        /// The first ones, where there are very many.
        messages: Vec<KernelMessage>,
        /// Messages that are not among them: too many, or overwritten before
        /// they were read.
        left_out: u64,
    },
    /// What drivers did with interrupts and devices.
    Inspected(Inspection),
    /// Kernel messages.
    KernelLog {
        /// One entry a message.
        lines: Vec<String>,
    },
    /// What a trace holds.
    Trace(TraceSummary),
    /// A piece of the trace.
    TracePiece {
        /// Its text, deflated (RFC 1951), in base64; pieces end anywhere.
        deflated: String,
        /// Bytes of the text, at most [`TRACE_PIECE`]; 0 at the end.
        bytes: u32,
    },
    /// Functions of the kernel.
    Symbols {
        /// Those that the addresses belong to, each once, in order.
        symbols: Vec<Symbol>,
    },
}
