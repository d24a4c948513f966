// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed bench`: boots, measures, prints the table.

use std::process::ExitCode;

use anyhow::bail;
use clap::{Args, ValueEnum, value_parser};
use irqbed_abi::control::ReplyBy;

use super::options::{Options, contexts, mechanisms, refuse, replies};
use device_model::log;
use irqbed_machine::{
    progress::Progress,
    qemu::{ClockKind, Machine},
    session::Session,
};
use irqbed_measure::{
    bench::Bench,
    bench_orders::{Answer, Turns},
    environment,
    saturate::saturate,
    series::{self, Series},
};
use irqbed_report::table;
use irqbed_results::{
    mechanism::{Context, Mechanism, Pair},
    result::{Document, JsonTarget},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    options: Options,
    /// Measure everything so often, in turns; `compare` needs 5 for wall time (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Find the highest rate at which nothing is lost
    #[arg(long, conflicts_with_all = ["rate", "events"])]
    saturate: bool,
    /// How the driver tells its listeners; several to compare them
    #[arg(long, value_name = "M,...", value_delimiter = ',', default_value = "netlink", value_parser = mechanisms())]
    mechanism: Vec<Mechanism>,
    /// Where in the kernel it does so; several to compare them
    #[arg(long, value_name = "C,...", value_delimiter = ',', default_value = "hardirq", value_parser = contexts())]
    context: Vec<Context>,
    /// How the first listener replies to each event; several to compare them
    #[arg(long, value_name = "R,...", value_delimiter = ',', conflicts_with = "saturate", value_parser = replies())]
    reply: Vec<ReplyBy>,
    /// Every mechanism in every context that can work
    #[arg(long, conflicts_with_all = ["mechanism", "context"])]
    all: bool,
    /// Short for `--mechanism netlink`, or `netlink-broadcast`
    #[arg(long, value_enum, conflicts_with_all = ["mechanism", "all"])]
    delivery: Option<DeliveryArgument>,
    /// Take turns with another bench, as `irqbed ab` says by standard input, so
    /// many for all events
    #[arg(long, hide = true, value_name = "TURNS", conflicts_with_all = ["json", "saturate", "rounds"], value_parser = value_parser!(u32).range(1..=10_000))]
    in_turns: Option<u32>,
    /// Write the result there as JSON too; `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<JsonTarget>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeliveryArgument {
    /// One netlink message for each listener
    Unicast,
    /// One netlink message for all
    Broadcast,
}

impl From<DeliveryArgument> for Mechanism {
    fn from(delivery: DeliveryArgument) -> Self {
        match delivery {
            DeliveryArgument::Unicast => Self::Netlink,
            DeliveryArgument::Broadcast => Self::NetlinkBroadcast,
        }
    }
}

impl Arguments {
    /// What to measure: the pairs that can work, and why the others cannot.
    fn pairs(&self, machine: &Machine) -> (Vec<Pair>, Vec<(Pair, String)>) {
        let all = if self.all {
            Pair::of(Mechanism::ALL, Context::ALL)
        } else if let Some(delivery) = self.delivery {
            Pair::of(&[delivery.into()], &self.context)
        } else {
            Pair::of(&self.mechanism, &self.context)
        };
        let mut refused = Vec::new();
        let works = |pair: &Pair| match self.options.refusal(*pair, machine) {
            Some(why) => {
                refused.push((*pair, why));
                false
            }
            None => true,
        };
        (all.into_iter().filter(works).collect(), refused)
    }

    /// The ways to reply that each pair is measured with.
    fn replies(&self) -> Vec<Option<ReplyBy>> {
        match &*self.reply {
            [] => vec![None],
            some => some.iter().copied().map(Some).collect(),
        }
    }

    /// What cannot go together, and clap does not know.
    fn conflict(&self) -> Option<String> {
        let wall = self.options.clock == ClockKind::Wall;
        let saturates = self.saturate && !wall;
        let saturate = || "--saturate needs --clock wall: a rate is events in time".to_owned();
        let conflict = self.options.conflict();
        conflict
            .or_else(|| saturates.then(saturate))
            .or_else(|| self.in_turns.and_then(|_| self.no_turns(wall)))
    }

    /// Why what is measured cannot take turns, if it cannot.
    fn no_turns(&self, wall: bool) -> Option<String> {
        let spins = self.all || self.mechanism.contains(&Mechanism::MmapPoll);
        if !wall {
            Some("--in-turns is for wall time: instructions are the same in any order".to_owned())
        } else if spins {
            Some("--in-turns: the guest of mmap-poll is never idle".to_owned())
        } else {
            None
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let options = &arguments.options;
    if let Some(conflict) = arguments.conflict() {
        refuse(conflict);
    }
    super::ensure_writable(&arguments.json)?;
    let artefacts = super::artefacts(options.kernel.as_deref())?;
    artefacts.check()?;
    let choice = options.accelerator()?;
    let machine = options.machine(choice.accelerator);
    let (pairs, refused) = arguments.pairs(&machine);
    if let ([], Some((pair, why))) = (&*pairs, refused.first()) {
        bail!("{pair} cannot be measured: {why}");
    }

    let progress = Progress::on_terminal();
    let benches: Vec<_> = (0..arguments.rounds)
        .flat_map(|_| &pairs)
        .flat_map(|&pair| arguments.replies().into_iter().map(move |by| (pair, by)))
        .map(|(pair, reply)| options.bench(&machine, pair, reply))
        .collect();
    let turns = arguments.in_turns.map(Turns::by_standard_input);
    let turns = turns.transpose()?;
    let measure = |bench: &Bench, session: &mut Session, progress: &Progress| match &turns {
        Some(turns) => turns.run(bench, session, progress),
        None if arguments.saturate => saturate(bench, session, progress),
        None => bench.run(session, progress),
    };
    let Series { results, kernel } = series::run(&artefacts, &benches, &measure, &progress)?;
    let environment = environment::gather(&artefacts, &kernel, &choice);
    drop(progress);

    let problems: Vec<String> = results
        .iter()
        .flat_map(|result| {
            let of = result.name();
            let problems = result.problems().into_iter();
            problems.map(move |problem| format!("{of}: {problem}"))
        })
        .collect();
    let document = Document::new(environment, results);
    if let Some(turns) = &turns {
        turns.answer(&Answer::Document)?;
        document.write(&JsonTarget::Stdout)?;
    } else if arguments.json != Some(JsonTarget::Stdout) {
        super::print(&table::render(&document))?;
    }
    // What holds for several pairs is said once.
    for alike in refused.chunk_by(|(_, why), (_, next)| why == next) {
        let pairs: Vec<_> = alike.iter().map(|(pair, _)| pair.to_string()).collect();
        let (pairs, why) = (pairs.join(", "), &alike[0].1);
        log::say(format_args!("irqbed: not measured: {pairs}: {why}"));
    }
    if let Some(target) = &arguments.json {
        document.write(target)?;
    }
    for problem in &problems {
        log::say(format_args!("irqbed: error: {problem}"));
    }
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
