// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Messages straight into the framing and the dispatcher, with no socket in
//! between, and a valid request after each.

use device_model::{
    Function,
    event::EventDevice,
    vfio_user::{Command, Dispatcher, Framing, HEADER_SIZE, Header, Reply},
};
use fastrand::Rng;
use zerocopy::IntoBytes;

use crate::generator::{self, Files, count_fds};

/// A device that is told messages.
pub struct Direct {
    function: Function,
    dispatcher: Dispatcher,
    framing: Framing,
    reply: Reply,
    files: Files,
    id: u16,
}

impl Direct {
    pub fn new() -> Self {
        let device = EventDevice::new().unwrap();
        let mut direct = Self {
            function: Function::new(Box::new(device)).unwrap(),
            dispatcher: Dispatcher::new(),
            framing: Framing::new(),
            reply: Reply::default(),
            files: Files::open(),
            id: 0,
        };
        direct.connect();
        direct
    }

    /// Begins anew, as with a new connection.
    fn connect(&mut self) {
        self.dispatcher = Dispatcher::new();
        self.framing = Framing::new();
        let version = b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,\"write_multiple\":true}}\0";
        self.valid(Command::Version, version);
        assert!(self.dispatcher.negotiated().is_some());
    }

    /// One message of chance, and a check.
    pub fn step(&mut self, rng: &mut Rng) {
        let mut bytes = generator::message(rng);
        if rng.u16(..) == 0 {
            // Said before anything is negotiated.
            self.dispatcher = Dispatcher::new();
        }
        self.tell(&mut bytes, rng);
    }

    /// Tells bytes in pieces, fills up the last message, and asks something
    /// valid.
    pub fn tell(&mut self, bytes: &mut Vec<u8>, rng: &mut Rng) {
        let fatal = generator::complete(bytes);
        let mut rest = bytes.as_slice();
        let mut ended = false;
        while !rest.is_empty() && !ended {
            let space = self.framing.space();
            let len = rest.len().min(space.len());
            let len = if rng.bool() { len } else { rng.usize(1..=len) };
            let (piece, behind) = rest.split_at(len);
            space[..len].copy_from_slice(piece);
            self.framing.filled(len);
            rest = behind;
            ended = self.take_all(rng);
        }
        assert_eq!(
            ended, fatal,
            "a length that cannot be true ends it: {bytes:?}"
        );
        if ended || self.dispatcher.negotiated().is_none() {
            self.connect();
        }
        self.check();
    }

    /// Whether the stream has ended.
    fn take_all(&mut self, rng: &mut Rng) -> bool {
        loop {
            let message = match self.framing.take() {
                Ok(Some(message)) => message,
                Ok(None) => return false,
                Err(_) => return true,
            };
            let count = count_fds(rng);
            let files = self.files.pick(rng, count.min(16));
            let fds = files
                .into_iter()
                .map(|file| file.try_clone().unwrap().into());
            let reply = &mut self.reply;
            let function = &mut self.function;
            self.dispatcher
                .handle(message, fds.collect(), count > 16, function, reply);
            assert_sensible(message, reply);
        }
    }

    fn check(&mut self) {
        let read = [0_u64.as_bytes(), [7_u32, 4].as_bytes()].concat();
        self.valid(Command::RegionRead, &read);
        assert_eq!(self.reply.bytes()[32..34], [0xed, 0x1b]);
    }

    fn valid(&mut self, command: Command, body: &[u8]) {
        self.id = self.id.wrapping_add(1);
        let header = Header {
            id: self.id,
            command: command as u16,
            size: (HEADER_SIZE + body.len()) as u32,
            flags: 0,
            error: 0,
        };
        let message = [header.as_bytes(), body].concat();
        let (function, reply) = (&mut self.function, &mut self.reply);
        self.dispatcher
            .handle(&message, Vec::new(), false, function, reply);
        assert_sensible(&message, reply);
        assert_eq!(Header::read(reply.bytes()).unwrap().flags, 1, "{command:?}");
    }
}

/// A reply repeats id and command, says its length, and tells an errno if an
/// error; and there is one exactly where it is wanted.
fn assert_sensible(message: &[u8], reply: &Reply) {
    let asked = Header::read(message).unwrap();
    let wanted = !asked.is_reply() && asked.wants_reply();
    let Some(header) = Header::read(reply.bytes()) else {
        assert!(!wanted && reply.bytes().is_empty());
        return;
    };
    assert!(wanted);
    assert_eq!((header.id, header.command), (asked.id, asked.command));
    assert_eq!(header.size as usize, reply.bytes().len());
    match header.flags {
        1 => assert_eq!(header.error, 0),
        0x21 => assert!(reply.bytes().len() == HEADER_SIZE && (1..4096).contains(&header.error)),
        flags => panic!("flags {flags:#x}"),
    }
}
