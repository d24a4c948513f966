// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed path`: boots, logs what the guest executes for an event, prints it
//! by function.

use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum, value_parser};
use irqbed_abi::ring::MAX_PAYLOAD;
use irqbed_machine::{
    accel::{self, AccelRequest},
    artefacts::Artefacts,
    execution_log::ExecutionLog,
    progress::Progress,
    qemu::{ClockKind, Machine},
    session::Setup,
};
use irqbed_measure::{bench, environment};
use irqbed_observe::path::{self, Functions, PathDocument, Plan};
use irqbed_results::{
    mechanism::{Context, Mechanism, Pair},
    result::JsonTarget,
};

use super::options::{contexts, mechanisms, parameter};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How the driver tells its listener
    #[arg(long, value_name = "M", default_value = "netlink", value_parser = mechanisms())]
    mechanism: Mechanism,
    /// Where in the kernel it does so
    #[arg(long, value_name = "C", default_value = "hardirq", value_parser = contexts())]
    context: Context,
    /// Events to log; the median one is shown (1 to 10000)
    #[arg(long, value_name = "N", default_value_t = 21, value_parser = value_parser!(u64).range(1..=10_000))]
    events: u64,
    /// Bytes each event carries (0 to 4096)
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = value_parser!(u32).range(0..=i64::from(MAX_PAYLOAD)))]
    payload: u32,
    /// Whether driver and agent stamp the events
    #[arg(long, value_enum, default_value_t = Stamps::On)]
    stamps: Stamps,
    /// Show the functions in the order of time, too
    #[arg(long)]
    calls: bool,
    /// Parameter of the driver, as `delay_insns=2000`; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    module_parameter: Vec<(String, String)>,
    /// Write the result there as JSON too; `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<JsonTarget>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Stamps {
    /// As a bench does
    On,
    /// To see what they cost
    Off,
}

impl Arguments {
    fn plan(&self) -> Plan {
        Plan {
            pair: Pair {
                mechanism: self.mechanism,
                context: self.context,
            },
            events: self.events,
            payload: self.payload,
            stamps: self.stamps == Stamps::On,
            module_parameters: self.module_parameter.clone(),
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    super::ensure_writable(&arguments.json)?;
    let artefacts = Artefacts::locate()?;
    let mut choice = accel::choose(AccelRequest::Tcg)?;
    choice.reason = "it logs instructions".to_owned();
    let machine = Machine::new(choice.accelerator, ClockKind::Instructions);
    let plan = arguments.plan();
    if let Some(why) = bench::cannot(plan.pair, &machine, 1) {
        bail!("{} has no path to show: {why}", plan.pair);
    }
    let progress = Progress::on_terminal();
    progress.phase("boot");
    let log = ExecutionLog::new()?;
    let mut session = Setup::of(&artefacts, &machine).logged(&log).boot()?;
    session.steady()?;
    plan.prepare(&mut session)?;
    let events = path::record(&mut session, &plan, &log, &progress)
        .with_context(|| plan.pair.to_string())?;
    let median = events
        .get(events.len() / 2)
        .context("no event was logged")?;
    progress.phase("names");
    let addresses = Functions::unknown(&median.journey.instructions);
    let functions = Functions::new(session.symbols(addresses)?);
    let environment = environment::gather(&artefacts, &session.hello().kernel, &choice);
    session.power_off()?;
    drop(progress);

    let document = PathDocument::new(environment, &plan, median, &functions);
    if arguments.json != Some(JsonTarget::Stdout) {
        super::print(&path::render(&document, arguments.calls))?;
    }
    if let Some(target) = &arguments.json {
        document.write(target)?;
    }
    let legs = document.legs;
    ensure!(
        legs.isr_to_user == legs.stamped,
        "the log has {:?} instructions from isr to user, the stamps say {:?}",
        legs.isr_to_user,
        legs.stamped
    );
    Ok(ExitCode::SUCCESS)
}
