// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed report`: where the page goes, and what is said when there is none.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{program::run, sandbox::Sandbox};

/// A result of every pair.
pub fn baseline() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench/baselines/instructions.json");
    path.to_str().expect("a name").to_owned()
}

/// The example of the page about JSON.
fn example(sandbox: &Sandbox, name: &str, change: impl Fn(&str) -> String) -> String {
    const PAGE: &str = include_str!("../../../docs/json.md");
    let (_, rest) = PAGE.split_once("```json\n").expect("an example");
    let (example, _) = rest.split_once("```").expect("its end");
    let path = sandbox.own(name);
    fs::write(&path, change(example)).expect("a file");
    text(&path)
}

fn text(path: &Path) -> String {
    path.to_str().expect("a name").to_owned()
}

#[test]
fn a_page_is_written_to_a_file_or_to_standard_output() {
    let sandbox = Sandbox::new();
    let page = sandbox.own("page.html");
    let ended = run(&sandbox, &["report", &baseline(), "-o", &text(&page)]);
    ended.assert_good();
    assert_eq!(ended.stdout, "");
    let written = fs::read_to_string(&page).expect("the page");
    assert_eq!(written.matches("<details class=\"pair\"").count(), 56);
    let ended = run(&sandbox, &["report", &baseline(), "-o", "-"]);
    ended.assert_good();
    assert_eq!(ended.stdout, written);
}

#[test]
fn the_example_of_the_documentation_has_a_page() {
    let sandbox = Sandbox::new();
    let result = example(&sandbox, "result.json", str::to_owned);
    let ended = run(&sandbox, &["report", &result, &baseline(), "-o", "-"]);
    ended.assert_good();
    assert!(ended.stdout.contains("socket_full 1"));
    assert!(ended.stdout.contains("only in the new document"));
}

#[test]
fn what_cannot_be_shown_is_named_in_one_line_and_replaces_nothing() {
    let sandbox = Sandbox::new();
    let page = sandbox.own("page.html");
    fs::write(&page, "the page of yesterday").expect("a file");
    let good = example(&sandbox, "good.json", str::to_owned);
    let replaced = |name: &str, from: &str, to: &str| {
        example(&sandbox, name, |text| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        })
    };
    let cut = |text: &str| text[..text.len() / 2].to_owned();
    let cases = [
        (example(&sandbox, "cut", cut), "is cut short"),
        (
            example(&sandbox, "foreign", |_| "{}".to_owned()),
            "not a result of irqbed",
        ),
        (replaced("newer", "irqbed/1", "irqbed/2"), "irqbed/2"),
        (
            replaced("none", "\"histogram\": \"", "\"histogram\": \"A"),
            "histogram",
        ),
        (
            replaced("slices", "\"slices\": [\"", "\"slices\": [\"A"),
            "the timeline",
        ),
        (
            replaced("empty", "\"results\": [", "\"results\": [], \"old\": ["),
            "no results",
        ),
        ("/nonexistent/result.json".to_owned(), "cannot read"),
    ];
    for (bad, words) in cases {
        for results in [[&*bad, &*good], [&good, &bad]] {
            let ended = run(
                &sandbox,
                &["report", results[0], results[1], "-o", &text(&page)],
            );
            assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
            assert_eq!(ended.stdout, "");
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
            for word in [words, &bad] {
                assert!(ended.stderr.contains(word), "{}", ended.stderr);
            }
        }
    }
    let kept = fs::read_to_string(&page).expect("it is there");
    assert_eq!(kept, "the page of yesterday");
}

#[test]
fn a_page_does_not_replace_its_result() {
    let sandbox = Sandbox::new();
    let result = example(&sandbox, "result.json", str::to_owned);
    let before = fs::read(&result).expect("the result");
    let ended = run(&sandbox, &["report", &result, "-o", &result]);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("would replace"), "{}", ended.stderr);
    assert_eq!(fs::read(&result).expect("the result"), before);
}

#[test]
fn a_page_that_cannot_be_written_is_an_error() {
    let sandbox = Sandbox::new();
    let nowhere: PathBuf = sandbox.own("missing").join("page.html");
    let ended = run(&sandbox, &["report", &baseline(), "-o", &text(&nowhere)]);
    ended.assert_refused(&["cannot write", "there is no folder"]);
}

#[test]
fn a_report_needs_a_result_a_place_and_not_too_many() {
    let sandbox = Sandbox::new();
    run(&sandbox, &["report", "-o", "page.html"]).assert_usage(&["required arguments"]);
    run(&sandbox, &["report", &baseline()]).assert_usage(&["required arguments"]);
    let baseline = baseline();
    let seven = [&["report", "-o", "-"][..], &[&*baseline; 7]].concat();
    let ended = run(&sandbox, &seven);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert!(ended.stderr.contains("up to 6"), "{}", ended.stderr);
}
