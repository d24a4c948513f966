// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed bench`: boots, measures, prints the table.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
    value_parser,
};
use irqbed_abi::{
    control::{Load, ReplyBy},
    netlink::MAX_BATCH,
    pci::VECTORS,
    ring::MAX_PAYLOAD,
};

use crate::{
    accel::{self, AccelRequest, Accelerator},
    bench::{Bench, Scheduling},
    environment::Environment,
    measure::{Plan, Rate},
    mechanism::{Context, InterruptType, Mechanism, Pair, batches, takes},
    progress::Progress,
    qemu::{ClockKind, Machine},
    result::{Document, JsonTarget},
    saturate::saturate,
    series::{self, Series},
    table,
};

/// Parameters of the driver that follow from options.
const OWN: [&str; 4] = ["notifier", "context", "irq", "batch"];
/// The same gaps between events in every run.
const SEED: u64 = 1;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Events to raise
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u64).range(1..=100_000_000))]
    events: u64,
    /// Events a second: evenly, `poisson:HZ` at random, or `max`, as fast as
    /// the guest takes them
    #[arg(long, value_name = "HZ", default_value = "1000", value_parser = rate)]
    rate: Rate,
    /// Events that come at once, with one interrupt
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    burst: u32,
    /// Measure everything so often, in turns; `compare` needs 5 for wall time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// Find the highest rate at which nothing is lost
    #[arg(long, conflicts_with_all = ["rate", "events"])]
    saturate: bool,
    /// Bytes each event carries
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = value_parser!(u32).range(0..=i64::from(MAX_PAYLOAD)))]
    payload: u32,
    /// Vectors, and so rings, that take turns
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=i64::from(VECTORS)))]
    vectors: u32,
    /// How the device interrupts
    #[arg(long, value_enum, default_value_t = InterruptType::Msix)]
    irq: InterruptType,
    /// Virtual processors
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    vcpus: u32,
    /// What the guest's clock counts: time, or executed instructions
    #[arg(long, value_enum, default_value_t = ClockKind::Wall)]
    clock: ClockKind,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelRequest::Auto)]
    accel: AccelRequest,
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
    /// Most events in a message, where the mechanism has several
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=i64::from(MAX_BATCH)))]
    batch: u32,
    /// Listeners; the first one is measured
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    listeners: u32,
    /// Listeners run in SCHED_FIFO at this priority, 1 to 99
    #[arg(long, value_name = "PRIORITY", value_parser = value_parser!(u8).range(1..=99))]
    fifo: Option<u8>,
    /// Listeners run on this processor of the guest alone
    #[arg(long, value_name = "CPU")]
    cpu: Option<u32>,
    /// Room for events that wait at a listener, bytes
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u32).range(8192..=16 << 20))]
    receive_buffer: Option<u32>,
    /// Disturb the guest: compute, send over the loopback interface, or wake
    /// from a timer, on each processor
    #[arg(long, value_name = "LOAD", value_parser = loads())]
    load: Option<Load>,
    /// Parameter of the driver, as `delay_ns=20000`; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    module_parameter: Vec<(String, String)>,
    /// Guest memory, MiB
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = value_parser!(u32).range(128..=65536))]
    memory: u32,
    /// Put behind the kernel's command line; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    kernel_parameter: Vec<String>,
    /// Another kernel than the stock one: `6.12-debug`, which checks locks,
    /// memory and contexts (`./just debug-kernel` builds it)
    #[arg(long, value_name = "NAME")]
    kernel: Option<String>,
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

/// Parses the name of one of several things.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    PossibleValuesParser::new(all.iter().map(|&one| name(one))).try_map(move |found| {
        let mut all = all.iter().copied();
        all.find(|&one| name(one) == found).ok_or("no such name")
    })
}

pub(super) fn mechanisms() -> impl TypedValueParser<Value = Mechanism> {
    one_of(Mechanism::ALL, Mechanism::as_str)
}

pub(super) fn contexts() -> impl TypedValueParser<Value = Context> {
    one_of(Context::ALL, Context::as_str)
}

fn loads() -> impl TypedValueParser<Value = Load> {
    one_of(Load::ALL, Load::as_str)
}

fn replies() -> impl TypedValueParser<Value = ReplyBy> {
    one_of(ReplyBy::ALL, ReplyBy::as_str)
}

fn rate(text: &str) -> Result<Rate, String> {
    if text == "max" {
        return Ok(Rate::Max { window: 128 });
    }
    let random = text.strip_prefix("poisson:");
    match random.unwrap_or(text).parse::<f64>() {
        Ok(hertz) if (0.01..=1e6).contains(&hertz) => Ok(match random {
            Some(_) => Rate::Poisson { hertz, seed: SEED },
            None => Rate::Hertz(hertz),
        }),
        _ => Err(
            "give events a second, from 0.01 to 1000000, `poisson:` and such a number, or `max`"
                .to_owned(),
        ),
    }
}

pub(super) fn parameter(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE".to_owned()),
    }
}

impl Arguments {
    fn machine(&self, accelerator: Accelerator) -> Machine {
        Machine {
            accelerator,
            clock: self.clock,
            vcpus: self.vcpus,
            memory_mib: self.memory,
            iommu: false,
            kernel_parameters: self.kernel_parameter.clone(),
        }
    }

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
        let refusal = |pair: &Pair| {
            let several = self.batch > 1 && !batches(pair.mechanism);
            let other = !takes(pair.mechanism, self.irq);
            let batch = || "its messages carry one event each: leave out --batch".to_owned();
            let irq = || "its listener takes MSI-X alone: leave out --irq".to_owned();
            pair.refusal(machine, self.listeners)
                .or_else(|| several.then(batch))
                .or_else(|| other.then(irq))
        };
        let works = |pair: &Pair| match refusal(pair) {
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

    fn bench(&self, machine: &Machine, pair: Pair, reply: Option<ReplyBy>) -> Bench {
        Bench {
            machine: pair.machine(machine),
            module_parameters: self.module_parameter.iter().cloned().collect(),
            plan: Plan {
                events: self.events,
                rate: match (self.clock, self.rate) {
                    (ClockKind::Instructions, Rate::Hertz(hertz))
                        if pair.mechanism == Mechanism::MmapPoll || self.load.is_some() =>
                    {
                        Rate::OneByOne(hertz)
                    }
                    (ClockKind::Instructions, Rate::Hertz(hertz)) => Rate::WhenIdle(hertz),
                    (_, rate) => rate,
                },
                payload: self.payload,
                vectors: self.vectors,
                burst: self.burst,
            },
            pair,
            batch: self.batch,
            interrupt: self.irq,
            listeners: self.listeners,
            scheduling: Scheduling {
                fifo: self.fifo,
                cpu: self.cpu,
            },
            receive_buffer: self.receive_buffer,
            load: self.load,
            reply,
        }
    }

    /// What cannot go together, and clap does not know.
    fn conflict(&self) -> Option<String> {
        let mut given = self.module_parameter.iter();
        if let Some((name, value)) = given.find(|(name, _)| OWN.contains(&name.as_str())) {
            // The result would speak of another run than the one there was.
            return Some(match name.as_str() {
                "notifier" => "--module-parameter notifier: give --mechanism".to_owned(),
                name => format!("--module-parameter {name}: give --{name} {value}"),
            });
        }
        let wall = self.clock == ClockKind::Wall;
        let last = self.vcpus - 1;
        match (self.rate, self.cpu) {
            _ if self.saturate && !wall => {
                Some("--saturate needs --clock wall: a rate is events in time".to_owned())
            }
            (Rate::Poisson { .. }, _) if !wall => Some(
                "--rate poisson needs --clock wall: with instructions each event waits for the \
                 one before"
                    .to_owned(),
            ),
            (Rate::Max { window }, _) if u64::from(self.burst) > window => Some(format!(
                "--burst {}: --rate max keeps at most {window} events on their way",
                self.burst
            )),
            (_, Some(cpu)) if cpu > last => Some(format!(
                "--cpu {cpu}: the last processor of the guest is {last}; give more --vcpus"
            )),
            _ => None,
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
    if let Some(conflict) = arguments.conflict() {
        clap::Error::raw(ErrorKind::ArgumentConflict, conflict + "\n").exit();
    }
    if let Some(target) = &arguments.json {
        target.ensure_writable()?;
    }
    let artefacts = super::artefacts(arguments.kernel.as_deref())?;
    artefacts.check()?;
    let choice = arguments.accelerator()?;
    let machine = arguments.machine(choice.accelerator);
    let (pairs, refused) = arguments.pairs(&machine);
    if let ([], Some((pair, why))) = (&*pairs, refused.first()) {
        bail!("{pair} cannot be measured: {why}");
    }

    let progress = Progress::on_terminal();
    let benches: Vec<_> = (0..arguments.rounds)
        .flat_map(|_| &pairs)
        .flat_map(|&pair| arguments.replies().into_iter().map(move |by| (pair, by)))
        .map(|(pair, reply)| arguments.bench(&machine, pair, reply))
        .collect();
    let measure = if arguments.saturate {
        saturate
    } else {
        Bench::run
    };
    let Series { results, kernel } = series::run(&artefacts, &benches, measure, &progress)?;
    let environment = Environment::gather(&artefacts.qemu, &kernel, &choice);
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
    if arguments.json != Some(JsonTarget::Stdout) {
        super::print(&table::render(&document))?;
    }
    for (pair, why) in &refused {
        eprintln!("irqbed: not measured: {pair}: {why}");
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
