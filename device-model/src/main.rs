// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `device-model DEVICE --socket PATH`: serves a device on a socket, for
//! people who start QEMU themselves; several devices are functions of one slot.

#![forbid(unsafe_code)]

use std::{
    io::{self, Read, Write},
    iter,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind, value_parser};
use device_model::{
    Disconnect, FaultInjection, Options, ServerEnd, ServerHandle, Slot,
    control::{ControlServer, Target},
    edu::{EduDevice, EduRegister},
    event::EventDevice,
    log,
    nic_lite::{NicLite, NicRegister},
    server::Stopper,
    slot::ServedSlot,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::pipe,
};

/// How long the device may take to end after a signal.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// Slot of the root bus that the functions are shown in.
const SLOT: u8 = 5;

/// Serves a PCI device to QEMU over vfio-user, until QEMU leaves or Ctrl-C;
/// with `--on-disconnect`, to one QEMU after another. IRQBED_LOG says what is logged:
/// warn (the default), info, debug.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The device to serve; several, with commas between, are the functions of
    /// one slot.
    #[arg(required = true, value_name = "DEVICE", value_delimiter = ',')]
    devices: Vec<Device>,
    /// Socket for QEMU; must not exist yet, is removed at the end. Of several
    /// functions each has its own: PATH.0, PATH.1 and so on.
    #[arg(long, value_name = "PATH", required_unless_present = "registers")]
    socket: Option<PathBuf>,
    /// Socket for `irqbed raise` and `irqbed fault`; must not be in use, is
    /// removed at the end. Of several functions it is that of `event`.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// What becomes of the device when QEMU leaves.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = WhenQemuLeaves::End)]
    on_disconnect: WhenQemuLeaves,
    /// Spin that long for the next access before sleeping: faster answers,
    /// where a processor is free for it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(..=1_000_000))]
    poll_us: u64,
    /// Give edu another BAR, where its registers are read without a trap.
    #[arg(long)]
    mapped: bool,
    /// Print the registers of the device as Markdown, and serve nothing.
    #[arg(long, conflicts_with_all = ["socket", "control", "mapped", "on_disconnect", "poll_us"])]
    registers: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WhenQemuLeaves {
    /// It ends.
    End,
    /// It goes back to the state after power on, and waits for the next QEMU.
    Reset,
    /// It stays as it is, and waits for the next QEMU.
    Keep,
}

impl From<WhenQemuLeaves> for Disconnect {
    fn from(when: WhenQemuLeaves) -> Self {
        match when {
            WhenQemuLeaves::End => Self::End,
            WhenQemuLeaves::Reset => Self::Reset,
            WhenQemuLeaves::Keep => Self::Keep,
        }
    }
}

impl Arguments {
    /// What clap cannot say: ends the process with status 2. Returns the function
    /// that the control socket is of, where there is one.
    fn check(&self) -> Option<usize> {
        let refuse = |what: &str| -> ! {
            let error = Self::command().error(ErrorKind::ArgumentConflict, what);
            error.exit()
        };
        if self.mapped && !self.devices.contains(&Device::Edu) {
            refuse("--mapped is for the device `edu`");
        }
        self.control.as_ref()?;
        let function = self.controlled();
        if function.is_none() {
            refuse("--control is for one device, of several for the only `event`");
        }
        function
    }

    /// The function that a control socket would be of, if it is clear which.
    fn controlled(&self) -> Option<usize> {
        let functions = self.devices.iter().enumerate();
        let mut events = functions.filter(|(_, device)| **device == Device::Event);
        match (&*self.devices, events.next(), events.next()) {
            ([_], _, _) => Some(0),
            (_, Some((function, _)), None) => Some(function),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Device {
    /// The event device of irqbed.
    Event,
    /// QEMU's educational device, register by register.
    Edu,
    /// A network card in miniature: queues, doorbells, a loop-back.
    NicLite,
}

impl Device {
    fn registers(self) -> String {
        match self {
            Self::Event => EventDevice::registers(),
            Self::Edu => EduRegister::MAP.to_markdown(),
            Self::NicLite => NicRegister::MAP.to_markdown(),
        }
    }
}

fn main() -> ExitCode {
    // A usage error ends the process here, with status 2.
    let arguments = Arguments::parse();
    let controlled = arguments.check();
    log::to_stderr("warn");
    match run(&arguments, controlled) {
        Ok(status) => status,
        Err(error) => {
            let why = log::one_line(error.chain());
            let _ = writeln!(io::stderr(), "device-model: error: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, controlled: Option<usize>) -> anyhow::Result<ExitCode> {
    let Some(socket) = arguments.socket.as_deref() else {
        let tables = arguments.devices.iter().map(|device| device.registers());
        print(&tables.collect::<Vec<_>>().join("\n")).context("cannot print")?;
        return Ok(ExitCode::SUCCESS);
    };
    // Before the socket exists, so that no signal can leave it behind.
    let signals = signals().context("cannot watch for signals")?;
    let options = Options::default()
        .polling(Duration::from_micros(arguments.poll_us))
        .on_disconnect(arguments.on_disconnect.into());
    let mut slot = Slot::default().options(options);
    let mut sources = Vec::new();
    for device in &arguments.devices {
        let mut source = None;
        slot = match device {
            Device::Event => {
                let device = EventDevice::new()?;
                source = Some(device.source());
                slot.function(device)
            }
            Device::Edu if arguments.mapped => {
                let device = EduDevice::new().mapped();
                slot.function(device.context("no memory for edu's second BAR")?)
            }
            Device::Edu => slot.function(EduDevice::new()),
            Device::NicLite => slot.function(NicLite::new()),
        };
        sources.push(source);
    }
    let served = slot.serve(socket)?;
    let mut targets = iter::zip(sources, &served.servers).map(|(source, server)| match source {
        Some(source) => Target::Event(source),
        None => Target::Other(server.faults()),
    });
    let target = controlled.and_then(|function| targets.nth(function));
    let control = arguments.control.as_deref();
    let _control = control
        .zip(target)
        .map(|(path, target)| ControlServer::bind(path, target))
        .transpose()?;
    let stoppers = served.servers.iter().map(ServerHandle::stopper);
    stop_at_signal(signals, stoppers.collect()).context("cannot watch for signals")?;
    // That nobody reads it is no error.
    let _ = print(&instructions(&served, control));
    let mut left = false;
    for server in served.servers {
        match server.join() {
            Some(ServerEnd::ClientLeft) => left = true,
            Some(ServerEnd::Stopped) | None => {}
            Some(ServerEnd::Failed(error)) => bail!("the connection to QEMU broke: {error}"),
            // Said where it happened.
            Some(end @ ServerEnd::Panicked(_)) => return Ok(end.exit_code()),
        }
    }
    let end = if left { "QEMU has left" } else { "stopped" };
    log::say(format_args!("device-model: {end}"));
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// A stream that becomes readable when the user or the system ends us.
fn signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn stop_at_signal(mut signals: UnixStream, stoppers: Vec<Stopper>) -> io::Result<()> {
    let watch = move || {
        if signals.read_exact(&mut [0]).is_err() {
            return;
        }
        for stopper in stoppers {
            if stopper.stop(STOP_BOUND).is_none() {
                log::say(format_args!(
                    "device-model: the device does not end; leaving it"
                ));
                std::process::exit(1);
            }
        }
    };
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(watch).map(drop)
}

fn instructions(served: &ServedSlot, control: Option<&Path>) -> String {
    let sockets = served
        .sockets
        .iter()
        .map(|socket| socket.display().to_string());
    let mut text = format!(
        "Serving on {}. Start QEMU 10.1 or newer with:\n\
         \n  \
         -object memory-backend-memfd,id=mem,size=256M,share=on \\\n  \
         -machine q35,memory-backend=mem -m 256M",
        sockets.collect::<Vec<_>>().join(" and ")
    );
    for pair in served.qemu_arguments(SLOT).chunks(2) {
        if let [option, value] = pair {
            text += &format!(" \\\n  {option} '{value}'");
        }
    }
    text += "\n\n";
    if let Some(control) = control {
        text += &format!("Control socket: {}\n", control.display());
    }
    text + "Ctrl-C ends the device.\n"
}
