// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command prints has the shape that a page shows.

use std::{collections::BTreeMap, fs};

use irqbed_results::units::thousands;
use serde_json::Value;

use super::{
    catalogue::run,
    page::{Page, Shown},
};
use crate::{program::irqbed, report::baseline, sandbox::Sandbox, sources::repository};

/// Each line shown is the beginning of a line printed, in the same order, whatever the numbers.
#[track_caller]
fn assert_shape(shown: &Shown, printed: &str) {
    // One 0 for each number.
    fn shape(line: &str) -> String {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shape = String::new();
        let mut rest = words.chars().peekable();
        while let Some(c) = rest.next() {
            let digit_follows = rest.peek().is_some_and(char::is_ascii_digit);
            match c {
                '0'..='9' if shape.ends_with('0') => {}
                '0'..='9' => shape.push('0'),
                '.' | ',' if shape.ends_with('0') && digit_follows => {}
                c => shape.push(c),
            }
        }
        shape
    }
    let beginning: Vec<_> = printed.lines().take(20).collect();
    let mut printed_lines = printed.lines().map(shape);
    for line in shown.output.iter().filter(|line| line.trim() != "...") {
        let expected = shape(line.trim_end_matches("..."));
        assert!(
            printed_lines.any(|line| line.starts_with(&expected)),
            "`{}` does not print {line:?}, but:\n{}",
            shown.command,
            beginning.join("\n")
        );
    }
    assert!(!shown.output.is_empty(), "{shown:#?}");
}

/// What is shown of a command on a page.
fn shown(page: &str, command: &str) -> Shown {
    let page = Page::read(page);
    let mut shown = page.shown.into_iter();
    shown
        .find(|shown| shown.command == command)
        .unwrap_or_else(|| panic!("{} does not show `{command}`", page.path.display()))
}

#[test]
fn formats_of_a_comparison_look_as_shown() {
    for format in ["gab", "bmf"] {
        let sandbox = Sandbox::new();
        let base = baseline();
        let command = irqbed(&sandbox, &["compare", &base, &base, "--format", format]);
        let ended = run(&sandbox, command);
        ended.assert_good();
        let line = format!("./just compare base.json new.json --format {format}");
        assert_shape(&shown("docs/ci.md", &line), &ended.stdout);
    }
}

/// The median of `isr_to_user` of each pair, `mechanism context`, as a table shows it.
fn medians() -> BTreeMap<String, String> {
    let text = fs::read_to_string(baseline()).expect("it is there");
    let document: Value = serde_json::from_str(&text).expect("it is JSON");
    let results = document["results"].as_array().expect("results").iter();
    let medians = results.map(|result| {
        let [mechanism, context] = ["mechanism", "context"].map(|key| result[key].as_str());
        let pair = format!("{} {}", mechanism.expect("text"), context.expect("text"));
        let median = result["stages"]["isr_to_user"]["p50"].as_u64();
        (pair, thousands(median.expect("a number")))
    });
    medians.collect()
}

#[test]
fn figures_of_the_readme_and_of_the_mechanisms_are_those_of_the_baselines() {
    let medians = medians();
    let readme = fs::read_to_string(repository().join("README.md")).expect("it is there");
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().replace('`', "")).collect()
    };
    let mut lines = readme
        .lines()
        .skip_while(|line| !line.starts_with("| instructions |"));
    let contexts = cells(lines.next().expect("the table"));
    let rows: Vec<_> = lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(cells)
        .collect();
    assert_eq!(rows.len(), 10, "{rows:#?}");
    for row in rows {
        for (context, shown) in contexts.iter().zip(&row).skip(1) {
            let pair = format!("{} {context}", row[0]);
            assert_eq!(Some(shown), medians.get(&pair), "README.md: {pair}");
        }
    }
    let command = "./just bench --all --clock instructions --events 500";
    // These are not the same in each boot, as the page says.
    let varies = |mechanism: &str| matches!(mechanism, "ioctl" | "mmap-poll");
    let mut pairs = 0;
    for line in shown("docs/mechanisms.md", command).output {
        let words: Vec<_> = line.split_whitespace().collect();
        if let [mechanism, context, _, median, ..] = words[..]
            && let Some(expected) = medians.get(&format!("{mechanism} {context}"))
        {
            assert!(
                median == expected || varies(mechanism),
                "docs/mechanisms.md: {mechanism} {context}: {median}, {expected}"
            );
            pairs += 1;
        }
    }
    assert_eq!(pairs, medians.len(), "docs/mechanisms.md");
}

#[test]
fn the_list_of_kernels_looks_as_shown() {
    let sandbox = Sandbox::new();
    let ended = run(&sandbox, irqbed(&sandbox, &["kernel", "--list"]));
    assert_shape(
        &shown("docs/kernels.md", "irqbed kernel --list"),
        &ended.stdout,
    );
}

#[test]
fn a_fault_that_a_device_cannot_have_is_refused_as_shown() {
    let sandbox = Sandbox::new();
    let line = "./just try --device edu --agent check.sh --fault irq-lost:vector=9";
    let shown = shown("docs/faults.md", line);
    fs::write(sandbox.own("check.sh"), "#!/bin/sh\n").expect("a file");
    let words = line.strip_prefix("./just try ").expect("the recipe");
    let arguments: Vec<_> = ["test"].into_iter().chain(words.split(' ')).collect();
    let mut command = irqbed(&sandbox, &arguments);
    command.current_dir(sandbox.own(""));
    let ended = run(&sandbox, command);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert_shape(&shown, &ended.stderr);
}

#[test]
fn tables_of_a_guest_look_as_shown() {
    // What else is printed differs with the machine, or is a plot.
    const LINES: [&str; 13] = [
        "netlink ",
        "stage,",
        "raise_to_",
        "isr_to_",
        "notify_to_",
        "reply_to_",
        "clock:",
        "account:",
        "fault:",
        "instr.",
        "stamps:",
        "whole way",
        "trace:",
    ];
    let replies = "./just bench --events 500 --reply netlink,genetlink,write,ioctl,mmap";
    for (page, line) in [
        ("README.md", "./just bench"),
        ("docs/measurement.md", "./just bench --clock instructions"),
        ("docs/faults.md", "./just bench --fault irq-lost:chance=0.1"),
        ("docs/replies.md", replies),
        ("docs/path.md", "irqbed path"),
        ("docs/trace.md", "irqbed trace -o out.pftrace --events 50"),
    ] {
        let mut shown = shown(page, line);
        let is_compared = |line: &String| LINES.iter().any(|begin| line.starts_with(begin));
        shown.output.retain(is_compared);
        let sandbox = Sandbox::new();
        let arguments: Vec<_> = line.split(' ').skip(1).collect();
        let mut command = irqbed(&sandbox, &arguments);
        command.current_dir(sandbox.own(""));
        let ended = run(&sandbox, command);
        ended.assert_measured();
        assert_shape(&shown, &ended.stdout);
    }
}
