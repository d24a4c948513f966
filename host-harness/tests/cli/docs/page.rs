// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A page of the documentation, taken apart.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use crate::sources::repository;

/// A command in a block of code, and what it prints there.
#[derive(Debug)]
pub struct Shown {
    pub command: String,
    /// The lines that are not empty.
    pub output: Vec<String>,
}

#[derive(Debug)]
pub struct Page {
    /// From the top of the repository.
    pub path: PathBuf,
    pub shown: Vec<Shown>,
    /// Code in sentences and tables.
    pub spans: Vec<String>,
    pub links: Vec<String>,
    pub anchors: BTreeSet<String>,
}

impl Page {
    pub fn read(path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_owned();
        let text = fs::read_to_string(repository().join(&path)).expect("a page");
        let mut shown = Vec::new();
        let mut prose = String::new();
        let mut anchors = BTreeSet::new();
        for part in parts(&text) {
            match part {
                Part::Code(lines) => shown.extend(commands(&lines)),
                Part::Prose(line) => {
                    if line.starts_with('#') {
                        anchors.insert(anchor(line));
                    }
                    prose.push_str(line);
                    prose.push('\n');
                }
            }
        }
        Self {
            spans: spans(&prose),
            links: links(&prose),
            path,
            shown,
            anchors,
        }
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }
}

enum Part<'a> {
    Code(Vec<&'a str>),
    Prose(&'a str),
}

/// Blocks of code, fenced or indented, and lines of anything else.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut is_fenced = false;
    let mut is_after_empty = true;
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        let is_indented = line.starts_with("    ");
        let goes_on = matches!(parts.last(), Some(Part::Code(_)));
        let is_code = is_fenced || is_indented && (goes_on || is_after_empty);
        match parts.last_mut() {
            _ if is_fence => {
                is_fenced = !is_fenced;
                if is_fenced {
                    parts.push(Part::Code(Vec::new()));
                } else {
                    parts.push(Part::Prose(""));
                }
            }
            Some(Part::Code(lines)) if is_code || line.is_empty() => lines.push(line.trim()),
            _ if is_code => parts.push(Part::Code(vec![line.trim()])),
            _ => parts.push(Part::Prose(line)),
        }
        is_after_empty = line.is_empty();
    }
    parts
}

/// The commands of a block, each with what follows it. Lines that go on are joined.
fn commands(lines: &[&str]) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut goes_on = false;
    for line in lines.iter().filter(|line| !line.is_empty()) {
        let command = line.strip_prefix("$ ");
        let command = command.or_else(|| line.starts_with("./just ").then_some(*line));
        match (command, shown.last_mut()) {
            (None, Some(last)) if goes_on => {
                last.command.push(' ');
                last.command.push_str(line.trim_end_matches('\\').trim());
            }
            (None, Some(last)) => {
                last.output.push((*line).to_owned());
                continue;
            }
            (None, None) => continue,
            (Some(command), _) => shown.push(Shown {
                command: command.trim_end_matches('\\').trim().to_owned(),
                output: Vec::new(),
            }),
        }
        goes_on = line.ends_with('\\');
    }
    shown
}

fn spans(prose: &str) -> Vec<String> {
    let mut spans = Vec::new();
    // A span may go on in the next line, but not beyond its paragraph.
    for paragraph in prose.split("\n\n") {
        for span in paragraph.split('`').skip(1).step_by(2) {
            let words: Vec<_> = span.split_whitespace().collect();
            spans.push(words.join(" ").replace("\\|", "|"));
        }
    }
    spans
}

fn links(prose: &str) -> Vec<String> {
    let ends = prose.split("](").skip(1);
    let links = ends.filter_map(|rest| rest.split(')').next());
    links.map(str::to_owned).collect()
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let text = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = text
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}
