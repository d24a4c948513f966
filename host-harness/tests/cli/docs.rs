// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The pages hold: each command that they show exists and takes the options shown, what is
//! printed has the shape shown, and each link, file and test named is there.

mod catalogue;
mod named;
mod page;
mod printed;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use self::{
    catalogue::{Catalogue, calls, commands, is_usage, option_name, recipes},
    page::Page,
};
use crate::{sandbox::Sandbox, sources::repository};

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
