// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed bench-mmio`: how long a register access takes at any vfio-user
//! server, over its socket and from a guest.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::{Args, builder::PossibleValuesParser, builder::TypedValueParser, value_parser};
use irqbed_machine::{
    accel::{self, AccelRequest},
    builtin::Builtin,
    progress::Progress,
};
use irqbed_measure::{
    environment,
    mmio::{Document, MmioError, Plan, Serves, Target, Way},
};
use irqbed_results::result::JsonTarget;

use super::options::{MAX_POLL_US, refuse};

/// Most servers: there are 32 places on a bus, and some are taken.
const MAX_SERVERS: usize = 16;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Where a server listens; several are measured in turns
    #[arg(long, value_name = "PATH", required_unless_present = "device")]
    socket: Vec<PathBuf>,
    /// The region of its register: of all sockets, or given once for each (0 to 8)
    #[arg(long, value_name = "N", value_delimiter = ',', required_unless_present = "device", requires = "socket", value_parser = value_parser!(u32).range(..=8))]
    region: Vec<u32>,
    /// Where in the region, bytes, also in hexadecimal: of all sockets, or given
    /// once for each
    #[arg(long, value_name = "OFFSET", value_delimiter = ',', default_value = "0", value_parser = number)]
    offset: Vec<u64>,
    /// A device of this project to measure in the same run, in front of the
    /// sockets; several to compare them
    #[arg(long, value_name = "NAME,...", value_enum, value_delimiter = ',')]
    device: Vec<Builtin>,
    /// How long its thread spins for a message before it sleeps; several to
    /// compare them (0 to 1000000)
    #[arg(long, value_name = "MICROSECONDS,...", value_delimiter = ',', default_value = "0", requires = "device", value_parser = value_parser!(u64).range(..=MAX_POLL_US))]
    poll_us: Vec<u64>,
    /// Bytes of an access
    #[arg(long, value_name = "BYTES", default_value = "4", value_parser = widths())]
    width: u32,
    /// Write this value, and do not read
    #[arg(long, value_name = "VALUE", value_parser = number)]
    write: Option<u64>,
    /// Accesses of each register in a round (1 to 100000)
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u64).range(1..=100_000))]
    count: u64,
    /// Rounds, in each of which every register has its turn (1 to 1000)
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// From where; for a server that takes one connection in its life, one of
    /// the two
    #[arg(
        long,
        value_enum,
        value_name = "WAY,...",
        value_delimiter = ',',
        default_value = "socket,guest"
    )]
    way: Vec<Way>,
    /// Virtual processors of the guest (1 to 64)
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=64))]
    vcpus: u32,
    /// Accelerator
    #[arg(long, value_enum, default_value_t = AccelRequest::Auto)]
    accel: AccelRequest,
    /// Write the result there as JSON too; `-` for standard output
    #[arg(long, value_name = "FILE")]
    json: Option<JsonTarget>,
}

fn widths() -> impl TypedValueParser<Value = u32> {
    PossibleValuesParser::new(["1", "2", "4", "8"]).try_map(|width| width.parse::<u32>())
}

fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "give a number, as 16 or 0x10".to_owned())
}

/// What one value, or one for each, says of one of them.
fn of_each<T: Copy>(given: &[T], index: usize) -> Option<T> {
    match given {
        [one] => Some(*one),
        several => several.get(index).copied(),
    }
}

impl Arguments {
    /// What cannot go together, and clap does not know.
    fn conflict(&self) -> Option<String> {
        let sockets = self.socket.len();
        let counts = [("region", self.region.len()), ("offset", self.offset.len())];
        for (option, given) in counts {
            if given > 1 && given != sockets {
                return Some(format!(
                    "--{option} is given {given} times, and there are {sockets} sockets: give it \
                     once, or once for each"
                ));
            }
        }
        let mut sockets = self.socket.clone();
        sockets.sort();
        let twice = sockets
            .iter()
            .zip(sockets.iter().skip(1))
            .find(|(one, next)| one == next);
        if let Some((path, _)) = twice {
            return Some(format!("--socket {} is given twice", path.display()));
        }
        let servers = self.socket.len() + self.device.len() * self.poll_us.len();
        if servers > MAX_SERVERS {
            return Some(format!(
                "{servers} servers are too many: at most {MAX_SERVERS}"
            ));
        }
        let bits = self.width * 8;
        let value = self
            .write
            .filter(|value| value.checked_shr(bits).is_some_and(|rest| rest != 0));
        value.map(|value| format!("--write {value:#x} has more than {} bytes", self.width))
    }

    fn plan(&self, choice: &accel::Choice) -> Plan {
        let written = self.write.is_some();
        let ours = self.device.iter().flat_map(|device| {
            let polls = self.poll_us.iter();
            polls.map(|poll| Target::of_ours(*device, Duration::from_micros(*poll), written))
        });
        let sockets = self.socket.iter().enumerate().map(|(index, path)| Target {
            serves: Serves::Socket(path.clone()),
            region: of_each(&self.region, index).unwrap_or_default(),
            offset: of_each(&self.offset, index).unwrap_or_default(),
        });
        let mut ways = self.way.clone();
        // The socket first: QEMU keeps its connections.
        ways.sort();
        ways.dedup();
        Plan {
            targets: ours.chain(sockets).collect(),
            ways,
            width: self.width,
            write: self.write,
            count: self.count,
            rounds: self.rounds,
            accelerator: choice.accelerator,
            vcpus: self.vcpus,
        }
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    if let Some(conflict) = arguments.conflict() {
        refuse(conflict);
    }
    super::ensure_writable(&arguments.json)?;
    let artefacts = super::artefacts(None)?;
    let choice = accel::choose(arguments.accel)?;
    let plan = arguments.plan(&choice);
    let progress = Progress::on_terminal();
    let measured = plan.measure(&artefacts, &progress);
    drop(progress);
    let measured = match measured {
        Ok(measured) => measured,
        Err(error @ MmioError::NoRegister { .. }) => return Err(super::bad_input(error)),
        Err(MmioError::Session(error)) => return Err(error.into()),
        Err(error) => return Err(error.into()),
    };
    let environment = environment::gather(&artefacts, &measured.kernel, &choice);
    let document = Document::new(environment, &plan, measured);
    if arguments.json != Some(JsonTarget::Stdout) {
        super::print(&document.table())?;
    }
    if let Some(target) = &arguments.json {
        document.write(target)?;
    }
    Ok(ExitCode::SUCCESS)
}
