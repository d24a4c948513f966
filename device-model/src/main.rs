// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `device-model DEVICE --socket PATH`: serves a device on a socket, for
//! people who start QEMU themselves.

#![forbid(unsafe_code)]

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};
use clap::{Parser, ValueEnum, value_parser};
use device_model::{
    Disconnect, Options, Server, ServerEnd, Stopper, control::ControlServer, event::EventDevice,
};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    low_level::pipe,
};
use tracing_subscriber::EnvFilter;

/// How long the device may take to end after a signal.
const STOP_BOUND: Duration = Duration::from_secs(5);

/// Serves a PCI device to QEMU over vfio-user, until QEMU leaves or Ctrl-C;
/// with `--on-disconnect`, to one QEMU after another.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// The device to serve.
    device: Device,
    /// Socket for QEMU; must not exist yet, is removed at the end.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// Socket for `irqbed raise` and the like; must not be in use, is removed
    /// at the end.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// What becomes of the device when QEMU leaves.
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = WhenQemuLeaves::End)]
    on_disconnect: WhenQemuLeaves,
    /// Spin that long for the next access before sleeping: faster answers,
    /// where a processor is free for it.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u64).range(..=1_000_000))]
    poll_us: u64,
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Device {
    /// The event device of irqbed.
    Event,
}

fn main() -> ExitCode {
    // A usage error ends the process here, with status 2.
    let arguments = Arguments::parse();
    let filter = EnvFilter::builder()
        .with_default_directive(tracing::Level::WARN.into())
        .from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "device-model: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    // Before the socket exists, so that no signal can leave it behind.
    let signals = signals().context("cannot watch for signals")?;
    let device = match arguments.device {
        Device::Event => EventDevice::new()?,
    };
    let source = device.source();
    let socket = &arguments.socket;
    let options = Options {
        poll: Duration::from_micros(arguments.poll_us),
        disconnect: arguments.on_disconnect.into(),
    };
    let server = Server::bind(socket)?.options(options).serve(device)?;
    let control = arguments.control.as_deref();
    let _control = control
        .map(|path| ControlServer::bind(path, source))
        .transpose()?;
    stop_at_signal(signals, server.stopper()).context("cannot watch for signals")?;
    // That nobody reads it is no error.
    let mut stdout = io::stdout();
    let _ = stdout.write_all(instructions(socket, control).as_bytes());
    let _ = stdout.flush();
    match server.join() {
        Some(ServerEnd::ClientLeft) => eprintln!("device-model: QEMU has left"),
        Some(ServerEnd::Stopped) | None => eprintln!("device-model: stopped"),
        Some(ServerEnd::Failed(error)) => bail!("the connection to QEMU broke: {error}"),
        Some(ServerEnd::Panicked(error)) => bail!("the device failed: {error}"),
    }
    Ok(())
}

/// A stream that becomes readable when the user or the system ends us.
fn signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn stop_at_signal(mut signals: UnixStream, stopper: Stopper) -> io::Result<()> {
    let watch = move || {
        if signals.read_exact(&mut [0]).is_ok() && stopper.stop(STOP_BOUND).is_none() {
            eprintln!("device-model: the device does not end; leaving it");
            std::process::exit(1);
        }
    };
    let thread = thread::Builder::new().name("signals".into());
    thread.spawn(watch).map(drop)
}

fn instructions(socket: &Path, control: Option<&Path>) -> String {
    // Debug quotes a string as JSON does, for all that a path should contain.
    let path = format!("{:?}", socket.display().to_string());
    let mut text = format!(
        "Serving on {}. Start QEMU 10.1 or newer with:\n\
         \n  \
         -object memory-backend-memfd,id=mem,size=256M,share=on \\\n  \
         -machine q35,memory-backend=mem -m 256M \\\n  \
         -device '{{\"driver\":\"vfio-user-pci\",\"socket\":{{\"type\":\"unix\",\"path\":{path}}}}}'\n\n",
        socket.display()
    );
    if let Some(control) = control {
        text += &format!("Control socket: {}\n", control.display());
    }
    text + "Ctrl-C ends the device.\n"
}
