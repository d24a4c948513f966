// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The few messages and fields of Perfetto's trace format that we write. Names
//! and numbers are those of its public description (`perfetto_trace.proto`).

use prost::{Enumeration, Message, Oneof};

/// A whole file.
#[derive(Clone, PartialEq, Message)]
pub struct Trace {
    /// In any order.
    #[prost(message, repeated, tag = "1")]
    pub packet: Vec<TracePacket>,
}

/// One thing that a writer said.
#[derive(Clone, PartialEq, Message)]
pub struct TracePacket {
    /// When, nanoseconds.
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    /// The writer.
    #[prost(uint32, optional, tag = "10")]
    pub trusted_packet_sequence_id: Option<u32>,
    /// 1: nothing that this writer said before counts any more.
    #[prost(uint32, optional, tag = "13")]
    pub sequence_flags: Option<u32>,
    /// What.
    #[prost(oneof = "Data", tags = "1, 2, 11, 34, 45, 60")]
    pub data: Option<Data>,
}

/// What a packet holds.
#[derive(Clone, PartialEq, Oneof)]
pub enum Data {
    /// Entries of the kernel's trace.
    #[prost(message, tag = "1")]
    FtraceEvents(FtraceEventBundle),
    /// Processes and threads.
    #[prost(message, tag = "2")]
    ProcessTree(ProcessTree),
    /// Something on a track.
    #[prost(message, tag = "11")]
    TrackEvent(TrackEvent),
    /// What the kernel's trace lost.
    #[prost(message, tag = "34")]
    FtraceStats(FtraceStats),
    /// The system that was traced.
    #[prost(message, tag = "45")]
    SystemInfo(SystemInfo),
    /// A track.
    #[prost(message, tag = "60")]
    TrackDescriptor(TrackDescriptor),
}

/// Entries of one processor.
#[derive(Clone, PartialEq, Message)]
pub struct FtraceEventBundle {
    /// The processor.
    #[prost(uint32, optional, tag = "1")]
    pub cpu: Option<u32>,
    /// In the order of time.
    #[prost(message, repeated, tag = "2")]
    pub event: Vec<FtraceEvent>,
    /// Whether entries before the first are missing.
    #[prost(bool, optional, tag = "3")]
    pub lost_events: Option<bool>,
}

/// An entry of the kernel's trace.
#[derive(Clone, PartialEq, Message)]
pub struct FtraceEvent {
    /// When, nanoseconds.
    #[prost(uint64, optional, tag = "1")]
    pub timestamp: Option<u64>,
    /// The task that had the processor.
    #[prost(uint32, optional, tag = "2")]
    pub pid: Option<u32>,
    /// What.
    #[prost(
        oneof = "FtraceData",
        tags = "4, 17, 20, 21, 22, 24, 25, 26, 36, 37, 114, 559, 560"
    )]
    pub event: Option<FtraceData>,
}

/// What an entry says.
#[derive(Clone, PartialEq, Oneof)]
pub enum FtraceData {
    /// `sched_switch`
    #[prost(message, tag = "4")]
    SchedSwitch(SchedSwitch),
    /// `sched_wakeup`
    #[prost(message, tag = "17")]
    SchedWakeup(SchedWakeup),
    /// `sched_waking`
    #[prost(message, tag = "20")]
    SchedWaking(SchedWakeup),
    /// An interrupt between processors begins.
    #[prost(message, tag = "21")]
    IpiEntry(Ipi),
    /// It ends.
    #[prost(message, tag = "22")]
    IpiExit(Ipi),
    /// `softirq_entry`
    #[prost(message, tag = "24")]
    SoftirqEntry(SoftirqVec),
    /// `softirq_exit`
    #[prost(message, tag = "25")]
    SoftirqExit(SoftirqVec),
    /// `softirq_raise`
    #[prost(message, tag = "26")]
    SoftirqRaise(SoftirqVec),
    /// `irq_handler_entry`
    #[prost(message, tag = "36")]
    IrqHandlerEntry(IrqHandlerEntry),
    /// `irq_handler_exit`
    #[prost(message, tag = "37")]
    IrqHandlerExit(IrqHandlerExit),
    /// `sched_wakeup_new`
    #[prost(message, tag = "114")]
    SchedWakeupNew(SchedWakeup),
    /// `local_timer_entry`
    #[prost(message, tag = "559")]
    LocalTimerEntry(LocalTimer),
    /// `local_timer_exit`
    #[prost(message, tag = "560")]
    LocalTimerExit(LocalTimer),
}

/// A processor goes from one task to another.
#[derive(Clone, PartialEq, Message)]
pub struct SchedSwitch {
    /// Name of the task that ran.
    #[prost(string, optional, tag = "1")]
    pub prev_comm: Option<String>,
    /// Its id.
    #[prost(int32, optional, tag = "2")]
    pub prev_pid: Option<i32>,
    /// Its priority.
    #[prost(int32, optional, tag = "3")]
    pub prev_prio: Option<i32>,
    /// Its state, bits of the kernel's.
    #[prost(int64, optional, tag = "4")]
    pub prev_state: Option<i64>,
    /// Name of the task that runs now.
    #[prost(string, optional, tag = "5")]
    pub next_comm: Option<String>,
    /// Its id.
    #[prost(int32, optional, tag = "6")]
    pub next_pid: Option<i32>,
    /// Its priority.
    #[prost(int32, optional, tag = "7")]
    pub next_prio: Option<i32>,
}

/// A task is woken.
#[derive(Clone, PartialEq, Message)]
pub struct SchedWakeup {
    /// Its name.
    #[prost(string, optional, tag = "1")]
    pub comm: Option<String>,
    /// Its id.
    #[prost(int32, optional, tag = "2")]
    pub pid: Option<i32>,
    /// Its priority.
    #[prost(int32, optional, tag = "3")]
    pub prio: Option<i32>,
    /// The processor it is to run on.
    #[prost(int32, optional, tag = "5")]
    pub target_cpu: Option<i32>,
}

/// An interrupt between processors.
#[derive(Clone, PartialEq, Message)]
pub struct Ipi {
    /// What it is for.
    #[prost(string, optional, tag = "1")]
    pub reason: Option<String>,
}

/// A softirq.
#[derive(Clone, PartialEq, Message)]
pub struct SoftirqVec {
    /// Its number.
    #[prost(uint32, optional, tag = "1")]
    pub vec: Option<u32>,
}

/// The handler of an interrupt begins.
#[derive(Clone, PartialEq, Message)]
pub struct IrqHandlerEntry {
    /// Number of the interrupt.
    #[prost(int32, optional, tag = "1")]
    pub irq: Option<i32>,
    /// Name of the handler.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
}

/// The handler of an interrupt ends.
#[derive(Clone, PartialEq, Message)]
pub struct IrqHandlerExit {
    /// Number of the interrupt.
    #[prost(int32, optional, tag = "1")]
    pub irq: Option<i32>,
    /// 1 when it was for this handler.
    #[prost(int32, optional, tag = "2")]
    pub ret: Option<i32>,
}

/// The processor's own timer.
#[derive(Clone, PartialEq, Message)]
pub struct LocalTimer {
    /// Number of the vector.
    #[prost(int32, optional, tag = "1")]
    pub vector: Option<i32>,
}

/// What the kernel's trace lost.
#[derive(Clone, PartialEq, Message)]
pub struct FtraceStats {
    /// 2: at the end of the trace.
    #[prost(int32, optional, tag = "1")]
    pub phase: Option<i32>,
    /// One entry a processor.
    #[prost(message, repeated, tag = "2")]
    pub cpu_stats: Vec<FtraceCpuStats>,
}

/// What one processor's trace lost.
#[derive(Clone, PartialEq, Message)]
pub struct FtraceCpuStats {
    /// The processor.
    #[prost(uint64, optional, tag = "1")]
    pub cpu: Option<u64>,
    /// Entries that are there.
    #[prost(uint64, optional, tag = "2")]
    pub entries: Option<u64>,
    /// Entries that were written over.
    #[prost(uint64, optional, tag = "3")]
    pub overrun: Option<u64>,
    /// Entries that were never written.
    #[prost(uint64, optional, tag = "8")]
    pub dropped_events: Option<u64>,
}

/// The system that was traced.
#[derive(Clone, PartialEq, Message)]
pub struct SystemInfo {
    /// As `uname` says.
    #[prost(message, optional, tag = "1")]
    pub utsname: Option<Utsname>,
}

/// As `uname` says.
#[derive(Clone, PartialEq, Message)]
pub struct Utsname {
    /// `Linux`
    #[prost(string, optional, tag = "1")]
    pub sysname: Option<String>,
    /// Release of the kernel.
    #[prost(string, optional, tag = "3")]
    pub release: Option<String>,
    /// `x86_64`
    #[prost(string, optional, tag = "4")]
    pub machine: Option<String>,
}

/// Processes and threads.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessTree {
    /// Processes.
    #[prost(message, repeated, tag = "1")]
    pub processes: Vec<Process>,
    /// Threads that are not the first of their process.
    #[prost(message, repeated, tag = "2")]
    pub threads: Vec<Thread>,
}

/// A process.
#[derive(Clone, PartialEq, Message)]
pub struct Process {
    /// Its id.
    #[prost(int32, optional, tag = "1")]
    pub pid: Option<i32>,
    /// Id of its parent.
    #[prost(int32, optional, tag = "2")]
    pub ppid: Option<i32>,
    /// Its name, and its arguments.
    #[prost(string, repeated, tag = "3")]
    pub cmdline: Vec<String>,
}

/// A thread.
#[derive(Clone, PartialEq, Message)]
pub struct Thread {
    /// Its id.
    #[prost(int32, optional, tag = "1")]
    pub tid: Option<i32>,
    /// Its name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// Id of its process.
    #[prost(int32, optional, tag = "3")]
    pub tgid: Option<i32>,
}

/// A track.
#[derive(Clone, PartialEq, Message)]
pub struct TrackDescriptor {
    /// Its number.
    #[prost(uint64, optional, tag = "1")]
    pub uuid: Option<u64>,
    /// Its name.
    #[prost(string, optional, tag = "2")]
    pub name: Option<String>,
    /// The track it belongs to.
    #[prost(uint64, optional, tag = "5")]
    pub parent_uuid: Option<u64>,
    /// 3: what belongs to it is in the order of its ranks.
    #[prost(int32, optional, tag = "11")]
    pub child_ordering: Option<i32>,
    /// Its rank among its siblings.
    #[prost(int32, optional, tag = "12")]
    pub sibling_order_rank: Option<i32>,
}

/// Something on a track.
#[derive(Clone, PartialEq, Message)]
pub struct TrackEvent {
    /// What more there is to say.
    #[prost(message, repeated, tag = "4")]
    pub debug_annotations: Vec<DebugAnnotation>,
    /// Whether something begins, ends or is a moment.
    #[prost(enumeration = "TrackEventType", optional, tag = "9")]
    pub r#type: Option<i32>,
    /// The track.
    #[prost(uint64, optional, tag = "11")]
    pub track_uuid: Option<u64>,
    /// What kind of thing it is.
    #[prost(string, repeated, tag = "22")]
    pub categories: Vec<String>,
    /// Its name.
    #[prost(string, optional, tag = "23")]
    pub name: Option<String>,
    /// What it is joined to: everything of the same number.
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    pub flow_ids: Vec<u64>,
    /// The same, of the last that is joined.
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    pub terminating_flow_ids: Vec<u64>,
}

/// The types of [`TrackEvent`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub enum TrackEventType {
    /// Nothing we write.
    Unspecified = 0,
    /// It begins.
    SliceBegin = 1,
    /// What began last on its track ends.
    SliceEnd = 2,
    /// A moment.
    Instant = 3,
}

/// A name and its value.
#[derive(Clone, PartialEq, Message)]
pub struct DebugAnnotation {
    /// The value.
    #[prost(uint64, optional, tag = "3")]
    pub uint_value: Option<u64>,
    /// The name.
    #[prost(string, optional, tag = "10")]
    pub name: Option<String>,
}
