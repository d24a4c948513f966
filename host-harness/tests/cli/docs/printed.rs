// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command prints has the shape that a page shows.

use std::{
    fs,
    process::{Command, Output},
};

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

#[test]
fn the_list_of_kernels_looks_as_shown() {
    let Output { stdout, .. } = Command::new(repository().join("images/kernel.sh"))
        .arg("--list")
        .output()
        .expect("the script runs");
    let printed = String::from_utf8(stdout).expect("UTF-8");
    assert_shape(&shown("docs/kernels.md", "./just kernel --list"), &printed);
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
