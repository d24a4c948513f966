// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The options of every command that runs events through a guest: which guest,
//! which events, and who listens.

use std::time::Duration;

use anyhow::ensure;
use clap::{
    Args,
    builder::{PossibleValuesParser, TypedValueParser},
    error::ErrorKind,
    value_parser,
};
use device_model::fault::Fault;
use irqbed_abi::{
    control::{Load, ReplyBy},
    netlink::MAX_BATCH,
    pci::VECTORS,
    ring::MAX_PAYLOAD,
};
use irqbed_machine::{
    accel::{self, AccelRequest, Accelerator},
    qemu::{ClockKind, Machine},
};
use irqbed_measure::{
    bench::{self, Bench},
    measure::{Plan, Rate},
    pin::Pin,
};
use irqbed_results::{
    mechanism::{Context, InterruptType, Mechanism, Pair, batches, takes},
    result::Scheduling,
};

/// Parameters of the driver that follow from options.
const OWN: [&str; 4] = ["notifier", "context", "irq", "batch"];
/// Most that a device's thread may spin for a message, microseconds.
pub(super) const MAX_POLL_US: u64 = 1_000_000;
/// The same gaps between events in every run.
const SEED: u64 = 1;

#[derive(Debug, Args)]
pub(super) struct Options {
    /// Events to raise (1 to 100000000)
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u64).range(1..=100_000_000))]
    pub(super) events: u64,
    /// Events a second (0.01 to 1000000): evenly, `poisson:HZ` at random, or `max`, as
    /// fast as the guest takes them
    #[arg(long, value_name = "HZ", default_value = "1000", value_parser = rate)]
    pub(super) rate: Rate,
    /// Events that come at once, with one interrupt (1 to 1024)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=1024))]
    pub(super) burst: u32,
    /// Bytes each event carries (0 to 4096)
    #[arg(long, value_name = "BYTES", default_value_t = 16, value_parser = value_parser!(u32).range(0..=i64::from(MAX_PAYLOAD)))]
    pub(super) payload: u32,
    /// Vectors, and so rings, that take turns (1 to 32)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=i64::from(VECTORS)))]
    pub(super) vectors: u32,
    /// How the device interrupts
    #[arg(long, value_enum, default_value_t = InterruptType::Msix)]
    pub(super) irq: InterruptType,
    /// Virtual processors (1 to 64)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    pub(super) vcpus: u32,
    /// Where on the host the thread that raises, QEMU's main loop and the
    /// guest's processors run: auto, none, or processors as 1 or 0,0,1
    #[arg(long, value_name = "CPU,...", default_value = "auto")]
    pub(super) pin: Pin,
    /// What the guest's clock counts: time, or executed instructions
    #[arg(long, value_enum, default_value_t = ClockKind::Wall)]
    pub(super) clock: ClockKind,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelRequest::Auto)]
    pub(super) accel: AccelRequest,
    /// Most events in a message, where the mechanism has several (1 to 64)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=i64::from(MAX_BATCH)))]
    pub(super) batch: u32,
    /// Listeners; the first one is measured (1 to 64)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    pub(super) listeners: u32,
    /// Listeners run in SCHED_FIFO at this priority (1 to 99)
    #[arg(long, value_name = "PRIORITY", value_parser = value_parser!(u8).range(1..=99))]
    pub(super) fifo: Option<u8>,
    /// Listeners run on this processor of the guest alone (0 to 63)
    #[arg(long, value_name = "CPU", value_parser = value_parser!(u32).range(0..64))]
    pub(super) cpu: Option<u32>,
    /// Room for events that wait at a listener, bytes (8192 to 16777216)
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u32).range(8192..=16 << 20))]
    pub(super) receive_buffer: Option<u32>,
    /// Disturb the guest: compute, send over the loopback interface, or wake
    /// from a timer, on each processor
    #[arg(long, value_name = "LOAD", value_parser = loads())]
    pub(super) load: Option<Load>,
    /// What goes wrong with the device while events are raised, as
    /// `irq-lost:chance=0.1`: `irqbed fault --kinds` says what there is; may be
    /// given again
    #[arg(long, value_name = "KIND:KEY=VALUE,...")]
    pub(super) fault: Vec<Fault>,
    /// Parameter of the driver, as `delay_ns=20000`; may be given again
    #[arg(long, value_name = "NAME=VALUE", value_parser = parameter)]
    pub(super) module_parameter: Vec<(String, String)>,
    /// Guest memory, MiB (128 to 65536)
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = value_parser!(u32).range(128..=65536))]
    pub(super) memory: u32,
    /// The device's thread spins so long for QEMU's next message before it
    /// sleeps: answers come sooner, where a processor is free for it (0 to 1000000)
    #[arg(long, value_name = "MICROSECONDS", default_value_t = 0, value_parser = value_parser!(u64).range(..=MAX_POLL_US))]
    pub(super) poll_us: u64,
    /// Put behind the kernel's command line; may be given again
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(super) kernel_parameter: Vec<String>,
    /// Another kernel than the stock one, by a name of `irqbed kernel --list`,
    /// which `irqbed kernel NAME` fetches; 6.12-debug checks locks, memory and
    /// contexts
    #[arg(long, value_name = "NAME")]
    pub(super) kernel: Option<String>,
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

pub(super) fn replies() -> impl TypedValueParser<Value = ReplyBy> {
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

impl Options {
    pub(super) fn machine(&self, accelerator: Accelerator) -> Machine {
        Machine {
            vcpus: self.vcpus,
            memory_mib: self.memory,
            port_window_mib: Machine::PORT_WINDOW_MIB,
            kernel_parameters: self.kernel_parameter.clone(),
            poll: Duration::from_micros(self.poll_us),
            ..Machine::new(accelerator, self.clock)
        }
    }

    /// Why a pair cannot be measured so, if it cannot.
    pub(super) fn refusal(&self, pair: Pair, machine: &Machine) -> Option<String> {
        let several = self.batch > 1 && !batches(pair.mechanism);
        let other = !takes(pair.mechanism, self.irq);
        let batch = || "its messages carry one event each: leave out --batch".to_owned();
        let irq = || "its listener takes MSI-X alone: leave out --irq".to_owned();
        bench::cannot(pair, machine, self.listeners)
            .or_else(|| several.then(batch))
            .or_else(|| other.then(irq))
    }

    pub(super) fn bench(&self, machine: &Machine, pair: Pair, reply: Option<ReplyBy>) -> Bench {
        Bench {
            machine: bench::machine_for(pair, machine),
            pin: self.pin.clone(),
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
            faults: self.fault.clone(),
        }
    }

    /// What cannot go together, and clap does not know.
    pub(super) fn conflict(&self) -> Option<String> {
        let mut given = self.module_parameter.iter();
        if let Some((name, value)) = given.find(|(name, _)| OWN.contains(&name.as_str())) {
            // The result would speak of another run than the one there was.
            return Some(match name.as_str() {
                "notifier" => "--module-parameter notifier: give --mechanism".to_owned(),
                name => format!("--module-parameter {name}: give --{name} {value}"),
            });
        }
        let mut faults = self.fault.iter();
        if let Some(why) = faults.find_map(|fault| bench::refusal(fault, self.clock)) {
            return Some(format!("--fault {why}"));
        }
        let wall = self.clock == ClockKind::Wall;
        let last = self.vcpus - 1;
        match (self.rate, self.cpu) {
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
    pub(super) fn accelerator(&self) -> anyhow::Result<accel::Choice> {
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

/// Ends the program over options that cannot go together.
pub(super) fn refuse(conflict: String) -> ! {
    clap::Error::raw(ErrorKind::ArgumentConflict, conflict + "\n").exit()
}
