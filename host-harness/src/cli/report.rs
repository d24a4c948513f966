// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed report`: results as a page. Exit status 2 when there is nothing to
//! show.

use std::{fs, path::PathBuf, process::ExitCode};

use clap::Args;
use device_model::log;
use irqbed_report::{MOST, Source, render};
use irqbed_results::result::{Document, JsonTarget};

/// Nothing could be shown.
const NOTHING: u8 = 2;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Results of `irqbed bench --json`; of several the first is the base that
    /// the others are compared with
    #[arg(required = true, value_name = "RESULT.json")]
    results: Vec<PathBuf>,
    /// The page; `-` for standard output
    #[arg(short, long, value_name = "FILE")]
    output: JsonTarget,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    match page(arguments) {
        Ok(page) => {
            arguments.output.write(page.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        Err(why) => {
            log::say(format_args!("irqbed: error: {why}"));
            Ok(ExitCode::from(NOTHING))
        }
    }
}

/// The page, or in one line why there is none.
fn page(arguments: &Arguments) -> Result<String, String> {
    let results = &arguments.results;
    if results.len() > MOST {
        let found = results.len();
        return Err(format!(
            "{found} results are more than a plot can tell apart: give up to {MOST}"
        ));
    }
    let mut sources = Vec::new();
    for path in results {
        if let JsonTarget::File(output) = &arguments.output
            && let (Ok(input), Ok(output)) = (fs::canonicalize(path), fs::canonicalize(output))
            && input == output
        {
            return Err(format!(
                "the page would replace the result {}: give another --output",
                path.display()
            ));
        }
        sources.push(Source {
            name: path.display().to_string(),
            document: Document::read(path).map_err(|error| error.to_string())?,
        });
    }
    render(&sources).map_err(|error| error.to_string())
}
