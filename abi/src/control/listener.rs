// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Listeners: what they are asked to do, and what they have seen.

use serde::{Deserialize, Serialize};

use super::{Mechanism, ReplyBy};

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
    /// What the kernel dropped because there was no room for it at this listener:
    /// messages at its socket, from `/proc/net/netlink`, or events at its queue of the
    /// driver; for a dead listener the last value read while it lived.
    pub kernel_drops: u64,
    /// Number of the last event received; 0 for none.
    pub last_seq: u64,
    /// Whether the process still runs.
    pub alive: bool,
}
