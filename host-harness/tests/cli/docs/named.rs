// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a page names is there: keys, files, tests, other pages.

use std::{fs, path::Path, process::Command};

use super::{assert_none, catalogue::run, page::Page, pages};
use crate::{program::irqbed, sandbox::Sandbox, sources::repository};

#[test]
fn the_page_of_scenarios_names_every_key() {
    let sandbox = Sandbox::new();
    let page = Page::read("docs/scenario.md");
    for table in [
        "",
        "[[device]]\n",
        "[[module]]\n",
        "[[file]]\n",
        "[[when]]\n",
    ] {
        let file = sandbox.own("bad.toml");
        fs::write(&file, format!("{table}limits = 10\n")).expect("a file");
        let file = file.to_str().expect("UTF-8");
        let ended = run(&sandbox, irqbed(&sandbox, &["test", file]));
        assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
        let (_, keys) = ended
            .stderr
            .split_once("expected one of ")
            .or_else(|| ended.stderr.split_once("expected "))
            .unwrap_or_else(|| panic!("{table}: {ended:#?}"));
        for key in keys.split('`').skip(1).step_by(2) {
            let key = key.replace('_', "-");
            let named = page.spans.iter().any(|span| {
                let mut words = span.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
                words.any(|word| word == key)
            });
            assert!(named, "docs/scenario.md lacks `{key}` of {table:?}");
        }
    }
}

#[test]
fn files_are_shown_as_they_are() {
    let mut files = 0;
    for page in pages() {
        for shown in &page.shown {
            let Some(file) = shown.command.strip_prefix("cat ") else {
                continue;
            };
            let text = fs::read_to_string(repository().join(file)).expect("a file");
            let lines: Vec<_> = text
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with("# "))
                .map(|line| line.trim_start_matches('\t'))
                .collect();
            assert_eq!(lines, shown.output, "{}: {file}", page.name());
            files += 1;
        }
    }
    assert!(files > 1, "{files}");
}

#[test]
fn every_link_leads_to_a_page_and_a_heading() {
    let mut mistakes = Vec::new();
    for page in pages() {
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = page.path.parent().expect("a folder");
            let target = match file {
                "" => page.path.clone(),
                file => folder.join(file),
            };
            let is_there = repository().join(&target).exists();
            let has_anchor =
                anchor.is_empty() || is_there && Page::read(&target).anchors.contains(anchor);
            if !is_there || !has_anchor {
                mistakes.push(format!("{}: {link}", page.name()));
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn each_page_has_its_place_in_the_readme() {
    let readme = fs::read_to_string(repository().join("README.md")).expect("a page");
    let (_, doors) = readme.split_once("\n## Measure\n").expect("a section");
    for page in pages().iter().filter(|page| page.name() != "README.md") {
        let links = doors.matches(&format!("]({})", page.name())).count();
        assert_eq!(links, 1, "links to {} in README.md", page.name());
    }
}

/// The text of all sources with these endings below a folder, strings that go on in the
/// next line in one piece.
fn texts_below(folder: &Path, endings: &[&str], text: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let ending = path.extension().unwrap_or_default();
        if path.is_dir() {
            texts_below(&path, endings, text);
        } else if endings.iter().any(|wanted| ending == *wanted) {
            let source = fs::read_to_string(&path).expect("UTF-8");
            let mut pieces = source.split("\\\n");
            text.push_str(pieces.next().unwrap_or_default());
            text.extend(pieces.map(str::trim_start));
        }
    }
}

#[test]
fn each_message_of_the_page_of_troubles_is_one_of_ours() {
    let mut text = String::new();
    texts_below(&repository().join("host-harness"), &["rs"], &mut text);
    texts_below(&repository().join("images"), &["rs", "sh"], &mut text);
    let page = fs::read_to_string(repository().join("docs/troubleshooting.md")).expect("a page");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let mut messages = 0;
    for message in rows.filter_map(|row| row.split('`').next()) {
        for part in message.split("...").filter(|part| !part.trim().is_empty()) {
            assert!(text.contains(part), "nobody says {part:?} of `{message}`");
        }
        messages += 1;
    }
    assert!(messages > 15, "{messages}");
}

#[test]
fn every_file_and_test_named_is_there() {
    const FOLDERS: [&str; 10] = [
        "abi/",
        "bench/",
        "device-model/",
        "docs/",
        "examples/",
        "guest-agent/",
        "guest-kmod/",
        "host-harness/",
        "images/",
        "tcg-plugin/",
    ];
    let sources = sources();
    let mut mistakes = Vec::new();
    for page in pages() {
        for span in &page.spans {
            // A pattern, or a name to be chosen.
            let is_open = span.contains(['*', ' ', '<', '{'])
                || span.chars().any(|c| c.is_ascii_uppercase())
                    && !repository().join(span).exists();
            let is_path = FOLDERS.iter().any(|folder| span.starts_with(folder));
            if is_path && !is_open && !repository().join(span).exists() {
                mistakes.push(format!("{}: no file {span}", page.name()));
            }
            let is_test = span.matches('_').count() >= 5
                && span.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            if is_test && !sources.contains(&format!("{span}(")) {
                mistakes.push(format!("{}: no test {span}", page.name()));
            }
        }
    }
    assert_none(&mistakes);
}

/// All tests of the repository.
fn sources() -> String {
    let listed = Command::new("git")
        .args(["grep", "-h", "fn [a-z0-9_]*("])
        .current_dir(repository())
        .output()
        .expect("git runs");
    let text = String::from_utf8(listed.stdout).expect("UTF-8");
    assert!(text.lines().count() > 1000, "is this a checkout of git?");
    text
}
