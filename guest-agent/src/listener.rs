// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A listener: the process in which events end their journey. PID 1 starts it
//! from the agent's own binary with its wishes as argument, the shared figures
//! as standard input, and standard output to hear when it is ready.

use std::io::{self, Write};

use anyhow::{Context, Result, ensure};
use irqbed_abi::control::{Behaviour, ListenerSpec, Reply};
use rustix::mm::{MlockAllFlags, mlockall};

use crate::{
    console::print_line,
    instrument::Instrument,
    receivers::{
        self,
        receiver::{Drops, Receiver, Run},
    },
    repliers, scheduling, signal,
    sink::Sink,
    stats::Stats,
};

/// First argument of a listener's process.
pub const ROLE: &str = "listen";

/// A listener from its start to its end. Its first words are for PID 1: that
/// it listens, or why it cannot.
pub fn main(spec: Option<String>) -> Result<()> {
    match start(spec.as_deref().unwrap_or_default()) {
        Ok(listener) => listener.run(),
        Err(error) => send_to_init(&Reply::Failed {
            error: format!("{error:#}"),
        }),
    }
}

struct Listener {
    behaviour: Behaviour,
    sink: Sink,
    drops: Drops,
    run: Run,
}

fn start(spec: &str) -> Result<Listener> {
    let spec: ListenerSpec =
        serde_json::from_str(spec).context("a listener's argument is its specification")?;
    let stats = Stats::map(io::stdin()).context("cannot map the shared figures")?;
    let instrument = match spec.behaviour {
        // Who drives the device maps the BAR as well.
        Behaviour::Measure | Behaviour::Judge if !spec.mechanism.drives_the_device() => {
            Some(Instrument::open()?)
        }
        _ => None,
    };
    ensure!(
        spec.reply.is_none() || instrument.is_some(),
        "only a listener that measures replies to its events"
    );
    // No page fault shall come between an event and its stamp.
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        print_line(&format!(
            "irqbed-agent: a listener runs without locked memory: {error}"
        ));
    }
    scheduling::apply(&spec)?;
    let mut sink = Sink::new(stats, instrument, spec.behaviour == Behaviour::Print);
    if let Some(way) = spec.reply {
        sink.reply_by(repliers::open(way)?);
    }
    if spec.behaviour == Behaviour::Judge {
        sink.disable_stamps();
    }
    let Receiver {
        port_id,
        stop,
        drops,
        run,
    } = receivers::open(&spec, &mut sink)?;
    sink.set_port_id(port_id);
    signal::on_terminate(stop)?;
    send_to_init(&Reply::Listening {
        listener: 0,
        port_id,
    })?;
    Ok(Listener {
        behaviour: spec.behaviour,
        sink,
        drops,
        run,
    })
}

impl Listener {
    fn run(mut self) -> Result<()> {
        let result = if self.behaviour == Behaviour::Stall {
            // Returns when the handler of SIGTERM has asked for no more events.
            rustix::event::pause();
            Ok(())
        } else {
            (self.run)(&mut self.sink)
        };
        if let Some(drops) = (self.drops)() {
            self.sink.set_drops(drops);
        }
        result
    }
}

fn send_to_init(reply: &Reply) -> Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    io::stdout()
        .write_all(&line)
        .context("PID 1 does not hear us")?;
    Ok(())
}
