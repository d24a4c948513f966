// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ending a server from outside. Its thread waits for a client or for a message;
//! shutting the sockets down wakes it.

use std::{
    os::fd::OwnedFd,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::net::{Shutdown, shutdown};

use super::{ServerEnd, handle::Outcome};
use crate::vfio_user::Connection;

/// Stops a server. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    listener: OwnedFd,
    requested: AtomicBool,
    /// The client that is being served.
    connection: Mutex<Option<Arc<Connection>>>,
    outcome: Arc<Outcome>,
}

impl Stopper {
    pub(super) fn new(listener: OwnedFd, outcome: Arc<Outcome>) -> Self {
        Self {
            shared: Arc::new(Shared {
                listener,
                requested: AtomicBool::new(false),
                connection: Mutex::default(),
                outcome,
            }),
        }
    }

    pub(super) fn listener(&self) -> &OwnedFd {
        &self.shared.listener
    }

    pub(super) fn requested(&self) -> bool {
        self.shared.requested.load(Ordering::Acquire)
    }

    fn connection(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        let connection = self.shared.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a client; `false` where it is too late for one. Whoever
    /// stops the server either sees the client or is seen here.
    pub(super) fn connected(&self, connection: &Arc<Connection>) -> bool {
        *self.connection() = Some(Arc::clone(connection));
        !self.requested()
    }

    /// Hangs up on the client, if there still is one.
    pub(super) fn hang_up(&self) {
        if let Some(connection) = self.connection().take() {
            connection.shut_down();
        }
    }

    /// Closes the connection, or gives up waiting for one, and waits for the
    /// end at most `timeout`. Once ended, it just says how.
    pub fn stop(&self, timeout: Duration) -> Option<ServerEnd> {
        let shared = &*self.shared;
        if let Some(end) = shared.outcome.wait(Some(Duration::ZERO)) {
            return Some(end);
        }
        shared.requested.store(true, Ordering::SeqCst);
        self.close();
        shared.outcome.wait(Some(timeout))
    }

    /// Takes no client any more, and hangs up on the one there is.
    pub(super) fn close(&self) {
        // Wakes who waits for a client; nobody may be waiting.
        let _ = shutdown(&self.shared.listener, Shutdown::Both);
        self.hang_up();
    }
}
