// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed trace`: boots, measures while the guest's kernel traces itself, and
//! writes the timeline.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use irqbed_abi::control::ReplyBy;

use super::options::{Options, contexts, mechanisms, refuse, replies};
use crate::{
    environment::Environment,
    mechanism::{Context, Mechanism, Pair},
    progress::Progress,
    result::{Document, JsonTarget},
    session::Session,
    table,
    trace::{self, Recording, perfetto},
    units::thousands,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the timeline there, in Perfetto's format
    #[arg(short, long, value_name = "FILE")]
    output: JsonTarget,
    #[command(flatten)]
    options: Options,
    /// How the driver tells its listeners
    #[arg(long, value_name = "M", default_value = "netlink", value_parser = mechanisms())]
    mechanism: Mechanism,
    /// Where in the kernel it does so
    #[arg(long, value_name = "C", default_value = "hardirq", value_parser = contexts())]
    context: Context,
    /// How the first listener replies to each event
    #[arg(long, value_name = "R", value_parser = replies())]
    reply: Option<ReplyBy>,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = &arguments.options;
    let pair = Pair {
        mechanism: arguments.mechanism,
        context: arguments.context,
    };
    if let Some(conflict) = options.conflict() {
        refuse(conflict);
    }
    if let Some(why) = trace::refusal(pair, options.clock) {
        refuse(format!("{pair} cannot be traced: {why}"));
    }
    arguments.output.ensure_writable()?;
    let artefacts = super::artefacts(options.kernel.as_deref())?;
    artefacts.check()?;
    let choice = options.accelerator()?;
    let machine = options.machine(choice.accelerator);
    if let Some(why) = options.refusal(pair, &machine) {
        bail!("{pair} cannot be measured: {why}");
    }
    let bench = options.bench(&machine, pair, arguments.reply);

    let progress = Progress::on_terminal();
    progress.phase("boot");
    let mut session = Session::boot(&artefacts, &bench.machine)?;
    bench.prepare(&mut session)?;
    let recording =
        trace::record(&bench, &mut session, &progress).with_context(|| pair.to_string())?;
    session.power_off()?;
    let environment = Environment::gather(&artefacts.qemu, &recording.kernel, &choice);
    drop(progress);

    let problems = recording.result.problems();
    let document = Document::new(environment, vec![recording.result.clone()]);
    arguments.output.write(&perfetto::encode(&recording))?;
    if arguments.output != JsonTarget::Stdout {
        super::print(&told(&arguments.output, &recording, &document))?;
    }
    for problem in &problems {
        eprintln!("irqbed: error: {problem}");
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the user is told on standard output.
fn told(target: &JsonTarget, recording: &Recording, document: &Document) -> String {
    let lost = match recording.lost() {
        0 => "none lost".to_owned(),
        lost => format!(
            "{} older ones lost: there was no room for more",
            thousands(lost)
        ),
    };
    format!(
        "{}\ntrace: {target}: {} events, {} entries of the guest's kernel, {lost}; open it in \
         https://ui.perfetto.dev\n",
        table::render(document),
        thousands(recording.run.traces.len() as u64),
        thousands(recording.ftrace.entries.len() as u64),
    )
}
