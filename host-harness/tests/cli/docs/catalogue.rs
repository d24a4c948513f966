// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What there is to call, and whether a command line that a page shows makes sense of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use crate::{
    program::{Ended, Running, irqbed},
    sandbox::Sandbox,
    sources::repository,
};

/// A command line, taken apart.
#[derive(Debug)]
pub struct Call {
    program: String,
    arguments: Vec<String>,
}

/// The programs of ours in a line of shell.
pub fn calls(line: &str) -> Vec<Call> {
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
pub fn is_usage(arguments: &[String]) -> bool {
    arguments.iter().any(|word| {
        let mut parts = word.split(|c: char| !c.is_ascii_alphanumeric());
        let upper = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase());
        word.contains("...") || parts.any(upper)
    })
}

/// What there is to call: the recipes, each with the command of `irqbed` that it runs, and the
/// options of every command.
pub struct Catalogue {
    recipes: BTreeMap<String, Option<String>>,
    pub options: BTreeMap<String, BTreeSet<String>>,
    sandbox: Sandbox,
}

impl Catalogue {
    pub fn new() -> Self {
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
    pub fn resolve<'a>(&self, call: &'a Call) -> Result<Option<(String, &'a [String])>, String> {
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
    pub fn check_options(&self, command: &str, arguments: &[String]) -> Result<(), String> {
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
    pub fn check_values(&self, command: &str, arguments: &[String]) -> Result<(), String> {
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

pub fn option_name(word: &str) -> &str {
    let end = word.find(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    &word[..end.unwrap_or(word.len())]
}

pub fn run(sandbox: &Sandbox, command: Command) -> Ended {
    Running::start(sandbox, command).wait()
}

fn device_model(arguments: &[String]) -> Command {
    let mut command = Command::new(repository().join("target/release/device-model"));
    command.args(arguments);
    command
}

pub fn commands(sandbox: &Sandbox) -> Vec<String> {
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

pub fn recipes() -> BTreeMap<String, Option<String>> {
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
