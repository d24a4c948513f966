// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A client that says exactly what it is told to, sensible or not.

#![allow(dead_code)]

use std::{
    io::{self, ErrorKind, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use device_model::vfio_user::{Command, HEADER_SIZE, Header};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use zerocopy::{FromBytes, IntoBytes};

use crate::send::send_all;

/// Longer than any answer takes, on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// What a client of all capabilities proposes.
pub const CAPABILITIES: &[u8] = b"\0\0\0\0{\"capabilities\":{\"max_msg_fds\":16,\
    \"max_data_xfer_size\":1048576,\"max_dma_maps\":65535,\"pgsizes\":4096,\
    \"write_multiple\":true,\"migration\":{\"pgsize\":4096}}}\0";

/// A reply, as it came.
#[derive(Debug)]
pub struct Answer {
    pub header: Header,
    pub body: Vec<u8>,
    pub fds: Vec<OwnedFd>,
}

impl Answer {
    /// The errno that it tells; `None` for a reply without an error.
    pub fn errno(&self) -> Option<u32> {
        (self.header.flags & 0x20 != 0).then_some(self.header.error)
    }

    /// A structure at a place of the body.
    pub fn at<T: FromBytes>(&self, offset: usize) -> T {
        T::read_from_prefix(&self.body[offset..]).unwrap().0
    }
}

pub struct RawClient {
    pub stream: UnixStream,
    next_id: u16,
}

/// A message: header and body.
pub fn message(id: u16, command: u16, flags: u32, body: &[u8]) -> Vec<u8> {
    let header = Header {
        id,
        command,
        size: (HEADER_SIZE + body.len()) as u32,
        flags,
        error: 0,
    };
    [header.as_bytes(), body].concat()
}

impl RawClient {
    /// Connects, and says nothing.
    pub fn connect(path: &Path) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, next_id: 1 }
    }

    /// Connects and negotiates.
    pub fn new(path: &Path) -> Self {
        let mut client = Self::connect(path);
        let answer = client.ask(Command::Version, CAPABILITIES);
        assert_eq!(answer.errno(), None, "{answer:?}");
        client
    }

    pub fn send(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        Ok(send_all(&self.stream, bytes, fds)?)
    }

    /// The next message of the server; `None` when it has hung up.
    pub fn receive(&mut self) -> io::Result<Option<Answer>> {
        let mut head = [0; HEADER_SIZE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut head)];
        let got = match recvmsg(
            &self.stream,
            &mut parts,
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            Err(rustix::io::Errno::CONNRESET) => return Ok(None),
            got => got?.bytes,
        };
        if got == 0 {
            return Ok(None);
        }
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = message {
                fds.extend(came);
            }
        }
        self.stream.read_exact(&mut head[got..])?;
        let header = Header::read(&head).unwrap();
        let size = header.size as usize;
        let len = size
            .checked_sub(HEADER_SIZE)
            .ok_or(ErrorKind::InvalidData)?;
        let mut body = vec![0; len];
        self.stream.read_exact(&mut body)?;
        Ok(Some(Answer { header, body, fds }))
    }

    /// Sends a command with descriptors, and awaits its reply.
    pub fn ask_with(&mut self, command: u16, body: &[u8], fds: &[BorrowedFd<'_>]) -> Answer {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        self.send(&message(id, command, 0, body), fds).unwrap();
        let answer = self.receive().unwrap().expect("the server has hung up");
        let header = &answer.header;
        assert_eq!((header.id, header.command), (id, command));
        assert!(header.is_reply());
        if answer.errno().is_some() {
            assert!(answer.body.is_empty(), "an error has no body");
        }
        answer
    }

    pub fn ask(&mut self, command: Command, body: &[u8]) -> Answer {
        self.ask_with(command as u16, body, &[])
    }

    /// Whether the server has hung up.
    pub fn is_hung_up(&mut self) -> bool {
        matches!(self.receive(), Ok(None))
    }
}

/// Files that this process has open.
pub fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
