// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ending a server from outside. The protocol crate keeps its connection to
//! itself and waits in `accept` or `recvmsg`; shutting the sockets down is
//! what wakes it. The connection is found among the open files of this
//! process: it is the one with the listener's name that does not listen.

#![allow(unsafe_code)]

use std::{
    fs, io,
    os::fd::{BorrowedFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::net::{Shutdown, SocketAddrUnix, getsockname, shutdown, sockopt::socket_acceptconn};

use super::{Outcome, ServerEnd};

/// How long to wait before looking for the connection again: it may just have
/// been accepted.
const RETRY: Duration = Duration::from_millis(20);

/// Stops a server. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    listener: OwnedFd,
    name: SocketAddrUnix,
    requested: AtomicBool,
    outcome: Arc<Outcome>,
}

impl Stopper {
    pub(super) fn new(listener: &OwnedFd, outcome: Arc<Outcome>) -> io::Result<Self> {
        let name = SocketAddrUnix::try_from(getsockname(listener)?)?;
        Ok(Self {
            shared: Arc::new(Shared {
                listener: listener.try_clone()?,
                name,
                requested: AtomicBool::new(false),
                outcome,
            }),
        })
    }

    pub(super) fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::Acquire)
    }

    /// Closes the connection, or gives up waiting for one, and waits for the
    /// end at most `timeout`. Once ended, it just says how.
    pub fn stop(&self, timeout: Duration) -> Option<ServerEnd> {
        let shared = &*self.shared;
        let started = Instant::now();
        if let Some(end) = shared.outcome.wait(Some(Duration::ZERO)) {
            return Some(end);
        }
        shared.requested.store(true, Ordering::Release);
        loop {
            // Wakes `accept`.
            let _ = shutdown(&shared.listener, Shutdown::Both);
            for connection in connections(&shared.name) {
                let _ = shutdown(&connection, Shutdown::Both);
            }
            let left = timeout.saturating_sub(started.elapsed());
            let end = shared.outcome.wait(Some(left.min(RETRY)));
            if end.is_some() || left.is_zero() {
                return end;
            }
        }
    }
}

/// Duplicates of this process's sockets that were accepted at `name`.
fn connections(name: &SocketAddrUnix) -> Vec<OwnedFd> {
    let Ok(files) = fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let numbers = files.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(duplicate)
        .filter(|socket| {
            let own = getsockname(socket).ok().map(SocketAddrUnix::try_from);
            own == Some(Ok(name.clone())) && socket_acceptconn(socket) == Ok(false)
        })
        .collect()
}

/// A duplicate of an open file of this process, whatever it is by now.
fn duplicate(number: RawFd) -> Option<OwnedFd> {
    if number < 0 {
        return None;
    }
    // SAFETY: the number is borrowed for one system call, which duplicates
    // the file or says that there is none. If its owner closes or reuses the
    // number meanwhile, we hold a duplicate of another file, which is looked
    // at and closed.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_dupfd_cloexec(borrowed, 0).ok()
}
