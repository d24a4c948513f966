// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The comparison with peers, in a real guest, as short as it can be.

use std::process::Command;

use irqbed_bench::peers::{self, Plan, Report, Subject};
use irqbed_machine::{
    accel::{self, AccelRequest},
    artefacts::Artefacts,
    progress::Progress,
    qemu::{ClockKind, Machine},
};
use irqbed_measure::{environment, pin::Pin};

#[test]
fn every_peer_is_measured_in_one_guest() {
    let choice = accel::choose(AccelRequest::Auto).expect("an accelerator");
    let machine = Machine::new(choice.accelerator, ClockKind::Wall);
    // Two: one has no interval.
    let plan = Plan {
        rounds: 2,
        events: 5,
        pin: Pin::Auto,
    };
    let measured = peers::measure(&machine, &plan, &Progress::hidden())
        .unwrap_or_else(|error| panic!("{error:#}"));
    let artefacts = Artefacts::locate().expect("artefacts");
    let report = Report {
        measured: &measured,
        plan: &plan,
        environment: &environment::gather(&artefacts, &measured.kernel, &choice),
        command: "a test",
    };
    let text = report.markdown();
    for subject in Subject::ALL {
        let line = format!("\n| {} | ", subject.title());
        if subject == Subject::KvmFloor && measured.no_floor.is_some() {
            assert!(text.contains("Without KVM's floor: "), "{text}");
            continue;
        }
        assert!(text.contains(&line), "{line}\n{text}");
        let rounds = &measured.subjects[&subject];
        assert_eq!(rounds.0.len(), 2, "{subject:?}");
        assert!(rounds.0.iter().all(|round| round.len() >= 5), "{subject:?}");
    }
}

#[test]
fn a_number_that_makes_no_sense_is_refused() {
    for arguments in [["--rounds", "1"], ["--events", "ten"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_irqbed-peers"))
            .args(arguments)
            .output()
            .expect("the program");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}
