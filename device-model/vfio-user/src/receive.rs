// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bytes and file descriptors from a socket. The kernel ends a read behind the
//! bytes that descriptors came with, so they belong to the last message that
//! had begun by then.

use std::{
    io::IoSliceMut,
    mem::MaybeUninit,
    os::fd::{BorrowedFd, OwnedFd},
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg},
};

use super::{
    framing::{Framing, StreamError},
    protocol::MAX_FDS,
};

/// Descriptors that came, and whether others did not.
#[derive(Debug, Default)]
pub(super) struct Fds {
    pub fds: Vec<OwnedFd>,
    pub lost: bool,
}

impl Fds {
    /// Adds those that came later; too many are closed.
    fn append(&mut self, later: &mut Self) {
        self.lost |= std::mem::take(&mut later.lost);
        for fd in later.fds.drain(..) {
            if self.fds.len() < MAX_FDS {
                self.fds.push(fd);
            } else {
                self.lost = true;
            }
        }
    }
}

/// What has come over a socket.
#[derive(Debug, Default)]
pub(super) struct Receiver {
    framing: Framing,
    /// Of the message that comes next.
    next: Fds,
    /// Of the message that the last byte belongs to.
    last: Fds,
}

impl Receiver {
    /// Whether the stream is between two messages.
    pub fn is_empty(&self) -> bool {
        self.framing.is_empty()
    }

    /// Length of the next message, if all of it has come.
    pub fn next_len(&self) -> Result<Option<usize>, StreamError> {
        self.framing.next_len()
    }

    /// Takes the next message, if all of it has come, and its descriptors.
    pub fn take(&mut self, fds: &mut Fds) -> Result<Option<&[u8]>, StreamError> {
        fds.fds.clear();
        fds.lost = false;
        let Some(len) = self.framing.next_len()? else {
            return Ok(None);
        };
        fds.append(&mut self.next);
        if len == self.framing.len() {
            fds.append(&mut self.last);
        }
        self.framing.take()
    }

    /// Waits for more; `Ok(0)` is the end of the stream. Spins for `spin` before
    /// it sleeps.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, spin: Duration) -> Result<usize, Errno> {
        if !spin.is_zero() {
            let started = Instant::now();
            loop {
                match self.receive_with(socket, RecvFlags::DONTWAIT) {
                    Err(Errno::AGAIN) if started.elapsed() < spin => std::thread::yield_now(),
                    Err(Errno::AGAIN) => break,
                    received => return received,
                }
            }
        }
        self.receive_with(socket, RecvFlags::empty())
    }

    /// Takes what is there; `EAGAIN` where there is nothing.
    pub fn receive_now(&mut self, socket: BorrowedFd<'_>) -> Result<usize, Errno> {
        self.receive_with(socket, RecvFlags::DONTWAIT)
    }

    fn receive_with(&mut self, socket: BorrowedFd<'_>, flags: RecvFlags) -> Result<usize, Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = flags | RecvFlags::CMSG_CLOEXEC;
        let received = loop {
            let mut parts = [IoSliceMut::new(self.framing.space())];
            match recvmsg(socket, &mut parts, &mut control, flags) {
                Err(Errno::INTR) => {}
                received => break received?,
            }
        };
        // They came with a message that goes on, or it would be taken.
        self.next.append(&mut self.last);
        self.framing.filled(received.bytes);
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.last.fds.extend(fds);
            }
        }
        self.last.lost |= received.flags.contains(ReturnFlags::CTRUNC);
        Ok(received.bytes)
    }
}
