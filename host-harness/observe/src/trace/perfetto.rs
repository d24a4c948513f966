// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A recording in Perfetto's format: each event's way over the tracks of device,
//! interrupt handler, notifier and agent, joined by its number, and the guest's
//! own trace, all in nanoseconds of the host's `CLOCK_MONOTONIC_RAW`.

use std::collections::BTreeMap;

use irqbed_abi::control::{Task, TraceSummary, TracedCpu};
use irqbed_measure::{
    clock::{Moment, WallClock},
    measure,
};
use prost::Message;

use super::{
    Recording,
    convert::bundles,
    handlers::Handlers,
    names::Names,
    proto::{
        Data, DebugAnnotation, FtraceCpuStats, FtraceStats, Process, ProcessTree, SystemInfo,
        Thread, Trace, TracePacket, TrackDescriptor, TrackEvent, TrackEventType, Utsname,
    },
};

/// All that is written comes from one writer.
const WRITER: u32 = 1;
/// Nothing of this writer came before.
const FROM_THE_START: u32 = 1;
/// Tracks below another one are in the order of their ranks.
const BY_RANK: i32 = 3;
/// At the end of a trace.
const END_OF_TRACE: i32 = 2;
/// The track that all of ours belong to.
const ROOT: u64 = 1;

/// Where on its way an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Device,
    /// In the interrupt handler, on this processor where it is known.
    Isr(Option<u32>),
    Notifier,
    Agent,
    /// In the driver, with the reply.
    Driver,
    /// At the device, with the reply.
    DeviceAgain,
}

impl Place {
    fn name(self) -> String {
        match self {
            Self::Device => "device".to_owned(),
            Self::Isr(Some(cpu)) => format!("vCPU {cpu}: ISR"),
            Self::Isr(None) => "ISR".to_owned(),
            Self::Notifier => "notifier".to_owned(),
            Self::Agent => "agent".to_owned(),
            Self::Driver => "driver: reply".to_owned(),
            Self::DeviceAgain => "device: reply".to_owned(),
        }
    }
}

/// A stage of one event, or its last moment.
#[derive(Debug)]
struct Slice {
    place: Place,
    from: Moment,
    /// `None` for a moment.
    to: Option<Moment>,
    name: String,
    seq: u64,
    /// Whether the event's way ends here.
    last: bool,
}

/// The whole file.
#[must_use]
pub fn encode(recording: &Recording) -> Vec<u8> {
    let names = recording.names();
    let mut packets = vec![TracePacket {
        sequence_flags: Some(FROM_THE_START),
        ..packet(Data::SystemInfo(system(&recording.kernel)))
    }];
    packets.push(packet(Data::ProcessTree(processes(
        &recording.summary.tasks,
        &names,
    ))));
    packets.extend(events(recording));
    packets.extend(bundles(recording, &names).map(|bundle| packet(Data::FtraceEvents(bundle))));
    packets.push(packet(Data::FtraceStats(losses(&recording.summary))));
    Trace { packet: packets }.encode_to_vec()
}

fn packet(data: Data) -> TracePacket {
    TracePacket {
        timestamp: None,
        trusted_packet_sequence_id: Some(WRITER),
        sequence_flags: None,
        data: Some(data),
    }
}

/// A moment as the format has it.
pub(super) fn stamp(at: Moment) -> u64 {
    u64::try_from(at.0).unwrap_or(0)
}

fn system(kernel: &str) -> SystemInfo {
    SystemInfo {
        utsname: Some(Utsname {
            sysname: Some("Linux".to_owned()),
            release: Some(kernel.to_owned()),
            machine: Some("x86_64".to_owned()),
        }),
    }
}

fn processes(tasks: &[Task], names: &Names) -> ProcessTree {
    let (first, others): (Vec<&Task>, Vec<&Task>) =
        tasks.iter().partition(|task| task.pid == task.tgid);
    let name = |pid| names.get(pid).unwrap_or_default().to_owned();
    ProcessTree {
        processes: first
            .into_iter()
            .map(|task| Process {
                pid: Some(task.pid),
                ppid: Some(task.ppid),
                cmdline: vec![name(task.pid)],
            })
            .collect(),
        threads: others
            .into_iter()
            .map(|task| Thread {
                tid: Some(task.pid),
                name: Some(name(task.pid)),
                tgid: Some(task.tgid),
            })
            .collect(),
    }
}

fn losses(summary: &TraceSummary) -> FtraceStats {
    let of_one = |cpu: &TracedCpu| FtraceCpuStats {
        cpu: Some(cpu.cpu.into()),
        entries: Some(cpu.entries),
        overrun: Some(cpu.overwritten),
        dropped_events: Some(cpu.dropped),
    };
    FtraceStats {
        phase: Some(END_OF_TRACE),
        cpu_stats: summary.cpus.iter().map(of_one).collect(),
    }
}

/// The tracks of the events, and what is on them.
fn events(recording: &Recording) -> Vec<TracePacket> {
    let handlers = recording.handlers();
    let mut slices: Vec<Slice> = recording
        .run
        .traces
        .iter()
        .flat_map(|trace| slices(trace, &recording.clock, &handlers))
        .collect();
    slices.sort_by_key(|slice| (slice.place, slice.from, slice.to));
    let mut tracks = vec![track(ROOT, None, "events", 0)];
    let mut happened = Vec::new();
    let mut lanes = Lanes::default();
    for slice in &slices {
        let (uuid, is_new) = lanes.take(slice);
        if is_new {
            let rank = i32::try_from(tracks.len()).unwrap_or(i32::MAX);
            tracks.push(track(uuid, Some(ROOT), &slice.place.name(), rank));
        }
        happened.extend(on_track(slice, uuid));
    }
    tracks.into_iter().chain(happened).collect()
}

fn track(uuid: u64, parent: Option<u64>, name: &str, rank: i32) -> TracePacket {
    packet(Data::TrackDescriptor(TrackDescriptor {
        uuid: Some(uuid),
        name: Some(name.to_owned()),
        parent_uuid: parent,
        child_ordering: parent.is_none().then_some(BY_RANK),
        sibling_order_rank: parent.map(|_| rank),
    }))
}

/// The way of an event: each stage on the track of the place that it begins at.
fn slices(trace: &measure::Trace, clock: &WallClock, handlers: &Handlers) -> Vec<Slice> {
    let host = |at: Option<_>| at.map(|at| clock.of_host(at));
    let guest = |at: Option<_>| at.map(|at| clock.of_guest(at));
    let isr = Place::Isr(trace.isr.and_then(|at| handlers.cpu_at(at)));
    let points = [
        (Place::Device, "raise", host(trace.raise)),
        (isr, "isr", guest(trace.isr)),
        (Place::Notifier, "notify", guest(trace.notify)),
        (Place::Agent, "user", guest(trace.user)),
        (Place::Agent, "reply", guest(trace.reply)),
        (Place::Driver, "command", guest(trace.command)),
        (Place::DeviceAgain, "device", host(trace.device)),
    ];
    let mut points: Vec<(Place, &str, Moment)> = points
        .into_iter()
        .filter_map(|(place, name, at)| Some((place, name, at?)))
        .collect();
    // Between host and guest a moment may be early by the clock's error.
    let mut latest = Moment(0);
    for (_, _, at) in &mut points {
        *at = latest.max(*at);
        latest = *at;
    }
    let mut next = points.iter().skip(1);
    let slice = |&(place, name, from): &(Place, &str, Moment)| {
        let next = next.next();
        Slice {
            place,
            from,
            to: next.map(|(_, _, to)| *to),
            name: next.map_or_else(|| name.to_owned(), |(_, to, _)| format!("{name}_to_{to}")),
            seq: trace.seq.get(),
            last: next.is_none(),
        }
    };
    points.iter().map(slice).collect()
}

/// Tracks of the same name, as many as there are slices at a time.
#[derive(Debug, Default)]
struct Lanes {
    /// The track's number, and when its last slice ends.
    of_place: BTreeMap<Place, Vec<(u64, Moment)>>,
    count: u64,
}

impl Lanes {
    /// A track that is free when the slice begins, and whether it is new.
    fn take(&mut self, slice: &Slice) -> (u64, bool) {
        let end = slice.to.unwrap_or(slice.from);
        let lanes = self.of_place.entry(slice.place).or_default();
        if let Some((uuid, taken)) = lanes.iter_mut().find(|(_, end)| *end <= slice.from) {
            *taken = end;
            return (*uuid, false);
        }
        self.count += 1;
        let uuid = ROOT + self.count;
        lanes.push((uuid, end));
        (uuid, true)
    }
}

fn on_track(slice: &Slice, uuid: u64) -> Vec<TracePacket> {
    let happened = |at: Moment, event: TrackEvent| TracePacket {
        timestamp: Some(stamp(at)),
        ..packet(Data::TrackEvent(event))
    };
    let kind = match slice.to {
        Some(_) => TrackEventType::SliceBegin,
        None => TrackEventType::Instant,
    };
    let flow = vec![slice.seq];
    let (flow_ids, terminating_flow_ids) = if slice.last {
        (Vec::new(), flow)
    } else {
        (flow, Vec::new())
    };
    let begin = TrackEvent {
        debug_annotations: vec![DebugAnnotation {
            uint_value: Some(slice.seq),
            name: Some("seq".to_owned()),
        }],
        r#type: Some(kind.into()),
        track_uuid: Some(uuid),
        categories: vec!["irqbed".to_owned()],
        name: Some(slice.name.clone()),
        flow_ids,
        terminating_flow_ids,
    };
    let end = slice.to.map(|to| {
        let event = TrackEvent {
            r#type: Some(TrackEventType::SliceEnd.into()),
            track_uuid: Some(uuid),
            ..TrackEvent::default()
        };
        happened(to, event)
    });
    [happened(slice.from, begin)]
        .into_iter()
        .chain(end)
        .collect()
}
