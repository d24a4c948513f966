// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `--coverage` and `--coverage-html`: which lines of the modules of a guest were executed.

use std::{env, fs};

use clap::Args;
use device_model::log;
use irqbed_machine::accel::{self, AccelRequest, Choice};
use irqbed_results::{coverage::Coverage, result::JsonTarget};

#[derive(Debug, Args)]
pub(super) struct CoverageArguments {
    /// Write which lines of the modules were executed, over all scenarios, in lcov's format
    #[arg(long, value_name = "FILE")]
    coverage: Option<JsonTarget>,
    /// Write the same as a page with the sources
    #[arg(long, value_name = "FILE")]
    coverage_html: Option<JsonTarget>,
}

impl CoverageArguments {
    /// Whether it is asked.
    pub(super) fn are_given(&self) -> bool {
        self.files().next().is_some()
    }

    /// The files to write.
    pub(super) fn files(&self) -> impl Iterator<Item = &JsonTarget> {
        [&self.coverage, &self.coverage_html].into_iter().flatten()
    }

    /// The accelerator, which is TCG where it is asked.
    pub(super) fn accelerator(&self, request: AccelRequest) -> anyhow::Result<Choice> {
        let request = match (self.are_given(), request) {
            (true, AccelRequest::Kvm) => return Err(super::bad_input(Unseen)),
            (true, _) => AccelRequest::Tcg,
            (false, request) => request,
        };
        Ok(accel::choose(request)?)
    }

    /// Says what was executed, and writes the files; nothing where it was not asked.
    pub(super) fn write(&self, coverage: &Coverage) -> anyhow::Result<()> {
        if self.are_given() {
            say(coverage);
        }
        if let Some(target) = &self.coverage {
            target.write(coverage.lcov().as_bytes())?;
        }
        if let Some(target) = &self.coverage_html {
            let source = |path: &_| fs::read_to_string(path).ok();
            let page = irqbed_report::coverage::render(coverage, source);
            target.write(page.as_bytes())?;
        }
        Ok(())
    }
}

/// The counts of each file, and of all where there are several.
fn say(coverage: &Coverage) {
    let here = env::current_dir().unwrap_or_default();
    for (path, file) in coverage.files() {
        let path = path.strip_prefix(&here).unwrap_or(path).display();
        log::say(format_args!(
            "irqbed: coverage of {path}: {}",
            file.totals()
        ));
    }
    match coverage.files().count() {
        0 => log::say(format_args!("irqbed: coverage: no module with lines")),
        1 => {}
        _ => log::say(format_args!("irqbed: coverage: {}", coverage.totals())),
    }
}

#[derive(Debug, thiserror::Error)]
#[error("coverage needs --accel tcg: under KVM nobody sees which instructions are executed")]
struct Unseen;
