// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The pages hold: each command that they show exists and takes the options shown, what is
//! printed without a guest has the shape shown, and each link, file and test named is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::{
    page::{Page, Shown},
    program::{Ended, Running, irqbed},
    report::baseline,
    sandbox::Sandbox,
    sources::repository,
};

/// Options in the prose that belong to other programs.
const FOREIGN: [&str; 3] = ["--buildtype", "--dir", "--write"];

fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("bench/README.md")];
    for folder in ["", "docs"] {
        for entry in fs::read_dir(repository().join(folder)).expect("a folder") {
            let name = PathBuf::from(entry.expect("an entry").file_name());
            if name.extension().is_some_and(|kind| kind == "md") {
                paths.push(Path::new(folder).join(name));
            }
        }
    }
    assert!(paths.len() > 20, "{paths:?}");
    paths.sort();
    paths.into_iter().map(Page::read).collect()
}

/// A command line, taken apart.
#[derive(Debug)]
struct Call {
    program: String,
    arguments: Vec<String>,
}

/// The programs of ours in a line of shell.
fn calls(line: &str) -> Vec<Call> {
    let line = line.split(" #").next().unwrap_or_default();
    let parts = line.split([';', '|', '&']);
    let mut calls = Vec::new();
    for part in parts {
        let part = part.split('>').next().unwrap_or_default();
        let mut words: Vec<_> = part.split_whitespace().map(str::to_owned).collect();
        // `taskset -c 0`, the `do` of a loop
        let before = match words.first().map(String::as_str) {
            Some("taskset") => 3,
            Some("do") => 1,
            _ => 0,
        };
        words.drain(..before.min(words.len()));
        let ours = ["./just", "irqbed", "device-model"];
        if words.first().is_some_and(|word| ours.contains(&&**word)) {
            calls.push(Call {
                program: words.remove(0),
                arguments: words,
            });
        }
    }
    calls
}

/// Words that stand for something, such as `PATH` or `KIND:KEY=VALUE,...`.
fn is_usage(arguments: &[String]) -> bool {
    arguments.iter().any(|word| {
        let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric());
        let upper = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
        word.contains("...") || parts.any(upper)
    })
}

/// What there is to call: the recipes, each with the command of `irqbed` that it runs, and the
/// options of every command.
struct Catalogue {
    recipes: BTreeMap<String, Option<String>>,
    options: BTreeMap<String, BTreeSet<String>>,
    sandbox: Sandbox,
}

impl Catalogue {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        let mut options = BTreeMap::new();
        for command in commands(&sandbox) {
            let help = run(&sandbox, irqbed(&sandbox, &[&command, "--help"]));
            options.insert(command, options_in(&help.stdout));
        }
        let help = run(&sandbox, device_model(&["--help".to_owned()]));
        options.insert("device-model".to_owned(), options_in(&help.stdout));
        Self {
            recipes: recipes(),
            options,
            sandbox,
        }
    }

    /// The command of `irqbed` that is called, and its arguments; `Ok(None)` where a recipe runs
    /// something else.
    fn resolve<'a>(&self, call: &'a Call) -> Result<Option<(String, &'a [String])>, String> {
        if call.program == "device-model" {
            return Ok(Some((call.program.clone(), &call.arguments)));
        }
        let Some((name, arguments)) = call.arguments.split_first() else {
            return Ok(None);
        };
        // `irqbed -v bench`, `./just --list`
        if name.starts_with('-') {
            return Ok(None);
        }
        if call.program == "irqbed" {
            let known = self.options.contains_key(name);
            return known
                .then(|| Some((name.clone(), arguments)))
                .ok_or_else(|| format!("irqbed has no command {name}"));
        }
        let recipe = self.recipes.get(name);
        let recipe = recipe.ok_or_else(|| format!("the Justfile has no recipe {name}"))?;
        Ok(recipe.clone().map(|command| (command, arguments)))
    }

    /// The first option that the command does not have.
    fn check_options(&self, command: &str, arguments: &[String]) -> Result<(), String> {
        let options = &self.options[command];
        // What stands behind `--` is for another program.
        let own = arguments.iter().take_while(|word| *word != "--");
        for word in own.filter(|word| word.starts_with("--")) {
            let option = option_name(word);
            if !options.contains(option) {
                return Err(format!("{command} has no option {option}"));
            }
        }
        Ok(())
    }

    /// Has the program itself read the line: `--help` ends it when all before that was taken.
    fn check_values(&self, command: &str, arguments: &[String]) -> Result<(), String> {
        let mut parts = arguments.split(|word| word == "--");
        let own = parts.next().unwrap_or_default();
        if let Some(rest) = parts.next().filter(|_| command == "ab") {
            self.check_values("bench", rest)?;
        }
        let mut line = own.to_vec();
        line.push("--help".to_owned());
        let ended = if command == "device-model" {
            run(&self.sandbox, device_model(&line))
        } else {
            line.insert(0, command.to_owned());
            let line: Vec<_> = line.iter().map(String::as_str).collect();
            run(&self.sandbox, irqbed(&self.sandbox, &line))
        };
        match ended.status.code() {
            Some(0) => Ok(()),
            _ => Err(ended.stderr.lines().next().unwrap_or_default().to_owned()),
        }
    }
}

fn option_name(word: &str) -> &str {
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    &word[..end.unwrap_or(word.len())]
}

fn run(sandbox: &Sandbox, command: Command) -> Ended {
    Running::start(sandbox, command).wait()
}

fn device_model(arguments: &[String]) -> Command {
    let mut command = Command::new(repository().join("target/release/device-model"));
    command.args(arguments);
    command
}

fn commands(sandbox: &Sandbox) -> Vec<String> {
    let help = run(sandbox, irqbed(sandbox, &["--help"])).stdout;
    let (_, list) = help.split_once("Commands:\n").expect("a list");
    let lines = list.lines().take_while(|line| !line.is_empty());
    let lines = lines.filter_map(|line| line.strip_prefix("  ").filter(|l| !l.starts_with(' ')));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    let names: Vec<_> = names.filter(|name| *name != "help").collect();
    assert!(names.len() > 10, "{help}");
    names.into_iter().map(str::to_owned).collect()
}

fn options_in(help: &str) -> BTreeSet<String> {
    let lines = help.lines().map(str::trim_start);
    let lines = lines.filter(|line| line.starts_with('-'));
    let words = lines.flat_map(|line| line.split([' ', ',']));
    let words = words.filter(|word| word.starts_with("--"));
    words.map(|word| option_name(word).to_owned()).collect()
}

fn recipes() -> BTreeMap<String, Option<String>> {
    let text = fs::read_to_string(repository().join("Justfile")).expect("a file");
    let mut recipes = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some((head, _)) = line.split_once(':').filter(|(head, rest)| {
            head.starts_with(|c: char| c.is_ascii_lowercase()) && !rest.starts_with('=')
        }) {
            current = head.split(' ').next().unwrap_or_default().to_owned();
            recipes.insert(current.clone(), None);
        } else if let Some((_, rest)) = line.split_once("{{irqbed}} ") {
            let command = rest.split(' ').next().map(str::to_owned);
            recipes.insert(current.clone(), command);
        }
    }
    assert_eq!(recipes["try"].as_deref(), Some("test"));
    recipes
}

#[track_caller]
fn assert_none(mistakes: &[String]) {
    assert!(mistakes.is_empty(), "\n{}", mistakes.join("\n"));
}

#[test]
fn every_command_shown_exists_and_takes_its_options() {
    let catalogue = Catalogue::new();
    let mut mistakes = Vec::new();
    let mut checked = 0;
    for page in pages() {
        for shown in &page.shown {
            for call in calls(&shown.command) {
                let outcome = catalogue.resolve(&call).and_then(|resolved| {
                    let Some((command, arguments)) = resolved else {
                        return Ok(());
                    };
                    catalogue.check_options(&command, arguments)?;
                    match is_usage(arguments) {
                        true => Ok(()),
                        false => catalogue.check_values(&command, arguments),
                    }
                });
                checked += 1;
                if let Err(error) = outcome {
                    mistakes.push(format!("{}: {}: {error}", page.name(), shown.command));
                }
            }
        }
    }
    assert_none(&mistakes);
    assert!(checked > 80, "{checked}");
}

#[test]
fn every_command_and_option_named_in_a_sentence_exists() {
    let catalogue = Catalogue::new();
    let known: BTreeSet<_> = catalogue.options.values().flatten().cloned().collect();
    let mut mistakes = Vec::new();
    for page in pages() {
        for span in &page.spans {
            let mut outcome = Ok(());
            if span.starts_with("--") {
                for word in span.split_whitespace().filter(|word| word.len() > 2) {
                    let option = option_name(word);
                    let foreign = FOREIGN.contains(&option);
                    if word.starts_with("--") && !foreign && !known.contains(option) {
                        outcome = Err(format!("no command has {option}"));
                    }
                }
            } else if ["./just ", "irqbed ", "device-model "]
                .iter()
                .any(|p| span.starts_with(p))
            {
                for call in calls(span) {
                    outcome = outcome.and(catalogue.resolve(&call).and_then(|resolved| {
                        resolved.map_or(Ok(()), |(command, arguments)| {
                            catalogue.check_options(&command, arguments)
                        })
                    }));
                }
            }
            if let Err(error) = outcome {
                mistakes.push(format!("{}: `{span}`: {error}", page.name()));
            }
        }
    }
    assert_none(&mistakes);
}

#[test]
fn the_page_of_commands_names_every_command_and_recipe() {
    let sandbox = Sandbox::new();
    let page = Page::read("docs/cli.md");
    for command in commands(&sandbox) {
        let call = format!("irqbed {command}");
        assert!(page.spans.contains(&call), "docs/cli.md lacks `{call}`");
    }
    let private = ["default", "host"];
    for recipe in recipes().keys().filter(|name| !private.contains(&&***name)) {
        let call = format!("./just {recipe}");
        let named = |span: &String| span == &call || span.starts_with(&format!("{call} "));
        assert!(page.spans.iter().any(named), "docs/cli.md lacks `{call}`");
    }
}

/// Each line shown is the beginning of a line printed, in the same order, whatever the numbers.
#[track_caller]
fn assert_shape(shown: &Shown, printed: &str) {
    fn shape(line: &str) -> String {
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut shape = String::new();
        for c in words.chars() {
            match c {
                '0'..='9' if shape.ends_with('0') => {}
                '0'..='9' => shape.push('0'),
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
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
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
fn the_readme_links_every_page() {
    let readme = Page::read("README.md");
    for page in pages().iter().filter(|page| page.name() != "README.md") {
        let links = readme.links.iter();
        let links = links.filter(|link| link.split('#').next() == Some(&*page.name()));
        assert!(links.count() > 0, "README.md does not link {}", page.name());
    }
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
