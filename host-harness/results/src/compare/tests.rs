// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is compared with what, and what follows.

use super::*;
use crate::{
    account::{Account, Loss},
    result::{FaultCounts, Stages, examples},
    stages::{Sample, StageHistograms},
    units::Nanos,
};

/// A result whose every event takes so long from isr to user.
fn result(unit: Unit, length: i64) -> RunResult {
    result_of(unit, &[length])
}

/// A result of events that take so long from isr to user.
fn result_of(unit: Unit, lengths: &[i64]) -> RunResult {
    let mut histograms = StageHistograms::new(unit);
    histograms.extend(lengths.iter().map(|length| Sample {
        raise_to_isr: Some(50_000),
        isr_to_notify: Some(100),
        notify_to_user: Some(length - 100),
        ..Sample::default()
    }));
    let mut result = match unit {
        Unit::Instructions => examples::instructions(),
        Unit::Nanoseconds => examples::wall(),
    };
    result.stages = Stages::from(&histograms);
    result
}

fn document(results: Vec<RunResult>) -> Document {
    let mut document = examples::document(result(Unit::Instructions, 1000));
    document.results = results;
    document
}

fn instructions(length: i64) -> Document {
    document(vec![result(Unit::Instructions, length)])
}

fn wall(lengths: &[i64]) -> Document {
    let rounds = lengths.iter();
    document(
        rounds
            .map(|&length| result(Unit::Nanoseconds, length))
            .collect(),
    )
}

fn verdict_of(comparison: &Comparison, stage: Stage) -> &Verdict {
    let mut rows = comparison.rows.iter();
    &rows
        .find(|row| row.stage == Some(stage))
        .expect("a row")
        .verdict
}

fn obstacle_of(base: &Document, new: &Document) -> String {
    let comparison = compare(base, new, &Thresholds::default());
    assert!(!comparison.says_anything(), "{comparison:?}");
    match verdict_of(&comparison, Stage::IsrToUser) {
        Verdict::NotComparable { why } => why.clone(),
        verdict => panic!("{verdict:?}"),
    }
}

#[test]
fn a_path_one_percent_longer_is_found_and_half_a_percent_is_not_asked_about() {
    let base = instructions(6000);
    for (length, expected) in [
        (6000, Verdict::Same),
        (6030, Verdict::Same),
        (6031, Verdict::Worse),
        (6060, Verdict::Worse),
        (5969, Verdict::Better),
    ] {
        let comparison = compare(&base, &instructions(length), &Thresholds::default());
        assert_eq!(
            *verdict_of(&comparison, Stage::IsrToUser),
            expected,
            "{length}"
        );
        assert_eq!(*verdict_of(&comparison, Stage::IsrToNotify), Verdict::Same);
    }
}

#[test]
fn a_listener_that_never_sleeps_may_swing_with_its_loop() {
    let of = |length: i64| {
        let mut document = instructions(length);
        document.results[0].mechanism = "mmap-poll".to_owned();
        document
    };
    let verdict = |length: i64| {
        let comparison = compare(&of(700), &of(length), &Thresholds::default());
        verdict_of(&comparison, Stage::IsrToUser).clone()
    };
    assert_eq!(verdict(720), Verdict::Same);
    assert_eq!(verdict(722), Verdict::Worse);
}

#[test]
fn a_path_that_both_sides_take_is_no_change_whichever_is_the_median() {
    let of = |mechanism: &str, paths: [(i64, usize); 2]| {
        let lengths = paths.map(|(length, events)| vec![length; events]).concat();
        let mut result = result_of(Unit::Instructions, &lengths);
        result.mechanism = mechanism.to_owned();
        document(vec![result])
    };
    let verdict = |mechanism, new| {
        let base = of(mechanism, [(2887, 190), (3065, 10)]);
        let comparison = compare(&base, &of(mechanism, new), &Thresholds::default());
        verdict_of(&comparison, Stage::IsrToUser).clone()
    };
    assert_eq!(
        verdict("mmap-poll", [(2887, 10), (3065, 190)]),
        Verdict::Same
    );
    // All paths are longer, and the shorter is now as long as the longer was.
    assert_eq!(
        verdict("mmap-poll", [(3065, 190), (3243, 10)]),
        Verdict::Worse
    );
    // Where a listener sleeps there is one path.
    assert_eq!(
        verdict("netlink", [(2887, 10), (3065, 190)]),
        Verdict::Worse
    );
}

#[test]
fn wall_time_needs_rounds_significance_and_size() {
    let base = wall(&[100_000, 101_000, 99_000, 100_500, 99_500, 102_000]);
    let verdict = |lengths: &[i64]| {
        let comparison = compare(&base, &wall(lengths), &Thresholds::default());
        verdict_of(&comparison, Stage::IsrToUser).clone()
    };
    let slower = [112_000, 110_000, 111_000, 113_000, 109_000, 110_500];
    assert_eq!(verdict(&slower), Verdict::Worse);
    // Significant, but small.
    let little = [103_000, 103_100, 102_900, 103_000, 103_200, 103_050];
    assert_eq!(verdict(&little), Verdict::Same);
    // Large, but of one round.
    let stalled = [100_000, 101_000, 99_000, 100_500, 99_500, 900_000];
    assert_eq!(verdict(&stalled), Verdict::Same);
    let why = obstacle_of(&base, &wall(&slower[..4]));
    assert!(why.contains("5 rounds"), "{why}");
}

#[test]
fn runs_whose_devices_went_wrong_differently_are_not_compared() {
    let with = |fault: &str, hits: u64| {
        let mut document = instructions(6000);
        let (fault, opportunities) = (fault.to_owned(), 1000);
        document.results[0].faults.push(FaultCounts {
            fault,
            opportunities,
            hits,
        });
        document
    };
    let base = with("irq-lost:chance=0.1", 97);
    for other in [instructions(6000), with("irq-lost:chance=0.2", 97)] {
        assert_eq!(obstacle_of(&base, &other), "fault differs");
    }
    // How often chance hit is what was found.
    let same = with("irq-lost:chance=0.1", 103);
    assert!(compare(&base, &same, &Thresholds::default()).says_anything());
}

#[test]
fn what_is_not_the_same_thing_is_not_compared_and_says_why() {
    let base = instructions(6000);
    let mut other = instructions(6000);
    other.results[0].parameters.payload_bytes = 64;
    assert_eq!(obstacle_of(&base, &other), "payload_bytes differs");
    let mut other = instructions(6000);
    other.environment.guest_kernel = "6.1".to_owned();
    assert!(obstacle_of(&base, &other).contains("Linux 6.1"));
    let mut other = instructions(6000);
    other.results[0].account = Account::new(5, 4);
    assert!(obstacle_of(&base, &other).contains("does not balance"));
    assert!(obstacle_of(&base, &wall(&[1000])).contains("instructions"));
    let mut other = wall(&[100_000; 5]);
    other.environment.cpu = "abacus".to_owned();
    assert!(obstacle_of(&wall(&[100_000; 5]), &other).contains("the processor differs"));
}

#[test]
fn ways_to_reply_are_no_rounds_of_the_same() {
    let both = document(vec![examples::wall(), examples::replied()]);
    let keys: Vec<_> = by_pair(&both).into_keys().map(|key| key.1).collect();
    assert_eq!(keys, ["hardirq", "hardirq, replies by write"]);
}

#[test]
fn a_pair_on_one_side_only_is_said() {
    let mut other = result(Unit::Instructions, 6000);
    other.context = "bh".to_owned();
    let comparison = compare(
        &instructions(6000),
        &document(vec![other]),
        &Thresholds::default(),
    );
    let why: Vec<_> = comparison
        .rows
        .iter()
        .map(|row| row.verdict.clone())
        .collect();
    assert_eq!(
        why,
        ["only in the base", "only in the new document"].map(|why| Verdict::NotComparable {
            why: why.to_owned()
        })
    );
}

#[test]
fn lost_events_do_not_hinder_as_long_as_they_have_a_name() {
    let mut new = instructions(6000);
    new.results[0].account = Account::new(5, 4);
    new.results[0].account.lose(Loss::SocketFull, 1);
    let comparison = compare(&instructions(6000), &new, &Thresholds::default());
    assert!(comparison.says_anything());
}

#[test]
fn a_changed_driver_is_noted() {
    let mut new = instructions(6000);
    let delay = ("delay_insns".to_owned(), "60".to_owned());
    new.results[0].parameters.module_parameters.extend([delay]);
    let comparison = compare(&instructions(6000), &new, &Thresholds::default());
    assert!(
        comparison.notes[0].contains("delay_insns"),
        "{comparison:?}"
    );
}

#[test]
fn each_format_tells_what_became_worse() {
    let new = instructions(7000);
    let comparison = compare(&instructions(6000), &new, &Thresholds::default());
    let text = format::text(&comparison);
    assert!(
        text.contains("isr_to_user     6,000  7,000  +16.67 %  worse"),
        "{text}"
    );
    assert!(
        text.ends_with("2 worse, 0 better, 1 the same, 0 not comparable\n"),
        "{text}"
    );
    let markdown = format::markdown(&comparison);
    assert!(
        markdown
            .contains("| netlink | hardirq | isr_to_user | 6,000 | 7,000 | +16.67 % | **worse** |"),
        "{markdown}"
    );
    let json: serde_json::Value = serde_json::from_str(&format::json(&comparison)).expect("JSON");
    assert_eq!(json["schema"], "irqbed-compare/1");
    assert_eq!(json["rows"].as_array().map(Vec::len), Some(3));
    let junit = format::junit(&comparison).expect("XML");
    assert!(
        junit.contains(r#"tests="3""#) && junit.contains(r#"failures="2""#),
        "{junit}"
    );
    let gab: serde_json::Value =
        serde_json::from_str(&format::github_action_benchmark(&new)).expect("JSON");
    let figure = serde_json::json!(
        {"name": "netlink/hardirq/isr_to_user/p50", "unit": "instructions", "value": 7000}
    );
    assert!(gab.as_array().expect("figures").contains(&figure), "{gab}");
    let bmf: serde_json::Value = serde_json::from_str(&format::bencher(&new)).expect("JSON");
    assert_eq!(
        bmf["netlink/hardirq/isr_to_user/p50"]["instructions"]["value"],
        7000
    );
}

#[test]
fn guests_that_took_turns_are_compared_turn_by_turn() {
    let thresholds = Thresholds {
        side_by_side: true,
        ..Thresholds::default()
    };
    // The machine becomes slower in the middle of each boot, a little earlier
    // for one side than for the other: the medians of the boots say nothing.
    let with_turns = |medians: [u64; 5], all: i64| {
        let mut round = result(Unit::Nanoseconds, all);
        let medians = medians.map(|median| Some(Nanos(median))).to_vec();
        round.turns = Some([(Stage::IsrToUser, medians)].into());
        document(vec![round; 12])
    };
    let base = with_turns([50_000, 51_000, 90_000, 91_000, 90_000], 90_000);
    let verdict = |new: &Document| {
        let comparison = compare(&base, new, &thresholds);
        verdict_of(&comparison, Stage::IsrToUser).clone()
    };
    let longer = with_turns([55_000, 56_000, 60_000, 100_000, 99_000], 60_000);
    assert_eq!(verdict(&longer), Verdict::Worse);
    let same = with_turns([50_000, 51_000, 60_000, 91_000, 90_000], 60_000);
    assert_eq!(verdict(&same), Verdict::Same);
    // Without turns their medians are what there is.
    let mut none = same;
    none.results.iter_mut().for_each(|round| round.turns = None);
    assert_eq!(verdict(&none), Verdict::Better);
}

#[test]
fn rounds_side_by_side_are_compared_pair_by_pair() {
    let thresholds = Thresholds {
        side_by_side: true,
        ..Thresholds::default()
    };
    // The machine is slow, and becomes faster.
    let base: Vec<i64> = (0..12).map(|round| 200_000 - 8_000 * round).collect();
    let of = |lengths: &[i64]| compare(&wall(&base), &wall(lengths), &thresholds);
    let longer = |percent: i64| -> Vec<i64> {
        let lengths = base.iter().map(|length| length * (100 + percent) / 100);
        lengths.collect()
    };
    let comparison = of(&longer(10));
    assert_eq!(
        *verdict_of(&comparison, Stage::IsrToUser),
        Verdict::Worse,
        "{comparison:?}"
    );
    let row = comparison.regressions().next().expect("a row");
    let change = row.change().expect("a change");
    assert!((9.5..10.5).contains(&change), "{change}");
    for same in [0, 4] {
        let comparison = of(&longer(same));
        assert_eq!(
            comparison.regressions().next(),
            None,
            "{same}: {comparison:?}"
        );
    }
    let comparison = of(&longer(10)[..11]);
    assert!(!comparison.says_anything());
    // Three figures, each at a third of 1 %, to either side: 2^-10.
    let few = compare(&wall(&base[..9]), &wall(&longer(10)[..9]), &thresholds);
    let Verdict::NotComparable { why } = verdict_of(&few, Stage::IsrToUser) else {
        panic!("{few:?}");
    };
    assert!(why.contains("need 10 rounds"), "{why}");
}

#[test]
fn drivers_of_two_compilers_are_compared_only_on_demand() {
    let base = instructions(1000);
    let mut new = instructions(2000);
    new.environment.driver_compiler = "gcc (Debian 14.2.0-19) 14.2.0".to_owned();
    let why = obstacle_of(&base, &new);
    for part in [
        "by gcc (Debian 12.2.0-14+deb12u1) 12.2.0",
        "14.2.0;",
        "--across-env",
    ] {
        assert!(why.contains(part), "no {part:?}: {why}");
    }
    let thresholds = Thresholds {
        across_environments: true,
        ..Thresholds::default()
    };
    assert!(compare(&base, &new, &thresholds).says_anything());
    // An older result does not name it.
    new.environment.driver_compiler.clear();
    assert!(compare(&base, &new, &Thresholds::default()).says_anything());
}

#[test]
fn agents_of_two_compilers_are_noted() {
    let base = instructions(1000);
    let mut new = instructions(1000);
    new.environment.agent_compiler = "rustc 1.88.0 (6b00bc388 2025-06-23)".to_owned();
    let comparison = compare(&base, &new, &Thresholds::default());
    assert!(comparison.says_anything());
    let [note] = &comparison.notes[..] else {
        panic!("{comparison:?}");
    };
    assert!(
        note.contains("rustc 1.95.0 ") && note.contains("rustc 1.88.0 "),
        "{note}"
    );
}
