// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed trace`: boots, measures while the guest's kernel traces itself,
//! writes the timeline, and says what a slow event waited for.

use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use device_model::log;
use irqbed_abi::control::ReplyBy;
use irqbed_machine::{progress::Progress, session::Setup};
use irqbed_measure::environment;
use irqbed_observe::trace::{self, Recording, Slow, perfetto};
use irqbed_report::table;
use irqbed_results::{
    mechanism::{Context, Mechanism, Pair},
    result::{Document, JsonTarget},
    units::{Nanos, thousands},
};

use super::options::{Options, contexts, mechanisms, refuse, replies};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write the timeline there, in Perfetto's format
    #[arg(short, long, value_name = "FILE")]
    output: Option<JsonTarget>,
    /// Stop at the first event that takes longer from raise to user than so many
    /// µs (0.001 to 1000000000), say what it waited for, and end with status 1; a tenth of the events,
    /// at most 50, warm the guest up before
    #[arg(long, value_name = "US", value_parser = microseconds)]
    stop_above: Option<Nanos>,
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

fn microseconds(text: &str) -> Result<Nanos, String> {
    match text.parse::<f64>() {
        Ok(number) if (0.001..=1e9).contains(&number) => Ok(Nanos((number * 1e3) as u64)),
        _ => Err("give microseconds, from 0.001 to 1000000000".to_owned()),
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = &arguments.options;
    let pair = Pair {
        mechanism: arguments.mechanism,
        context: arguments.context,
    };
    if arguments.output.is_none() && arguments.stop_above.is_none() {
        refuse(
            "give --output FILE for a timeline, --stop-above US to hear what a slow event waited \
             for, or both"
                .to_owned(),
        );
    }
    if let Some(conflict) = options.conflict() {
        refuse(conflict);
    }
    if let Some(why) = trace::refusal(pair, options.clock) {
        refuse(format!("{pair} cannot be traced: {why}"));
    }
    super::ensure_writable(&arguments.output)?;
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
    let mut session = Setup::of(&artefacts, &bench.machine).boot()?;
    bench.prepare(&mut session)?;
    let recording = trace::record(&bench, &mut session, arguments.stop_above, &progress)
        .with_context(|| pair.to_string())?;
    session.power_off()?;
    let environment = environment::gather(&artefacts, &recording.kernel, &choice);
    drop(progress);

    let slow = arguments.stop_above.and_then(|limit| recording.slow(limit));
    let problems = recording.result.problems();
    let document = Document::new(environment, vec![recording.result.clone()]);
    if let Some(target) = &arguments.output {
        target.write(&perfetto::encode(&recording))?;
    }
    if arguments.output != Some(JsonTarget::Stdout) {
        super::print(&told(arguments, &recording, slow.as_ref(), &document))?;
    }
    for problem in &problems {
        log::say(format_args!("irqbed: error: {problem}"));
    }
    Ok(if problems.is_empty() && slow.is_none() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What the user is told on standard output.
fn told(
    arguments: &Arguments,
    recording: &Recording,
    slow: Option<&Slow>,
    document: &Document,
) -> String {
    let mut text = table::render(document);
    if let Some(limit) = arguments.stop_above {
        let words = match slow {
            Some(slow) => slow.to_string(),
            None => {
                let longest = recording.slowest();
                let longest = longest.map_or("none arrived".to_owned(), |nanos| {
                    format!("the longest took {nanos}")
                });
                format!("no event took longer than {limit} from raise to user; {longest}\n")
            }
        };
        let warm_up = match recording.warm_up {
            0 => String::new(),
            warm_up => format!("after a warm-up of {warm_up} events "),
        };
        text = format!("{text}\n{warm_up}{words}");
    }
    if let Some(target) = &arguments.output {
        let entries = recording.ftrace.entries.len() as u64;
        let lost = match recording.lost() {
            0 => "none lost".to_owned(),
            lost => format!(
                "{} older ones lost: there was no room for more",
                thousands(lost)
            ),
        };
        text += &format!(
            "\ntrace: {target}: {} events, {} entries of the guest's kernel, {lost}; open it in \
             https://ui.perfetto.dev\n",
            thousands(recording.run.traces.len() as u64),
            thousands(entries),
        );
    }
    text
}
