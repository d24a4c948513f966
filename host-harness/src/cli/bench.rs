// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed bench`: boots, measures, prints the table.

use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, ValueEnum, value_parser};
use irqbed_abi::{control::Delivery, pci::VECTORS, ring::MAX_PAYLOAD};

use crate::{
    accel::{self, AccelRequest, Accelerator},
    artefacts::Artefacts,
    bench::Bench,
    environment::Environment,
    measure::{Plan, Rate},
    progress::Progress,
    qemu::{ClockKind, Machine},
    result::{Document, JsonTarget},
    session::Session,
    table,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Events to raise
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u64).range(1..=100_000_000))]
    events: u64,
    /// Events a second, or `max`: as fast as the guest takes them
    #[arg(long, value_name = "HZ", default_value = "1000", value_parser = rate)]
    rate: Rate,
    /// Bytes each event carries
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = value_parser!(u32).range(0..=i64::from(MAX_PAYLOAD)))]
    payload: u32,
    /// MSI-X vectors that take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=i64::from(VECTORS)))]
    vectors: u32,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    vcpus: u32,
    /// What the guest's clock counts: time, or executed instructions
    #[arg(long, value_enum, default_value_t = ClockKind::Wall)]
    clock: ClockKind,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelRequest::Auto)]
    accel: AccelRequest,
    /// How the driver tells its listeners
    #[arg(long, value_enum, default_value_t = DeliveryArgument::Unicast)]
    delivery: DeliveryArgument,
    /// Listeners; the first one is measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    listeners: u32,
    /// Parameter of the driver, as `delay_ns=20000`; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    module_parameter: Vec<(String, String)>,
    /// Guest memory, MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = value_parser!(u32).range(128..=65536))]
    memory: u32,
    /// Put behind the kernel's command line; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    kernel_parameter: Vec<String>,
    /// Write the result there as JSON too; `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<JsonTarget>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum DeliveryArgument {
    /// One message for each listener
    Unicast,
    /// One message for all
    Broadcast,
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max { window: 128 });
    }
    match text.parse::<f64>() {
        Ok(hertz) if (0.01..=1e6).contains(&hertz) => Ok(Rate::Hertz(hertz)),
        _ => Err("give events a second, from 0.01 to 1000000, or `max`".to_owned()),
    }
}

fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".to_owned()),
    }
}

impl Arguments {
    fn bench(&self, accelerator: Accelerator) -> Bench {
        Bench {
            machine: Machine {
                accelerator,
                clock: self.clock,
                vcpus: self.vcpus,
                memory_mib: self.memory,
                kernel_parameters: self.kernel_parameter.clone(),
            },
            module_parameters: self.module_parameter.iter().cloned().collect(),
            plan: Plan {
                events: self.events,
                rate: match (self.clock, self.rate) {
                    (ClockKind::Instructions, Rate::Hertz(hertz)) => Rate::WhenIdle(hertz),
                    (_, rate) => rate,
                },
                payload: self.payload,
                vectors: self.vectors,
            },
            delivery: match self.delivery {
                DeliveryArgument::Unicast => Delivery::Unicast,
                DeliveryArgument::Broadcast => Delivery::Broadcast,
            },
            listeners: self.listeners,
        }
    }

    /// Instructions are counted by TCG alone.
    fn accelerator(&self) -> anyhow::Result<accel::Choice> {
        if self.clock == ClockKind::Wall {
            return Ok(accel::choose(self.accel)?);
        }
        ensure!(
            self.accel != AccelRequest::Kvm,
            "--clock instructions needs TCG, which counts them: leave out --accel kvm"
        );
        let mut choice = accel::choose(AccelRequest::Tcg)?;
        choice.reason = "it counts instructions".to_owned();
        Ok(choice)
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(target) = &arguments.json {
        target.ensure_writable()?;
    }
    let artefacts = Artefacts::locate()?;
    artefacts.check()?;
    let choice = arguments.accelerator()?;
    let bench = arguments.bench(choice.accelerator);

    let progress = Progress::on_terminal();
    progress.phase("boot");
    let mut session = Session::boot(&artefacts, &bench.machine)?;
    bench.prepare(&mut session)?;
    let result = bench.run(&mut session, &progress)?;
    let environment = Environment::gather(&artefacts.qemu, &session.hello().kernel, &choice);
    session.power_off()?;
    drop(progress);

    let problems = result.problems();
    let document = Document::new(environment, vec![result]);
    if arguments.json != Some(JsonTarget::Stdout) {
        super::print(&table::render(&document))?;
    }
    if let Some(target) = &arguments.json {
        document.write(target)?;
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
