// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Asks for a flush, closes the socket, and takes its port: the answer is not
//! for whoever has the port by then.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use irqbed_abi::netlink::MSG_FLUSH;
use neli::consts::nl::NlmF;

use crate::netlink::{self, Socket};

/// A port that nobody is given by the kernel.
const PORT: u32 = 4242;
/// Longer than a flush may take.
const WAIT: Duration = Duration::from_secs(4);

pub fn main() -> Result<()> {
    let unit = netlink::unit()?;
    let first = Socket::open_at(unit, PORT)?;
    first.send(&netlink::request(
        MSG_FLUSH,
        NlmF::REQUEST | NlmF::ACK,
        1,
        &[],
    )?)?;
    drop(first);
    let second = Socket::open_at(unit, PORT).context("the port is not free")?;
    let mut buffer = [0; 4096];
    let answered = second.receive(&mut buffer, Instant::now() + WAIT)?;
    println!("answer to another: {}", answered.is_some());
    Ok(())
}
