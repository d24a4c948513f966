// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who gets which message. Commands of the client and its replies to ours come
//! over one socket, and those who wait for them are several threads: the
//! server's, and each that awaits a reply. One of them reads at a time and
//! hands over to the others what is theirs; when it has what it wants, the next
//! one reads. So whoever is busy or blocked holds up nobody.

use std::collections::VecDeque;

use super::{
    connection::{Closed, Message},
    protocol::{Header, MAX_MESSAGE},
    receive::Receiver,
};

/// What a descriptor of a command that is kept counts, bytes: they run out sooner
/// than memory does.
const BYTES_OF_FD: usize = 4096;

/// What a command counts that is kept while the server's thread is busy, bytes.
fn weight(message: &Message) -> usize {
    size_of::<Message>() + message.bytes.len() + message.fds.len() * BYTES_OF_FD
}

/// A thread that waits for a reply.
#[derive(Debug)]
struct Waiter {
    id: u16,
    command: u16,
    reply: Option<Vec<u8>>,
}

/// What the threads of a connection share.
#[derive(Debug)]
pub(super) struct Demultiplexer {
    /// Not here while a thread reads.
    pub receiver: Option<Box<Receiver>>,
    /// Commands that another thread has read than the server's.
    queued: VecDeque<Message>,
    queued_bytes: usize,
    waiters: Vec<Waiter>,
    last_id: u16,
    /// Threads that sleep until something changes.
    pub sleepers: usize,
    pub closed: Option<Closed>,
}

impl Demultiplexer {
    pub fn new() -> Self {
        Self {
            receiver: Some(Box::default()),
            queued: VecDeque::new(),
            queued_bytes: 0,
            waiters: Vec::new(),
            last_id: 0,
            sleepers: 0,
            closed: None,
        }
    }

    /// Whether one more command can be kept.
    pub fn has_room(&self) -> bool {
        self.queued_bytes < MAX_MESSAGE
    }

    pub fn queue(&mut self, message: Message) {
        self.queued_bytes += weight(&message);
        self.queued.push_back(message);
    }

    pub fn pop(&mut self) -> Option<Message> {
        let message = self.queued.pop_front()?;
        self.queued_bytes -= weight(&message);
        Some(message)
    }

    /// Someone will wait for the reply to a command: the id it is sent with.
    /// `None` where all are taken.
    pub fn expect(&mut self, command: u16) -> Option<u16> {
        let taken = |id| self.waiters.iter().any(|waiter| waiter.id == id);
        let ids = (1..=u16::MAX).map(|further| self.last_id.wrapping_add(further));
        let id = ids.into_iter().find(|id| !taken(*id))?;
        self.last_id = id;
        self.waiters.push(Waiter {
            id,
            command,
            reply: None,
        });
        Some(id)
    }

    /// A reply that came; one that nobody waits for is dropped.
    pub fn deliver(&mut self, header: &Header, message: &[u8]) {
        let waits = |waiter: &&mut Waiter| {
            (waiter.id, waiter.command) == (header.id, header.command) && waiter.reply.is_none()
        };
        match self.waiters.iter_mut().find(waits) {
            Some(waiter) => waiter.reply = Some(message.to_vec()),
            None => tracing::debug!("nobody waits for reply {}", header.id),
        }
    }

    /// The reply with that id, once it has come; nobody waits for it any more.
    pub fn take_reply(&mut self, id: u16) -> Option<Vec<u8>> {
        let place = self.waiters.iter().position(|waiter| waiter.id == id)?;
        let reply = self.waiters.get_mut(place)?.reply.take()?;
        self.waiters.swap_remove(place);
        Some(reply)
    }

    /// Nobody waits for that reply any more.
    pub fn give_up(&mut self, id: u16) {
        self.waiters.retain(|waiter| waiter.id != id);
    }
}
