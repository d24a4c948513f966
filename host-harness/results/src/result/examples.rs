// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made-up results for the tests of documents, tables and pages, here and in the crate that
//! shows results.

use std::collections::BTreeMap;

use irqbed_results::{
    account::Account,
    environment::Environment,
    mechanism::InterruptType,
    result::{
        Behaviour, Clock, Delivery, Document, Listener, Parameters, Replies, RunResult, Scheduling,
        Stages, Timeline,
    },
    stages::{Sample, StageHistograms},
    units::{Nanos, Unit},
};

/// A document of one result.
#[must_use]
pub fn document(result: RunResult) -> Document {
    Document::new(environment(), vec![result])
}

fn environment() -> Environment {
    Environment {
        irqbed: "0.1.0".to_owned(),
        date: "2026-02-03T04:05:06Z".to_owned(),
        command_line: ["irqbed", "bench", "--events", "1000"]
            .map(str::to_owned)
            .to_vec(),
        qemu: "11.1.3 (Debian 1:11.1.3+ds-1)".to_owned(),
        guest_kernel: "6.12.117+deb12-amd64".to_owned(),
        guest_kernel_sha256: String::new(),
        initramfs_sha256: String::new(),
        driver_compiler: "gcc (Debian 12.2.0-14+deb12u1) 12.2.0".to_owned(),
        agent_compiler: "rustc 1.95.0 (59807616e 2026-04-14)".to_owned(),
        accelerator: "tcg".to_owned(),
        accelerator_reason:
            "KVM opens but cannot run a 64-bit guest: emulation failure at cmpxchg16b".to_owned(),
        cpu: "AMD EPYC".to_owned(),
        cores: 2,
        memory_mib: 8_192,
        host_kernel: "6.1.0-40-amd64".to_owned(),
    }
}

/// 1,000 events that get slower.
#[must_use]
pub fn wall() -> RunResult {
    result(Clock::wall(Nanos(310), Nanos(40), Nanos(1_000)), |event| {
        Sample {
            raise_to_isr: Some(75_000 + event * event / 4),
            isr_to_notify: Some(900 + event),
            notify_to_user: Some(150_000 + 10 * event),
            ..Sample::default()
        }
    })
}

/// 1,000 events on one path, the last one on another.
#[must_use]
pub fn instructions() -> RunResult {
    result(Clock::instructions(), |event| Sample {
        isr_to_notify: Some(412),
        notify_to_user: Some(if event == 999 { 65_747 } else { 6_311 }),
        ..Sample::default()
    })
}

/// 1,000 events that were replied to.
#[must_use]
pub fn replied() -> RunResult {
    let sample = |event| Sample {
        raise_to_isr: Some(75_000),
        isr_to_notify: Some(900),
        notify_to_user: Some(150_000),
        reply_to_command: Some(30_000 + event),
        command_to_device: Some(40_000),
        reply_to_device: Some(70_000 + event),
        raise_to_device: Some(296_000 + event),
        unstamped: None,
    };
    RunResult {
        replies: Some(Replies {
            by: "write".to_owned(),
            account: Account::new(1000, 1000),
        }),
        ..result(Clock::wall(Nanos(310), Nanos(40), Nanos(1_000)), sample)
    }
}

fn result(clock: Clock, sample: impl Fn(i64) -> Sample) -> RunResult {
    let mut histograms = StageHistograms::new(clock.unit());
    histograms.extend((0..1000).map(&sample));
    let stage = Timeline::stage_of(clock.unit());
    let events: Vec<_> = (0..1000u64)
        .map(|event| (event, sample(event.cast_signed()).stage(stage)))
        .collect();
    debug_assert!(clock.unit() != Unit::Nanoseconds || clock.is_valid());
    RunResult {
        mechanism: "netlink".to_owned(),
        context: "hardirq".to_owned(),
        clock,
        parameters: Parameters {
            events: 1000,
            rate_hz: Some(1000.0),
            window: None,
            poisson_seed: None,
            burst: 1,
            batch: 1,
            load: None,
            scheduling: Scheduling::default(),
            receive_buffer: None,
            payload_bytes: 16,
            vectors: 1,
            irq: InterruptType::Msix,
            delivery: Delivery::Unicast,
            vcpus: 1,
            pin: None,
            memory_mib: 256,
            poll_us: 0,
            module_parameters: BTreeMap::new(),
            kernel_parameters: Vec::new(),
        },
        duration_ns: Nanos(1_000_250_000),
        account: Account::new(1000, 1000),
        faults: Vec::new(),
        replies: None,
        listeners: vec![Listener {
            delivery: Delivery::Unicast,
            behaviour: Behaviour::Measure,
            received: 1000,
            bad_payload: 0,
            out_of_order: 0,
            malformed: 0,
            overrun_signals: 0,
            signal_overflows: 0,
            wake_ups: 1000,
            coalesced: 0,
            kernel_drops: 0,
            alive: true,
            account: None,
        }],
        driver: None,
        saturation: None,
        stages: Stages::from(&histograms),
        turns: None,
        timeline: Timeline::new(clock.unit(), Nanos(1_000_250_000), &events),
        notes: Vec::new(),
    }
}
