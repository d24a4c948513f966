// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The thread of a served device: one client after another, one message after
//! another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};

use super::{Disconnect, Options, ServerEnd, Stopper, function::Function};
use crate::device_panic::PanicWatch;
use crate::vfio_user::{Closed, Connection, Dispatcher, DmaMessages, Message, Reply};

/// How long a guest may take from its look at a line's device to the write that
/// ends the interrupt, or it interrupts again.
const SETTLE: Duration = Duration::from_millis(1);

/// Serves until the end, which is never a panic, and drops the device.
pub(super) fn run(
    mut function: Function,
    watch: &PanicWatch,
    stopper: &Stopper,
    options: Options,
) -> ServerEnd {
    let clients = || clients(&mut function, stopper, options);
    // A device's panics are caught where it is called; this is for ours.
    let end = watch.run("the thread of its server", clients);
    stopper.close();
    function.retire();
    match (watch.panic(), end) {
        (Some(panic), _) => ServerEnd::Panicked(panic.clone()),
        (None, Some(end)) if !stopper.requested() => end,
        _ => ServerEnd::Stopped,
    }
}

fn clients(function: &mut Function, stopper: &Stopper, options: Options) -> ServerEnd {
    loop {
        let connection = match accept(stopper, options) {
            Ok(connection) => Arc::new(connection),
            Err(errno) => return ServerEnd::Failed(format!("no client can be taken: {errno}")),
        };
        if !stopper.connected(&connection) {
            return ServerEnd::Stopped;
        }
        let closed = client(function, &connection);
        stopper.hang_up();
        function.client_left(options.disconnect == Disconnect::Keep);
        match (options.disconnect, closed) {
            _ if stopper.requested() => return ServerEnd::Stopped,
            (Disconnect::End, Closed::ClientLeft) => return ServerEnd::ClientLeft,
            (Disconnect::End, closed) => return ServerEnd::Failed(closed.to_string()),
            (_, Closed::ClientLeft) => tracing::info!("the client has left"),
            (_, closed) => tracing::warn!("the connection has ended: {closed}"),
        }
    }
}

fn accept(stopper: &Stopper, options: Options) -> Result<Connection, Errno> {
    loop {
        match accept_with(stopper.listener(), SocketFlags::CLOEXEC) {
            Ok(socket) => return Connection::new(socket, options.poll),
            Err(Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Serves one client until the connection ends.
fn client(function: &mut Function, connection: &Arc<Connection>) -> Closed {
    let mut dispatcher = Dispatcher::new();
    let mut message = Message::default();
    let mut reply = Reply::default();
    loop {
        let settle = function.is_unsettled();
        let until = settle.then(|| Instant::now() + SETTLE);
        match connection.next_command(&mut message, until) {
            Ok(true) => {}
            Ok(false) => {
                function.settle();
                continue;
            }
            Err(closed) => return closed,
        }
        let fds = std::mem::take(&mut message.fds);
        let strangers = dispatcher.negotiated().is_none();
        dispatcher.handle(&message.bytes, fds, message.fds_lost, function, &mut reply);
        if function.panic().is_some() {
            // Nobody answers in its place.
            return Closed::ClientLeft;
        }
        if let Some(negotiated) = dispatcher.negotiated().filter(|_| strangers) {
            function.set_messages(DmaMessages::new(Arc::clone(connection), negotiated));
        }
        if let Err(closed) = connection.send(&reply) {
            return closed;
        }
    }
}
