// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events by a multishot request, one for all of them and one
//! completion each: a `read` of the character device, or a `recv` from the
//! driver's netlink protocol.

use anyhow::{Context, Result};
use irqbed_abi::control::Mechanism;
use rustix::{io::Errno, net::RecvFlags};

use super::{
    netlink::subscribe,
    netlink_datagrams::DATAGRAM,
    queue::{Queue, deliver_bytes, read_size},
    receiver::{Kind, Receiver, until_last},
    uring::{Completion, Multishot},
};
use crate::{sink::Sink, tsc::GuestTsc};

/// Events that one wake-up can bring. More wait in the driver's queue.
const EVENTS: u16 = 64;
/// Datagrams that one wake-up can bring. More wait in the socket.
const DATAGRAMS: u16 = 16;

/// Multishot `read`.
pub const READ: Kind = Kind {
    mechanism: Mechanism::IoUring,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let mut reads = Multishot::read(&queue, EVENTS, u32::try_from(read_size(spec))?)?;
        Receiver::of_queue(queue, move |_, sink| {
            run(&mut reads, sink, |sink, user, completion| {
                match completion {
                    Completion::Data(_, 0) => return Ok(true),
                    Completion::Data(bytes, _) => deliver_bytes(sink, user, bytes),
                    Completion::NoBuffer => {}
                    Completion::Failed(error) => {
                        return Err(error).context("cannot read the device");
                    }
                }
                Ok(false)
            })
        })
    },
};

/// `netlink_unicast`, and multishot `recv`.
pub const NETLINK: Kind = Kind {
    mechanism: Mechanism::NetlinkIoUring,
    open: |spec, sink| {
        let size = spec.read_size.unwrap_or(u32::try_from(DATAGRAM)?);
        let netlink = subscribe(spec, sink)?;
        let mut receives = Multishot::recv(netlink.socket(), RecvFlags::TRUNC, DATAGRAMS, size)?;
        netlink.receiver(move |netlink, sink| {
            run(&mut receives, sink, |sink, user, completion| {
                match completion {
                    // A datagram cut short is never an event.
                    Completion::Data(bytes, length) if bytes.len() < length => {
                        sink.count_malformed()
                    }
                    Completion::Data(bytes, _) => return Ok(netlink.deliver(sink, user, bytes)),
                    Completion::NoBuffer => {}
                    Completion::Failed(Errno::NOBUFS) => sink.count_overrun(),
                    Completion::Failed(error) => {
                        return Err(error).context("cannot receive events");
                    }
                }
                Ok(false)
            })
        })
    },
};

/// Takes what completes; `take` says whether it was the end.
#[inline(always)]
fn run(
    requests: &mut Multishot,
    sink: &mut Sink,
    mut take: impl FnMut(&mut Sink, GuestTsc, Completion<'_>) -> Result<bool>,
) -> Result<()> {
    until_last(sink, |sink| {
        requests.wait()?;
        let mut last = false;
        while let Some(end) = requests.next(|user, completion| take(sink, user, completion)) {
            last |= end?;
        }
        Ok(last)
    })
}
