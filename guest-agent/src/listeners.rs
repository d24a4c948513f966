// SPDX-License-Identifier: Apache-2.0 OR MIT
//! PID 1's side of the listeners: starts them, reads their figures, ends them.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use irqbed_abi::control::{ListenerReport, ListenerSpec, Mechanism, Reply};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal},
};

use crate::{
    children::{Children, SELF},
    genetlink, listener, netlink,
    stats::Stats,
};

/// How long a listener has to subscribe.
const START: Duration = Duration::from_secs(15);
/// How long a listener has to end.
const END: Duration = Duration::from_secs(5);
/// The signal that ends it is repeated after this time.
const REPEAT: Duration = Duration::from_millis(500);

struct Listener {
    pid: Pid,
    stats: Stats,
    /// Netlink protocol and port id, for one that has a socket.
    socket: Option<(u32, u32)>,
    drives_the_device: bool,
    /// The last number read while the listener lived.
    drops: u64,
}

/// Every listener since the start, by number.
#[derive(Default)]
pub struct Listeners(Vec<Listener>);

impl Listeners {
    /// Starts a listener: number and port id, once it is subscribed.
    pub fn start(&mut self, children: &mut Children, spec: &ListenerSpec) -> Result<(u32, u32)> {
        let (stats, memory) = Stats::create().context("no memory for a listener's figures")?;
        let mut command = Command::new(SELF);
        command
            .args([listener::ROLE, &serde_json::to_string(spec)?])
            .stdin(Stdio::from(memory))
            .stdout(Stdio::piped());
        let (pid, child) = children
            .spawn(&mut command)
            .context("cannot start a listener")?;
        let port_id = match read_ready_line(child.stdout) {
            Ok(port_id) => port_id,
            Err(error) => {
                children.signal(pid, Signal::KILL);
                children.wait(pid, END);
                return Err(error);
            }
        };
        // Port 0 is the driver's own socket.
        let socket = match port_id {
            0 => None,
            port_id => Some((protocol(spec.mechanism)?, port_id)),
        };
        self.0.push(Listener {
            pid,
            stats,
            socket,
            drives_the_device: spec.mechanism.drives_the_device(),
            drops: 0,
        });
        Ok((u32::try_from(self.0.len() - 1)?, port_id))
    }

    fn get(&mut self, number: u32) -> Result<&mut Listener> {
        let count = self.0.len();
        let listener = usize::try_from(number)
            .ok()
            .and_then(|number| self.0.get_mut(number));
        listener.with_context(|| format!("there is no listener {number}, only {count} in all"))
    }

    /// The listener that drives the device itself, if one does.
    pub fn driver(&self, children: &mut Children) -> Option<Pid> {
        let drives = |listener: &&Listener| {
            listener.drives_the_device && children.ended(listener.pid).is_none()
        };
        self.0.iter().find(drives).map(|listener| listener.pid)
    }

    /// What a listener has seen up to now.
    pub fn report(&mut self, children: &mut Children, number: u32) -> Result<ListenerReport> {
        let listener = self.get(number)?;
        let alive = children.ended(listener.pid).is_none();
        if alive {
            listener.read_drops();
        }
        Ok(listener.stats.report(listener.drops, alive))
    }

    /// Ends a listener: its last report.
    pub fn end(
        &mut self,
        children: &mut Children,
        number: u32,
        kill: bool,
    ) -> Result<ListenerReport> {
        let listener = self.get(number)?;
        listener.read_drops();
        let deadline = Instant::now() + END;
        let signal = if kill { Signal::KILL } else { Signal::TERM };
        loop {
            children.signal(listener.pid, signal);
            // The driver's acknowledgement may find the listener's queue full.
            if children.wait(listener.pid, REPEAT).is_some() {
                return Ok(listener.stats.report(listener.drops, false));
            }
            if Instant::now() >= deadline {
                children.signal(listener.pid, Signal::KILL);
                bail!("listener {number} did not end within {END:?} and was killed");
            }
        }
    }
}

impl Listener {
    fn read_drops(&mut self) {
        let drops = self
            .socket
            .and_then(|(protocol, port_id)| netlink::drops(protocol, port_id));
        self.drops = drops.unwrap_or(self.drops);
    }
}

/// The netlink protocol of the sockets of a mechanism.
fn protocol(mechanism: Mechanism) -> Result<u32> {
    match mechanism {
        Mechanism::Genetlink | Mechanism::GenetlinkMulticast => Ok(genetlink::PROTOCOL),
        _ => netlink::unit(),
    }
}

/// Waits for a listener's first line: its port id.
fn read_ready_line(stdout: Option<impl Read + std::os::fd::AsFd>) -> Result<u32> {
    let stdout = stdout.context("a listener without standard output")?;
    let mut waiting = [PollFd::new(&stdout, PollFlags::IN)];
    let limit = Timespec::try_from(START)?;
    match poll(&mut waiting, Some(&limit)) {
        Ok(0) => bail!("the listener was not ready within {START:?}"),
        Ok(_) => {}
        Err(error) => return Err(error).context("cannot wait for the listener"),
    }
    let mut line = String::new();
    // It writes its line in one piece, or ends.
    BufReader::new(stdout)
        .read_line(&mut line)
        .context("cannot hear the listener")?;
    if line.is_empty() {
        bail!("the listener died at its start");
    }
    match serde_json::from_str(&line).with_context(|| format!("a listener said {line:?}"))? {
        Reply::Listening { port_id, .. } => Ok(port_id),
        Reply::Failed { error } => bail!("{error}"),
        other => bail!("a listener said {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixStream};

    use super::*;

    fn hear(bytes: &[u8]) -> Result<u32> {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        theirs.write_all(bytes).expect("room for a line");
        drop(theirs);
        read_ready_line(Some(ours))
    }

    #[test]
    fn a_listener_says_its_port_or_why_not() {
        let ready = b"{\"is\":\"listening\",\"listener\":0,\"port_id\":4711}\n";
        assert_eq!(hear(ready).expect("a port"), 4711);
        let refused = hear(b"{\"is\":\"failed\",\"error\":\"refused\"}\n");
        assert_eq!(refused.expect_err("a refusal").to_string(), "refused");
    }

    #[test]
    fn a_listener_that_dies_at_once_is_noticed() {
        assert!(hear(b"").is_err());
        assert!(hear(b"{\"is\":\"done\"}\n").is_err());
    }

    #[test]
    fn an_unknown_listener_is_named() {
        let error = Listeners::default().report(&mut Children::default(), 3);
        assert!(
            error
                .expect_err("no listener")
                .to_string()
                .contains("listener 3")
        );
    }
}
