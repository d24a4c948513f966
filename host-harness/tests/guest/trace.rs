// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A timeline holds every event with its four moments in order, and the guest's
//! own trace beside them; a limit ends the run and is explained.

use std::collections::{BTreeMap, BTreeSet};

use irqbed_machine::{progress::Progress, qemu::ClockKind};
use irqbed_measure::bench::Bench;
use irqbed_observe::trace::{
    self, Recording, perfetto,
    proto::{Data, FtraceData, Trace, TrackEvent, TrackEventType},
};
use irqbed_results::{
    mechanism::{Context, Mechanism, Pair},
    units::Nanos,
};
use prost::Message;

use crate::support::{Guest, machine, sh};

const EVENTS: u64 = 50;

fn record(
    guest: &mut Guest,
    mechanism: Mechanism,
    context: Context,
    limit: Option<Nanos>,
) -> Recording {
    let mut bench = Bench::new(&machine(ClockKind::Wall), Pair { mechanism, context });
    bench.plan.events = EVENTS;
    let session = &mut guest.session;
    bench.prepare(session).expect("the driver loads");
    let recording = trace::record(&bench, session, limit, &Progress::hidden())
        .unwrap_or_else(|error| panic!("{}: {error}", bench.pair));
    bench.put_away(session).expect("the driver unloads");
    assert!(recording.result.account.balances());
    assert_eq!((recording.ftrace.unread, recording.lost()), (0, 0));
    recording
}

/// Decodes the file: what is on the tracks of the events, with the time and the
/// name of the track, and the entries of the kernel.
struct Decoded {
    on_tracks: Vec<(u64, String, TrackEvent)>,
    kernel: Vec<FtraceData>,
    processes: BTreeSet<String>,
}

fn decode(recording: &Recording) -> Decoded {
    let file = perfetto::encode(recording);
    let trace = Trace::decode(&*file).expect("Perfetto's format");
    let mut names = BTreeMap::new();
    let mut decoded = Decoded {
        on_tracks: Vec::new(),
        kernel: Vec::new(),
        processes: BTreeSet::new(),
    };
    for (number, packet) in trace.packet.into_iter().enumerate() {
        assert!(packet.trusted_packet_sequence_id.is_some());
        assert_eq!(packet.sequence_flags, (number == 0).then_some(1));
        match packet.data.expect("nothing is empty") {
            Data::TrackDescriptor(track) => {
                names.insert(track.uuid, track.name.expect("a name"));
            }
            Data::TrackEvent(event) => {
                let at = packet.timestamp.expect("a time");
                let track = names.get(&event.track_uuid).expect("a track").clone();
                decoded.on_tracks.push((at, track, event));
            }
            Data::FtraceEvents(bundle) => {
                let times: Vec<_> = bundle.event.iter().map(|entry| entry.timestamp).collect();
                assert!(times.is_sorted() && bundle.cpu == Some(0));
                let entries = bundle.event.into_iter();
                decoded
                    .kernel
                    .extend(entries.filter_map(|entry| entry.event));
            }
            Data::ProcessTree(tree) => {
                let names = tree
                    .processes
                    .into_iter()
                    .flat_map(|process| process.cmdline);
                decoded.processes.extend(names);
            }
            Data::FtraceStats(_) | Data::SystemInfo(_) => {}
        }
    }
    decoded
}

#[test]
fn a_timeline_has_each_event_from_the_device_to_the_agent_and_the_scheduler() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    for (mechanism, context) in [
        (Mechanism::Netlink, Context::Hardirq),
        (Mechanism::Read, Context::Threaded),
    ] {
        let recording = record(&mut guest, mechanism, context, None);
        assert_eq!(recording.result.account.delivered, EVENTS);
        let decoded = decode(&recording);

        let mut ways: BTreeMap<u64, Vec<(u64, String)>> = BTreeMap::new();
        let mut ends: BTreeMap<u64, u64> = BTreeMap::new();
        for (at, track, event) in decoded.on_tracks {
            if event.r#type == Some(TrackEventType::SliceEnd.into()) {
                assert!(at >= ends[&event.track_uuid.expect("a track")]);
                continue;
            }
            ends.insert(event.track_uuid.expect("a track"), at);
            for seq in event.flow_ids.iter().chain(&event.terminating_flow_ids) {
                ways.entry(*seq).or_default().push((at, track.clone()));
            }
        }
        assert_eq!(ways.len() as u64, EVENTS);
        for (seq, mut way) in ways {
            way.sort_by_key(|(at, _)| *at);
            let tracks: Vec<&str> = way.iter().map(|(_, track)| track.as_str()).collect();
            let expected = ["device", "vCPU 0: ISR", "notifier", "agent"];
            assert_eq!(tracks, expected, "event {seq} of {}", mechanism.as_str());
        }

        let count = |is: fn(&FtraceData) -> bool| {
            decoded.kernel.iter().filter(|entry| is(entry)).count() as u64
        };
        let to_listener = |entry: &FtraceData| match entry {
            FtraceData::SchedSwitch(switch) => switch.next_comm.as_deref() == Some("listener"),
            _ => false,
        };
        let of_device = |entry: &FtraceData| match entry {
            FtraceData::IrqHandlerEntry(irq) => irq
                .name
                .as_deref()
                .is_some_and(|name| name.starts_with("irqbed")),
            _ => false,
        };
        // On a busy host interrupts merge, and an event that finds the listener
        // awake needs no switch.
        assert!(count(of_device) >= 1);
        assert!(count(to_listener) >= 1);
        assert!(decoded.processes.contains("listener"));
    }
    guest.assert_quiet();
}

#[test]
fn a_run_stops_at_the_first_event_above_the_limit_and_says_what_it_waited_for() {
    let mut guest = Guest::boot_bare(&machine(ClockKind::Wall));
    let limit = Nanos(1);
    let recording = record(
        &mut guest,
        Mechanism::Eventfd,
        Context::Workqueue,
        Some(limit),
    );
    let raised = recording.run.traces.len() as u64;
    assert!(raised < EVENTS, "{raised}");
    let slow = recording.slow(limit).expect("every event takes longer");
    let stopped_by = recording.run.stopped_by.expect("it was stopped");
    assert_eq!(slow.seq, stopped_by.get());
    // The one after those that warm the guest up.
    let first = recording.run.traces.get(recording.warm_up as usize);
    assert_eq!(first.expect("an event").seq, stopped_by);
    assert!(slow.taken.is_some_and(|taken| taken > limit));
    let words = slow.to_string();
    for part in [
        "CPU 0 took the interrupt",
        "task `kworker/",
        "task `listener`",
        "had CPU 0 for",
    ] {
        assert!(words.contains(part), "{words}");
    }
    assert!(!words.contains("does not say"), "{words}");

    // A limit that nothing reaches ends nothing.
    let limit = Nanos(u64::MAX);
    let recording = record(&mut guest, Mechanism::Eventfd, Context::Bh, Some(limit));
    assert_eq!(recording.run.traces.len() as u64, EVENTS);
    assert!(recording.slow(limit).is_none() && recording.slowest() < Some(limit));

    // Where there is no room the oldest entries give way, and are counted.
    let session = &mut guest.session;
    session.start_trace(16).expect("the kernel traces");
    let script = "i=0; while [ $i -lt 100 ]; do usleep 1; i=$((i + 1)); done";
    sh(session, script);
    let summary = session.summarize_trace().expect("it was traced");
    assert!(
        summary.cpus.iter().all(|cpu| cpu.overwritten > 0),
        "{summary:?}"
    );
    let text = session.trace_text().expect("a text");
    let entries = trace::ftrace::Ftrace::read(&text).entries.len() as u64;
    assert_eq!(
        entries,
        summary.cpus.iter().map(|cpu| cpu.entries).sum::<u64>()
    );
    guest.assert_quiet();
}
