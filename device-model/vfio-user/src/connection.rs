// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connected socket: messages in, messages out, from several threads.

use std::{
    fs::File,
    io::IoSlice,
    mem::MaybeUninit,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, send, sendmsg, shutdown,
        sockopt::{Timeout, set_socket_timeout},
    },
};
use zerocopy::IntoBytes;

use super::{
    client_memory::MessageError,
    demultiplex::Demultiplexer,
    framing::StreamError,
    protocol::{Header, MAX_FDS},
    receive::{Fds, Receiver},
    reply::Reply,
};

/// How long a client may leave its socket full before it is hung up on.
const SEND_LIMIT: Duration = Duration::from_secs(5);

/// Why a connection has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The client closed it, or died.
    #[error("the client has left")]
    ClientLeft,
    /// What the client sent cannot be cut into messages.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// The client does not read what it asked for.
    #[error("the client has read nothing for {} s", SEND_LIMIT.as_secs())]
    NotRead,
    /// The system failed.
    #[error("the socket failed: {0}")]
    System(Errno),
}

impl Closed {
    fn of(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Self::ClientLeft,
            Errno::AGAIN => Self::NotRead,
            errno => Self::System(errno),
        }
    }
}

/// A message and what came with it.
#[derive(Debug, Default)]
pub struct Message {
    /// All of it, the header too.
    pub bytes: Vec<u8>,
    /// Descriptors that came with it.
    pub fds: Vec<OwnedFd>,
    /// There were more of them.
    pub fds_lost: bool,
}

/// A connection to a client. Belongs to the thread that made it, which takes
/// the commands; any thread may send a command of its own and await the reply.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    server: ThreadId,
    /// How long the server's thread spins before it sleeps.
    spin: Duration,
    /// Held while one message is sent.
    sending: Mutex<()>,
    demultiplexer: Mutex<Demultiplexer>,
    changed: Condvar,
}

impl Connection {
    /// A connection over a connected socket, of this thread, which spins for
    /// `spin` before it sleeps.
    ///
    /// # Errors
    /// When that is no socket.
    pub fn new(socket: OwnedFd, spin: Duration) -> Result<Self, Errno> {
        set_socket_timeout(&socket, Timeout::Send, Some(SEND_LIMIT))?;
        Ok(Self {
            socket,
            server: thread::current().id(),
            spin,
            sending: Mutex::default(),
            demultiplexer: Mutex::new(Demultiplexer::new()),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Demultiplexer> {
        let shared = self.demultiplexer.lock();
        shared.unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the connection: whoever waits for it is woken.
    pub fn shut_down(&self) {
        // It may have ended by itself.
        let _ = shutdown(&self.socket, Shutdown::Both);
    }

    fn close(&self, why: Closed) -> Closed {
        self.shut_down();
        let mut shared = self.lock();
        let why = *shared.closed.get_or_insert(why);
        self.changed.notify_all();
        why
    }

    /// Waits for a command, for ever or until then; says whether there was one.
    /// Replies go to those who wait for them.
    ///
    /// # Errors
    /// When the connection has ended.
    pub fn next_command(
        &self,
        message: &mut Message,
        until: Option<Instant>,
    ) -> Result<bool, Closed> {
        let mut shared = self.lock();
        let receiver = loop {
            if let Some(queued) = shared.pop() {
                *message = queued;
                self.wake(&shared);
                return Ok(true);
            }
            if let Some(closed) = shared.closed {
                return Err(closed);
            }
            match shared.receiver.take() {
                Some(receiver) => break receiver,
                None if is_over(until) => return Ok(false),
                None => shared = self.sleep(shared, until),
            }
        };
        drop(shared);
        self.read_command(receiver, message, until)
    }

    fn read_command(
        &self,
        mut receiver: Box<Receiver>,
        message: &mut Message,
        until: Option<Instant>,
    ) -> Result<bool, Closed> {
        let mut fds = Fds {
            fds: std::mem::take(&mut message.fds),
            lost: false,
        };
        loop {
            match receiver.take(&mut fds) {
                Ok(Some(bytes)) => match Header::read(bytes).filter(Header::is_reply) {
                    Some(header) => {
                        self.lock().deliver(&header, bytes);
                        self.changed.notify_all();
                    }
                    None => {
                        message.bytes.clear();
                        message.bytes.reserve_exact(bytes.len());
                        message.bytes.extend_from_slice(bytes);
                        (message.fds, message.fds_lost) = (fds.fds, fds.lost);
                        self.give_back(receiver);
                        return Ok(true);
                    }
                },
                Ok(None) => match self.receive(&mut receiver, until) {
                    Ok(0) => return Err(self.hung_up(&receiver)),
                    Ok(_) => {}
                    Err(Errno::AGAIN) if is_over(until) => {
                        self.give_back(receiver);
                        return Ok(false);
                    }
                    Err(Errno::AGAIN) if until.is_some() => {}
                    Err(errno) => return Err(self.close(Closed::of(errno))),
                },
                Err(error) => return Err(self.lost_track(error)),
            }
        }
    }

    /// Lets the next thread read.
    fn give_back(&self, receiver: Box<Receiver>) {
        let mut shared = self.lock();
        shared.receiver = Some(receiver);
        self.wake(&shared);
    }

    fn wake(&self, shared: &Demultiplexer) {
        if shared.sleepers > 0 {
            self.changed.notify_all();
        }
    }

    /// Sleeps until something changes, or until then.
    fn sleep<'a>(
        &'a self,
        mut shared: MutexGuard<'a, Demultiplexer>,
        until: Option<Instant>,
    ) -> MutexGuard<'a, Demultiplexer> {
        shared.sleepers += 1;
        let mut shared = match until {
            None => {
                let slept = self.changed.wait(shared);
                slept.unwrap_or_else(PoisonError::into_inner)
            }
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                let slept = self.changed.wait_timeout(shared, left);
                slept.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        shared.sleepers -= 1;
        shared
    }

    fn hung_up(&self, receiver: &Receiver) -> Closed {
        if !receiver.is_empty() {
            tracing::debug!("the client has left in the middle of a message");
        }
        self.close(Closed::ClientLeft)
    }

    /// Nobody knows where the next message begins: that is told, and the
    /// connection ends.
    fn lost_track(&self, error: StreamError) -> Closed {
        let mut reply = Reply::default();
        reply.fail(error.header(), error.errno());
        // It ends, whether the client hears it or not.
        let _ = self.send(&reply);
        self.close(Closed::Stream(error))
    }

    /// Sends a reply.
    ///
    /// # Errors
    /// When the connection has ended, or ends because the client reads nothing.
    pub fn send(&self, reply: &Reply) -> Result<(), Closed> {
        self.send_parts(&mut [IoSlice::new(reply.bytes())], reply.fds())
    }

    fn send_parts(&self, mut parts: &mut [IoSlice<'_>], fds: &[Arc<File>]) -> Result<(), Closed> {
        let _whole = self.sending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut fds = fds;
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            let files: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match send_some(&self.socket, parts, &files) {
                Ok(sent) => {
                    IoSlice::advance_slices(&mut parts, sent);
                    fds = &[];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.close(Closed::of(errno))),
            }
        }
        Ok(())
    }

    /// Sends a command of ours, whose first part is its header, with an id that
    /// is entered here, calls `sent`, and awaits the reply.
    ///
    /// # Errors
    /// When there is no reply within `limit`, or none to be hoped for.
    pub(super) fn exchange(
        &self,
        mut header: Header,
        rest: &[&[u8]; 2],
        limit: Duration,
        sent: &mut dyn FnMut(),
    ) -> Result<Vec<u8>, MessageError> {
        let until = Instant::now() + limit;
        let id = {
            let mut shared = self.lock();
            if shared.closed.is_some() {
                return Err(MessageError::Disconnected);
            }
            let id = shared.expect(header.command);
            id.ok_or(MessageError::Overrun)?
        };
        header.id = id;
        let [fixed, data] = rest.map(IoSlice::new);
        let mut parts = [IoSlice::new(header.as_bytes()), fixed, data];
        let reply = self
            .send_parts(&mut parts, &[])
            .map_err(|_| MessageError::Disconnected)
            .and_then(|()| {
                sent();
                self.await_reply(id, until)
            });
        if reply.is_err() {
            self.lock().give_up(id);
        }
        reply
    }

    fn await_reply(&self, id: u16, until: Instant) -> Result<Vec<u8>, MessageError> {
        let serves = thread::current().id() == self.server;
        let mut shared = self.lock();
        loop {
            if let Some(reply) = shared.take_reply(id) {
                return Ok(reply);
            }
            if shared.closed.is_some() {
                return Err(MessageError::Disconnected);
            }
            if Instant::now() >= until {
                return Err(MessageError::TimedOut);
            }
            let room = shared.has_room();
            if serves && !room {
                // The reply is behind commands that only this thread carries
                // out.
                return Err(MessageError::Overrun);
            }
            let receiver = if room { shared.receiver.take() } else { None };
            match receiver {
                Some(receiver) => {
                    drop(shared);
                    self.read_once(receiver, until);
                    shared = self.lock();
                }
                None => shared = self.sleep(shared, Some(until)),
            }
        }
    }

    /// Reads for all: hands over what has come, or waits for more.
    fn read_once(&self, mut receiver: Box<Receiver>, until: Instant) {
        let mut fds = Fds::default();
        match receiver.take(&mut fds) {
            Ok(Some(bytes)) => {
                let mut shared = self.lock();
                match Header::read(bytes).filter(Header::is_reply) {
                    Some(header) => shared.deliver(&header, bytes),
                    None => shared.queue(Message {
                        bytes: bytes.to_vec(),
                        fds: fds.fds,
                        fds_lost: fds.lost,
                    }),
                }
                shared.receiver = Some(receiver);
                self.wake(&shared);
            }
            Ok(None) => match self.receive_until(&mut receiver, until) {
                Ok(0) => drop(self.hung_up(&receiver)),
                Ok(_) | Err(Errno::AGAIN) => self.give_back(receiver),
                Err(errno) => drop(self.close(Closed::of(errno))),
            },
            Err(error) => drop(self.lost_track(error)),
        }
    }

    /// `EAGAIN` where nothing has come until then.
    fn receive(&self, receiver: &mut Receiver, until: Option<Instant>) -> Result<usize, Errno> {
        match until {
            None => receiver.receive(self.socket.as_fd(), self.spin),
            Some(until) => self.receive_until(receiver, until),
        }
    }

    fn receive_until(&self, receiver: &mut Receiver, until: Instant) -> Result<usize, Errno> {
        let left = until.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Err(Errno::AGAIN),
            Ok(_) => receiver.receive_now(self.socket.as_fd()),
            Err(errno) => Err(errno),
        }
    }
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// Sends what the socket takes at once of a message, with descriptors, of which
/// there are at most [`MAX_FDS`].
pub(super) fn send_some(
    socket: impl AsFd,
    parts: &[IoSlice<'_>],
    fds: &[BorrowedFd<'_>],
) -> Result<usize, Errno> {
    if let ([part], []) = (parts, fds) {
        return send(socket, part, SendFlags::NOSIGNAL);
    }
    let fds = fds.get(..MAX_FDS).unwrap_or(fds);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        // There is room for as many.
        let _ = control.push(SendAncillaryMessage::ScmRights(fds));
    }
    sendmsg(socket, parts, &mut control, SendFlags::NOSIGNAL)
}
