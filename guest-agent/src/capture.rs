// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Captures what goes over every network device of the guest, as a person who
//! looks at netlink through `nlmon` does, and looks at none of it.

use anyhow::{Context, Result};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SocketType, recv, socket};
use std::num::NonZero;

/// First argument of the process that captures.
pub const ROLE: &str = "capture";

/// `ETH_P_ALL` of linux/if_ether.h, in network order.
const EVERY_PROTOCOL: Option<NonZero<u32>> = NonZero::new((libc::ETH_P_ALL as u16).to_be() as u32);

/// Captures until it is killed.
pub fn main() -> Result<()> {
    let every = EVERY_PROTOCOL.map(Protocol::from_raw);
    let socket = socket(AddressFamily::PACKET, SocketType::RAW, every)
        .context("cannot open a packet socket")?;
    let mut packet = [0; 256];
    loop {
        recv(&socket, &mut packet, RecvFlags::empty()).context("cannot capture")?;
    }
}
