// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events over the driver's netlink protocol by a multishot `recv`:
//! one request for all of them, and one completion each.

use anyhow::{Context, Result};
use irqbed_abi::control::Mechanism;
use rustix::{io::Errno, net::RecvFlags};

use super::{
    netlink::subscribe,
    receiver::{Kind, Receiver},
};
use crate::{
    datagrams::{DATAGRAM, Datagrams},
    events::Sink,
    tsc::GuestTsc,
    uring::{Completion, Multishot},
};

/// `netlink_unicast`, and multishot `recv`.
pub const NETLINK_IO_URING: Kind = Kind {
    mechanism: Mechanism::NetlinkIoUring,
    open: |spec, sink| {
        let size = spec.read_size.unwrap_or(u32::try_from(DATAGRAM)?);
        let netlink = subscribe(spec, sink)?;
        Ok(Box::new(NetlinkIoUring {
            receives: Multishot::recv(netlink.socket(), RecvFlags::TRUNC, BUFFERS, size)?,
            netlink,
        }))
    },
};

/// Datagrams that one wake-up can bring. More wait in the socket.
const BUFFERS: u16 = 16;

struct NetlinkIoUring {
    netlink: Datagrams,
    receives: Multishot,
}

impl Receiver for NetlinkIoUring {
    fn port_id(&self) -> u32 {
        self.netlink.port_id()
    }

    fn drops(&self) -> Option<u64> {
        self.netlink.drops()
    }

    fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        self.netlink.quit()
    }

    fn run(&mut self, sink: &mut Sink) -> Result<()> {
        let mut last = false;
        while !last {
            self.receives.wait()?;
            while let Some(end) = self
                .receives
                .next(|user, completion| receive(&self.netlink, sink, user, completion))
            {
                last |= end?;
            }
            if last {
                sink.woken_at_last();
            } else {
                sink.woken();
            }
        }
        Ok(())
    }
}

/// Takes every event of a datagram; true when it was the driver's goodbye.
#[inline(always)]
fn receive(
    netlink: &Datagrams,
    sink: &mut Sink,
    user: GuestTsc,
    completion: Completion<'_>,
) -> Result<bool> {
    match completion {
        // A datagram cut short is never an event.
        Completion::Data(bytes, length) if bytes.len() < length => sink.malformed(),
        Completion::Data(bytes, _) => return Ok(netlink.take(sink, user, bytes)),
        Completion::NoBuffer => {}
        Completion::Failed(Errno::NOBUFS) => sink.overrun(),
        Completion::Failed(error) => return Err(error).context("cannot receive events"),
    }
    Ok(false)
}
