// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Receives events from the character device, one for each system call: by
//! blocking `read`, by `read` after `epoll_wait`, or by an ioctl that waits.

use anyhow::{Context, Result};
use irqbed_abi::control::{ListenerSpec, Mechanism};
use rustix::{
    event::epoll,
    io::{Errno, read, retry_on_intr},
};

use super::{
    queue::{Queue, deliver_bytes, read_size},
    receiver::{Kind, Receiver, until_last},
};
use crate::tsc;

/// `read`.
pub const READ: Kind = Kind {
    mechanism: Mechanism::Read,
    open: |spec, _| {
        receiver(spec, Queue::open(spec, None)?, |queue, buffer| {
            read(queue, buffer)
        })
    },
};

/// An ioctl.
pub const IOCTL: Kind = Kind {
    mechanism: Mechanism::Ioctl,
    open: |spec, _| receiver(spec, Queue::open(spec, None)?, Queue::wait),
};

/// `epoll_wait`, then `read`: one `read` after each wake-up, since `epoll` is
/// level triggered, and a second one, that may find nothing, would have to be
/// non-blocking.
pub const POLL: Kind = Kind {
    mechanism: Mechanism::Poll,
    open: |spec, _| {
        let queue = Queue::open(spec, None)?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).context("cannot make an epoll")?;
        let data = epoll::EventData::new_u64(0);
        epoll::add(&epoll, &queue, data, epoll::EventFlags::IN)
            .context("cannot poll the device")?;
        let flags = epoll::EventFlags::empty();
        let mut ready = [epoll::Event { flags, data }; 1];
        receiver(spec, queue, move |queue, buffer| {
            retry_on_intr(|| epoll::wait(&epoll, &mut ready[..], None))?;
            read(queue, buffer)
        })
    },
};

/// Receives by a call that puts an event into a buffer, and returns 0 at the
/// end.
fn receiver(
    spec: &ListenerSpec,
    queue: Queue,
    mut call: impl FnMut(&Queue, &mut [u8]) -> Result<usize, Errno> + 'static,
) -> Result<Receiver> {
    let mut buffer = vec![0; read_size(spec)];
    Receiver::of_queue(queue, move |queue, sink| {
        until_last(sink, |sink| {
            let received = call(queue, &mut buffer);
            let user = tsc::now();
            match received {
                Ok(0) => return Ok(true),
                Ok(count) => deliver_bytes(sink, user, buffer.get(..count).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot take events from the device"),
            }
            Ok(false)
        })
    })
}
