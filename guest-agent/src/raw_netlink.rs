// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sends bytes to the driver's socket, or that of another netlink protocol, as
//! they are, good or bad, and collects what comes back; as root, or in a process that gave up all it may.

use std::{
    io::{self, Read, Write},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use irqbed_abi::control::Reply;
use rustix::{
    process::{Gid, Uid},
    thread::{set_thread_gid, set_thread_groups, set_thread_uid},
};
use serde::{Deserialize, Serialize};

use crate::{
    children::{Children, SELF},
    netlink::{self, Socket},
};

/// First argument of the unprivileged sender's process.
pub const ROLE: &str = "send-raw";
/// The answers of this time are collected.
const WINDOW: Duration = Duration::from_secs(1);
/// Longest answer, bytes.
const DATAGRAM: usize = 64 << 10;
/// Nobody.
const NOBODY: u32 = 65534;

/// Where a datagram goes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Destination {
    protocol: u32,
    /// A multicast group to join first.
    group: Option<u32>,
}

impl Destination {
    /// A protocol, the driver's own if there is none given.
    pub fn new(protocol: Option<u32>, group: Option<u32>) -> Result<Self> {
        let protocol = protocol.map_or_else(netlink::unit, Ok)?;
        Ok(Self { protocol, group })
    }
}

/// Sends a datagram and collects the answers.
pub fn send(
    children: &mut Children,
    to: Destination,
    bytes: &[u8],
    unprivileged: bool,
) -> Result<Reply> {
    if unprivileged {
        send_as_nobody(children, to, bytes)
    } else {
        exchange(to, bytes)
    }
}

fn exchange(to: Destination, bytes: &[u8]) -> Result<Reply> {
    let socket = Socket::open(to.protocol)?;
    if let Some(group) = to.group {
        socket.join(group)?;
    }
    let deadline = Instant::now() + WINDOW;
    socket.send(bytes)?;
    let mut buffer = vec![0; DATAGRAM];
    let mut datagrams = Vec::new();
    while let Some(datagram) = socket.receive(&mut buffer, deadline)? {
        datagrams.push(datagram.to_vec());
    }
    Ok(Reply::Datagrams { datagrams })
}

fn send_as_nobody(children: &mut Children, to: Destination, bytes: &[u8]) -> Result<Reply> {
    let mut command = Command::new(SELF);
    command
        .args([ROLE, &serde_json::to_string(&to)?])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let (pid, mut child) = children
        .spawn(&mut command)
        .context("cannot start the sender")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(bytes)
            .context("the sender does not listen")?;
    }
    let mut answer = String::new();
    if let Some(mut stdout) = child.stdout.take() {
        stdout
            .read_to_string(&mut answer)
            .context("the sender does not answer")?;
    }
    children.wait(pid, WINDOW);
    match serde_json::from_str(&answer).with_context(|| format!("the sender said {answer:?}"))? {
        Reply::Failed { error } => bail!("{error}"),
        reply => Ok(reply),
    }
}

/// The unprivileged sender: takes the destination as its argument and the
/// datagram from standard input, gives up root and with it every capability, and
/// answers on standard output.
pub fn main(to: Option<String>) -> Result<()> {
    let reply = act(&to.unwrap_or_default()).unwrap_or_else(|error| Reply::Failed {
        error: format!("{error:#}"),
    });
    io::stdout().write_all(&serde_json::to_vec(&reply)?)?;
    Ok(())
}

fn act(to: &str) -> Result<Reply> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    let to = serde_json::from_str(to).context("a sender's argument is its destination")?;
    // The process has one thread: what the thread gives up, the process does.
    set_thread_groups(&[]).context("cannot give up the groups")?;
    set_thread_gid(Gid::from_raw(NOBODY)).context("cannot give up the group")?;
    set_thread_uid(Uid::from_raw(NOBODY)).context("cannot give up root")?;
    exchange(to, &bytes)
}
