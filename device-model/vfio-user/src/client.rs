// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The other side of the protocol, as little of it as is needed to use a device
//! without a hypervisor: what measures a server, and what tests one.

use std::{
    fs::File,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::sockopt::{Timeout, set_socket_timeout},
};
use vfio_bindings::bindings::vfio::{
    VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_REGION_INFO_FLAG_READ,
    VFIO_REGION_INFO_FLAG_WRITE,
};
use zerocopy::{FromBytes, IntoBytes};

use super::{
    connection::send_some,
    framing::StreamError,
    protocol::{
        Command, DmaMap, ERROR, HEADER_SIZE, Header, IrqSet, PCI_REGIONS, RegionAccess, RegionInfo,
        Version,
    },
    receive::{Fds, Receiver},
};

/// What is proposed to the server.
const PROPOSAL: &[u8] = b"{\"capabilities\":{\"max_msg_fds\":8,\"max_data_xfer_size\":1048576}}\0";

/// A server that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The socket cannot be connected to.
    #[error("no connection: {0}")]
    Connect(#[source] io::Error),
    /// It has taken the connection, or has it waiting, and says nothing.
    #[error("the server does not answer within {} s: has it another client?", .0.as_secs())]
    Silent(Duration),
    /// It has closed the connection.
    #[error("the server has closed the connection")]
    HungUp,
    /// It answers with an error.
    #[error("the server refuses {command:?}: {errno}")]
    Refused {
        /// What was asked.
        command: Command,
        /// The error.
        errno: Errno,
    },
    /// What it says is not this protocol.
    #[error("the server's answer to {command:?} makes no sense: {why}")]
    Nonsense {
        /// What was asked.
        command: Command,
        /// What is wrong with the answer.
        why: String,
    },
    /// The system failed.
    #[error("the socket failed: {0}")]
    System(Errno),
}

/// A region, as the server describes it.
#[derive(Debug)]
pub struct ClientRegion {
    /// Length, bytes; 0 where there is no such region.
    pub size: u64,
    /// Whether it may be read.
    pub read: bool,
    /// Whether it may be written.
    pub write: bool,
    /// What it can be mapped from, if it can.
    pub file: Option<File>,
}

/// A connection to a server, over which one thing is asked at a time.
///
/// # Example
/// ```no_run
/// use std::{path::Path, time::Duration};
/// use irqbed_vfio_user::Client;
/// let mut client = Client::connect(Path::new("/tmp/device"), Duration::from_secs(5))?;
/// let mut vendor = [0; 2];
/// client.region_read(7, 0, &mut vendor)?; // the configuration space
/// println!("vendor {:#06x}", u16::from_le_bytes(vendor));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Client {
    socket: OwnedFd,
    receiver: Receiver,
    fds: Fds,
    /// What is sent, kept for its memory.
    message: Vec<u8>,
    limit: Duration,
    id: u16,
}

impl Client {
    /// Connects to the socket at a path, and negotiates. `limit` is how long
    /// any answer may take.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn connect(path: &Path, limit: Duration) -> Result<Self, ClientError> {
        let socket: OwnedFd = UnixStream::connect(path)
            .map_err(ClientError::Connect)?
            .into();
        for direction in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, direction, Some(limit)).map_err(ClientError::System)?;
        }
        let mut client = Self {
            socket,
            receiver: Receiver::default(),
            fds: Fds::default(),
            message: Vec::new(),
            limit,
            id: 0,
        };
        let version = Version { major: 0, minor: 0 };
        client.ask(Command::Version, &[version.as_bytes(), PROPOSAL], &[])?;
        Ok(client)
    }

    /// What a region is.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn region(&mut self, index: u32) -> Result<ClientRegion, ClientError> {
        let command = Command::RegionGetInfo;
        if index >= PCI_REGIONS {
            // A server need not answer what is out of the question.
            return Ok(ClientRegion {
                size: 0,
                read: false,
                write: false,
                file: None,
            });
        }
        let argsz = 4096;
        let asked = RegionInfo {
            argsz,
            index,
            ..RegionInfo::default()
        };
        let body = self.ask(command, &[asked.as_bytes()], &[])?;
        let (info, _) = RegionInfo::read_from_prefix(body).map_err(|_| short(command))?;
        Ok(ClientRegion {
            size: info.size,
            read: info.flags & VFIO_REGION_INFO_FLAG_READ != 0,
            write: info.flags & VFIO_REGION_INFO_FLAG_WRITE != 0,
            file: self.fds.fds.drain(..).next().map(File::from),
        })
    }

    /// Reads a region.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn region_read(
        &mut self,
        region: u32,
        offset: u64,
        data: &mut [u8],
    ) -> Result<(), ClientError> {
        let command = Command::RegionRead;
        let asked = access(region, offset, data);
        let body = self.ask(command, &[asked.as_bytes()], &[])?;
        let read = body
            .get(size_of::<RegionAccess>()..)
            .filter(|read| read.len() == data.len())
            .ok_or_else(|| short(command))?;
        data.copy_from_slice(read);
        Ok(())
    }

    /// Writes a region, and waits until it is done.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn region_write(
        &mut self,
        region: u32,
        offset: u64,
        data: &[u8],
    ) -> Result<(), ClientError> {
        let asked = access(region, offset, data);
        self.ask(Command::RegionWrite, &[asked.as_bytes(), data], &[])?;
        Ok(())
    }

    /// Gives the device memory, which begins with its file.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn dma_map(
        &mut self,
        address: u64,
        size: u64,
        file: BorrowedFd<'_>,
    ) -> Result<(), ClientError> {
        let map = DmaMap {
            argsz: size_of::<DmaMap>() as u32,
            flags: VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
            offset: 0,
            address,
            size,
        };
        self.ask(Command::DmaMap, &[map.as_bytes()], &[file])?;
        Ok(())
    }

    /// Connects, masks or triggers `count` interrupts of a kind from `start` on,
    /// by the flags of `VFIO_DEVICE_SET_IRQS`, with an eventfd each where they
    /// want such.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        eventfds: &[BorrowedFd<'_>],
    ) -> Result<(), ClientError> {
        let set = IrqSet {
            argsz: size_of::<IrqSet>() as u32,
            flags,
            index,
            start,
            count,
        };
        self.ask(Command::SetIrqs, &[set.as_bytes()], eventfds)?;
        Ok(())
    }

    /// Asks something, and returns the body of the answer.
    fn ask(
        &mut self,
        command: Command,
        body: &[&[u8]],
        fds: &[BorrowedFd<'_>],
    ) -> Result<&[u8], ClientError> {
        self.id = self.id.wrapping_add(1);
        let len: usize = body.iter().map(|part| part.len()).sum();
        let header = Header {
            id: self.id,
            command: command as u16,
            size: u32::try_from(HEADER_SIZE + len).unwrap_or(u32::MAX),
            flags: 0,
            error: 0,
        };
        self.message.clear();
        self.message.extend_from_slice(header.as_bytes());
        body.iter()
            .for_each(|part| self.message.extend_from_slice(part));
        self.send(fds)?;
        self.receive(command)
    }

    fn send(&self, fds: &[BorrowedFd<'_>]) -> Result<(), ClientError> {
        let (mut rest, mut fds) = (self.message.as_slice(), fds);
        while !rest.is_empty() {
            match send_some(&self.socket, &[IoSlice::new(rest)], fds) {
                Ok(sent) => {
                    rest = rest.get(sent..).unwrap_or_default();
                    fds = &[];
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.failed(errno)),
            }
        }
        Ok(())
    }

    fn receive(&mut self, command: Command) -> Result<&[u8], ClientError> {
        let nonsense = |why: String| ClientError::Nonsense { command, why };
        loop {
            let next = self.receiver.next_len();
            if next
                .map_err(|error: StreamError| nonsense(error.to_string()))?
                .is_some()
            {
                break;
            }
            match self.receiver.receive(self.socket.as_fd(), Duration::ZERO) {
                Ok(0) => return Err(ClientError::HungUp),
                Ok(_) => {}
                Err(errno) => return Err(self.failed(errno)),
            }
        }
        let taken = self.receiver.take(&mut self.fds);
        let message = taken
            .map_err(|error| nonsense(error.to_string()))?
            .unwrap_or_default();
        let header = Header::read(message).ok_or_else(|| short(command))?;
        if !header.is_reply() || (header.id, header.command) != (self.id, command as u16) {
            return Err(nonsense(format!(
                "message {} of command {} came",
                header.id, header.command
            )));
        }
        if header.flags & ERROR != 0 {
            let errno = Errno::from_raw_os_error(header.error.clamp(1, 4095).cast_signed());
            return Err(ClientError::Refused { command, errno });
        }
        Ok(message.get(HEADER_SIZE..).unwrap_or_default())
    }

    fn failed(&self, errno: Errno) -> ClientError {
        match errno {
            Errno::AGAIN => ClientError::Silent(self.limit),
            Errno::PIPE | Errno::CONNRESET => ClientError::HungUp,
            errno => ClientError::System(errno),
        }
    }
}

fn access(region: u32, offset: u64, data: &[u8]) -> RegionAccess {
    RegionAccess {
        offset,
        region,
        // Longer ones are refused by the server for not being what is said.
        count: u32::try_from(data.len()).unwrap_or(u32::MAX),
    }
}

fn short(command: Command) -> ClientError {
    ClientError::Nonsense {
        command,
        why: "it is too short".to_owned(),
    }
}
