// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the harness and the agent say to each other over the guest's second
//! serial line: one JSON value a line, one [`Reply`] to each [`Request`], in
//! order, after the agent's [`Hello`].
//!
//! Nothing is said while events are in flight: results travel in the trace
//! slots, and this line only arranges the run.

use alloc::{boxed::Box, collections::BTreeMap, string::String, vec::Vec};

use serde::{Deserialize, Serialize};

use crate::{counters::Counters, reply::ReplyRequest};

/// Version of this protocol; both sides refuse another one.
pub const CONTROL_VERSION: u32 = 6;

/// Most bytes of text in a piece of the kernel's trace.
pub const TRACE_PIECE: u32 = 1 << 20;

/// The agent's first line: the guest is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// [`CONTROL_VERSION`] of the agent.
    pub irqbed: u32,
    /// Kernel release, as `uname -r`.
    pub kernel: String,
    /// Version of the agent.
    pub agent: String,
}

/// A way for a driver to tell a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// Subscribe: `netlink_unicast` to this listener.
    Netlink,
    /// Join the multicast group: one `netlink_broadcast` for all listeners.
    NetlinkBroadcast,
    /// Subscribe to the generic netlink family: unicast to this listener.
    Genetlink,
    /// Join the family's multicast group: one message for all listeners.
    GenetlinkMulticast,
    /// Blocking `read` of the character device.
    Read,
    /// `epoll_wait` on the character device, then `read`.
    Poll,
    /// Blocking ioctl of the character device.
    Ioctl,
    /// A handler of `SIGIO`, then the queue through its mapping.
    Signal,
    /// A real-time signal for each event, taken by `rt_sigtimedwait`, then the
    /// queue through its mapping.
    SignalQueued,
    /// Blocking `read` of an eventfd, then the queue through its mapping.
    Eventfd,
    /// Blocking `read` of a UIO device's counter, then the queue through its
    /// mapping.
    Uio,
    /// Multishot `read` of the character device by io_uring.
    #[serde(rename = "io_uring")]
    IoUring,
    /// Subscribe, and multishot `recv` by io_uring.
    #[serde(rename = "netlink-io_uring")]
    NetlinkIoUring,
    /// Blocking `read` of the eventfd of `vfio-pci`; the listener drives the
    /// device itself.
    Vfio,
    /// The queue through its mapping, looked at all the time.
    MmapPoll,
}

impl Mechanism {
    /// Every mechanism, in the order of tables.
    pub const ALL: &[Self] = &[
        Self::Netlink,
        Self::NetlinkBroadcast,
        Self::Genetlink,
        Self::GenetlinkMulticast,
        Self::Read,
        Self::Poll,
        Self::Ioctl,
        Self::Signal,
        Self::SignalQueued,
        Self::Eventfd,
        Self::Uio,
        Self::IoUring,
        Self::NetlinkIoUring,
        Self::Vfio,
        Self::MmapPoll,
    ];

    /// The name on command lines, in tables and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::NetlinkBroadcast => "netlink-broadcast",
            Self::Genetlink => "genetlink",
            Self::GenetlinkMulticast => "genetlink-multicast",
            Self::Read => "read",
            Self::Poll => "poll",
            Self::Ioctl => "ioctl",
            Self::Signal => "signal",
            Self::SignalQueued => "signal-queued",
            Self::Eventfd => "eventfd",
            Self::Uio => "uio",
            Self::IoUring => "io_uring",
            Self::NetlinkIoUring => "netlink-io_uring",
            Self::Vfio => "vfio",
            Self::MmapPoll => "mmap-poll",
        }
    }

    /// Whether the listener drives the device itself, and our driver must not.
    #[must_use]
    pub const fn drives_the_device(self) -> bool {
        matches!(self, Self::Vfio)
    }
}

/// A way for a process to reply to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyBy {
    /// A request to the driver's netlink socket, no acknowledgement asked.
    Netlink,
    /// A request to the driver's generic netlink family, no acknowledgement
    /// asked.
    Genetlink,
    /// `write` to the character device.
    Write,
    /// An ioctl of the character device.
    Ioctl,
    /// A store to the device's doorbell through its mapping: no driver.
    Mmap,
}

impl ReplyBy {
    /// Every way, in the order of tables.
    pub const ALL: &[Self] = &[
        Self::Netlink,
        Self::Genetlink,
        Self::Write,
        Self::Ioctl,
        Self::Mmap,
    ];

    /// The name on command lines, in tables and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Netlink => "netlink",
            Self::Genetlink => "genetlink",
            Self::Write => "write",
            Self::Ioctl => "ioctl",
            Self::Mmap => "mmap",
        }
    }
}

/// What a listener does with its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Behaviour {
    /// Receives, stamps the trace slots, checks and counts. One listener of a
    /// run may do this.
    Measure,
    /// The same, and stamps nothing: only its verdict goes into the slot. Shows
    /// what the stamps cost.
    Judge,
    /// Receives, checks and counts, but leaves the trace slots alone.
    Count,
    /// Receives and prints each event on the console, for a person.
    Print,
    /// Subscribes and never reads.
    Stall,
}

/// Something that disturbs the guest while events are on their way, one process
/// of it on each processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Load {
    /// Computes and never sleeps.
    Cpu,
    /// Sends datagrams to itself over the loopback interface: system calls and
    /// softirqs.
    Net,
    /// Wakes 10,000 times a second from a timer: interrupts and task switches.
    Irq,
}

impl Load {
    /// Every load.
    pub const ALL: &[Self] = &[Self::Cpu, Self::Net, Self::Irq];

    /// The name on command lines, in tables and in documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Net => "net",
            Self::Irq => "irq",
        }
    }
}

/// A listener to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerSpec {
    /// How it gets its events.
    pub mechanism: Mechanism,
    /// What it does with them.
    pub behaviour: Behaviour,
    /// Bit `v` asks for vector `v`; `netlink-broadcast` and `uio` give all to
    /// everybody.
    pub vectors: u32,
    /// Room for events that wait, bytes: `SO_RCVBUFFORCE` of a socket,
    /// the size of a queue. `None` leaves the default.
    pub receive_buffer: Option<u32>,
    /// Bytes of an event that the process takes at a time, where it reads the
    /// character device, or of a datagram, where io_uring receives it; `None`
    /// for any as a whole.
    #[serde(default)]
    pub read_size: Option<u32>,
    /// Priority in `SCHED_FIFO`, 1 to 99; `None` for `SCHED_OTHER`.
    #[serde(default)]
    pub fifo: Option<u8>,
    /// The one processor it may run on; `None` for all.
    #[serde(default)]
    pub cpu: Option<u32>,
    /// How it replies to each event, where it does; only a listener that
    /// measures may.
    #[serde(default)]
    pub reply: Option<ReplyBy>,
}

impl ListenerSpec {
    /// A listener to every vector, with all the rest as it is by default.
    #[must_use]
    pub const fn new(mechanism: Mechanism, behaviour: Behaviour) -> Self {
        Self {
            mechanism,
            behaviour,
            vectors: u32::MAX,
            receive_buffer: None,
            read_size: None,
            fifo: None,
            cpu: None,
            reply: None,
        }
    }
}

/// What a listener has seen up to now. It stays readable after its death.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerReport {
    /// Netlink port id.
    pub port_id: u32,
    /// Events received, good and bad.
    pub received: u64,
    /// Events whose payload was not what was sent.
    pub bad_payload: u64,
    /// Events that came after a later one of the same vector.
    pub out_of_order: u64,
    /// Datagrams that were no event.
    pub malformed: u64,
    /// Times `recvmsg` said `ENOBUFS`: some events before it were dropped.
    pub overrun_signals: u64,
    /// Times the queue of real-time signals had overflowed and a plain `SIGIO`
    /// came instead; no event is lost by that.
    #[serde(default)]
    pub signal_overflows: u64,
    /// Times it woke, or came back from the call that waits, with events or
    /// without: one wake-up may bring several.
    #[serde(default)]
    pub wake_ups: u64,
    /// Notifications that it was not woken for, because they came together with
    /// another one; of a mechanism that counts them.
    #[serde(default)]
    pub coalesced: u64,
    /// Replies it made, those that did not leave it among them.
    #[serde(default)]
    pub replies: u64,
    /// Replies that the driver's socket did not take.
    #[serde(default)]
    pub replies_unsent: u64,
    /// Messages the kernel dropped at this socket, from `/proc/net/netlink`;
    /// for a dead listener the last value read while it lived.
    pub kernel_drops: u64,
    /// Number of the last event received; 0 for none.
    pub last_seq: u64,
    /// Whether the process still runs.
    pub alive: bool,
}

/// A function of the kernel, as `/proc/kallsyms` knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbol {
    /// Where it begins.
    pub address: u64,
    /// Its name.
    pub name: String,
    /// The module it belongs to, if it does.
    pub module: Option<String>,
}

/// A task of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its own id.
    pub pid: i32,
    /// Id of its process.
    pub tgid: i32,
    /// Id of its process's parent; 0 for none.
    pub ppid: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// Arguments of its process, the program's name first; none of a thread of
    /// the kernel.
    pub arguments: Vec<String>,
}

/// What the kernel's trace of one processor holds, and what it lost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TracedCpu {
    /// The processor.
    pub cpu: u32,
    /// Entries that are there.
    pub entries: u64,
    /// Entries that younger ones were written over.
    pub overwritten: u64,
    /// Entries that were never written.
    pub dropped: u64,
}

/// A trace of the kernel that was frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSummary {
    /// One entry a processor.
    pub cpus: Vec<TracedCpu>,
    /// The tasks there are.
    pub tasks: Vec<Task>,
    /// Tracepoints that this kernel lacks.
    pub missing: Vec<String>,
}

/// A line of the kernel's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelMessage {
    /// Whether the kernel wrote it, and not a process.
    pub kernel: bool,
    /// Microseconds since the boot.
    pub time_us: u64,
    /// The line.
    pub text: String,
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
    Limit,
    /// Its time was up, and it cannot be killed: the kernel does not let go of
    /// it.
    Stuck {
        /// Where in the kernel, innermost function first; empty where the
        /// kernel does not say.
        stack: Vec<String>,
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
    /// The driver's counters after it handed on every record there is.
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
