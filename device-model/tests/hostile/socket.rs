// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages over real sockets, with descriptors, in bunches, cut off by a
//! hang-up, and a valid request after each bunch, whose answer must be right.

use std::{
    io::{ErrorKind, Read},
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    path::PathBuf,
    time::Duration,
};

use device_model::{
    Disconnect, Options, Server, ServerHandle,
    event::EventDevice,
    vfio_user::{Command, Framing, HEADER_SIZE, Header},
};
use fastrand::Rng;
use tempfile::TempDir;
use zerocopy::IntoBytes;

use crate::{
    generator::{self, Files, count_fds},
    send::send_all,
};

/// Whoever waits longer than this for an answer will wait for ever.
const HANGS: Duration = Duration::from_secs(30);
const VERSION: &[u8] = b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true}}\0";

/// A server and its worst client.
pub struct Hostile {
    server: ServerHandle,
    path: PathBuf,
    files: Files,
    client: Client,
    _folder: TempDir,
}

struct Client {
    stream: UnixStream,
    framing: Framing,
    id: u16,
}

/// What becomes of a valid request.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    /// The reply, without an error.
    Answer(Vec<u8>),
    /// The reply, with an error.
    Error(u32),
    /// The server has hung up.
    HungUp,
}

impl Hostile {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let options = Options::default().on_disconnect(Disconnect::Reset);
        let server = Server::bind(&path).unwrap().options(options);
        let server = server.serve(EventDevice::new().unwrap()).unwrap();
        let mut client = Client::connect(&path);
        client.negotiate(&mut Rng::with_seed(0));
        Self {
            server,
            client,
            path,
            files: Files::open(),
            _folder: folder,
        }
    }

    /// Sends a bunch, asks something valid, and says how many messages it were.
    pub fn step(&mut self, rng: &mut Rng) -> u64 {
        match rng.u16(..2048) {
            0 => self.half(rng),
            1 => self.strange(rng),
            2..100 => self.bunch(rng, 2..16),
            _ => self.bunch(rng, 1..2),
        }
    }

    fn bunch(&mut self, rng: &mut Rng, messages: std::ops::Range<u64>) -> u64 {
        let count = rng.u64(messages);
        let mut stream: Vec<u8> = Vec::new();
        for _ in 0..count {
            let message = generator::message(rng);
            // Long ones come alone: this client reads only afterwards.
            if stream.is_empty() || message.len() < 4096 && !is_long_read(&message) {
                stream.extend(message);
            }
        }
        let fatal = generator::complete(&mut stream);
        let count_fds = count_fds(rng);
        let files = self.files.pick(rng, count_fds);
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        let heard = match self.client.send(&stream, &fds) {
            Ok(()) => self.client.read_config(rng),
            Err(_) => Heard::HungUp,
        };
        match heard {
            Heard::HungUp if fatal => self.reconnect(rng),
            Heard::Answer(config) if !fatal => assert_eq!(config[..2], [0xed, 0x1b]),
            heard => panic!("{heard:?} after {stream:?}, fatal: {fatal}"),
        }
        count
    }

    /// A part of a message, and gone.
    fn half(&mut self, rng: &mut Rng) -> u64 {
        let message = generator::message(rng);
        let half = rng.usize(..=message.len());
        let count = rng.usize(..3);
        let files = self.files.pick(rng, count);
        let fds: Vec<_> = files.iter().map(AsFd::as_fd).collect();
        // A server that has hung up is what is looked for below.
        let _ = self.client.send(&message[..half], &fds);
        self.reconnect(rng);
        1
    }

    /// Messages before anything is negotiated.
    fn strange(&mut self, rng: &mut Rng) -> u64 {
        self.client = Client::connect(&self.path);
        let mut stream = generator::message(rng);
        let fatal = generator::complete(&mut stream);
        let heard = match self.client.send(&stream, &[]) {
            Ok(()) => self.client.read_config(rng),
            Err(_) => Heard::HungUp,
        };
        match heard {
            Heard::HungUp if fatal => {}
            Heard::Error(22) | Heard::Answer(_) if !fatal => {}
            heard => panic!("{heard:?} after {stream:?}, fatal: {fatal}"),
        }
        self.reconnect(rng);
        1
    }

    fn reconnect(&mut self, rng: &mut Rng) {
        assert_eq!(self.server.ended(), None, "the server goes on");
        self.client = Client::connect(&self.path);
        self.client.negotiate(rng);
        let config = self.client.read_config(rng);
        assert!(matches!(config, Heard::Answer(config) if config[..2] == [0xed, 0x1b]));
    }
}

fn is_long_read(message: &[u8]) -> bool {
    let header = Header::read(message);
    let count = message.get(28..32).and_then(|bytes| bytes.try_into().ok());
    header.is_none_or(|header| header.command == Command::RegionRead as u16)
        && count.is_none_or(|count| u32::from_ne_bytes(count) > 4096)
}

impl Client {
    fn connect(path: &std::path::Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(HANGS)).unwrap();
        stream.set_write_timeout(Some(HANGS)).unwrap();
        Self {
            stream,
            framing: Framing::new(),
            id: 0,
        }
    }

    fn negotiate(&mut self, rng: &mut Rng) {
        let heard = self.ask(Command::Version, VERSION, rng);
        assert!(matches!(heard, Heard::Answer(_)), "{heard:?}");
    }

    fn read_config(&mut self, rng: &mut Rng) -> Heard {
        let read = [0_u64.as_bytes(), [7_u32, 4].as_bytes()].concat();
        match self.ask(Command::RegionRead, &read, rng) {
            Heard::Answer(body) => Heard::Answer(body[16..].to_vec()),
            heard => heard,
        }
    }

    fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> rustix::io::Result<()> {
        send_all(&self.stream, bytes, fds)
    }

    /// Asks something valid, and passes over everything but the reply.
    fn ask(&mut self, command: Command, body: &[u8], rng: &mut Rng) -> Heard {
        self.id = self.id.wrapping_add(1) | 0x8000;
        let header = Header {
            id: self.id,
            command: command as u16,
            size: (HEADER_SIZE + body.len()) as u32,
            flags: 0,
            error: 0,
        };
        if self.send(&[header.as_bytes(), body].concat(), &[]).is_err() {
            return Heard::HungUp;
        }
        loop {
            let Some(message) = self.receive() else {
                return Heard::HungUp;
            };
            let header = Header::read(&message).unwrap();
            if header.is_command() {
                self.answer(&header, rng);
            } else if (header.id, header.command) == (self.id, command as u16) {
                return match header.flags {
                    1 => Heard::Answer(message[HEADER_SIZE..].to_vec()),
                    _ => Heard::Error(header.error),
                };
            }
        }
    }

    fn receive(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(message) = self.framing.take().expect("the server's lengths are true") {
                return Some(message.to_vec());
            }
            match self.stream.read(self.framing.space()) {
                Ok(0) => return None,
                Ok(bytes) => self.framing.filled(bytes),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("the server hangs: {error}"),
            }
        }
    }

    /// Answers a DMA message of the server, well or badly.
    fn answer(&self, header: &Header, rng: &mut Rng) {
        let mut reply = Header {
            flags: 1,
            size: HEADER_SIZE as u32,
            ..*header
        };
        let mut body = Vec::new();
        match rng.u8(..6) {
            0 => (reply.flags, reply.error) = (0x21, rng.u32(..)),
            1 => reply.command = rng.u16(..),
            2 => reply.id = rng.u16(..),
            _ => body = vec![0; rng.usize(..100)],
        }
        reply.size += body.len() as u32;
        // It may have hung up.
        let _ = self.send(&[reply.as_bytes(), &body].concat(), &[]);
        if (reply.id, reply.command) != (header.id, header.command) {
            let error = Header {
                flags: 0x21,
                error: 5,
                size: HEADER_SIZE as u32,
                ..*header
            };
            let _ = self.send(error.as_bytes(), &[]);
        }
    }
}
