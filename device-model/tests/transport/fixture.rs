// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A device of plain memory behind a server, a client, and the bodies of its
//! messages.

#![allow(dead_code)]

use std::{
    fs::File,
    io::Read,
    os::fd::{BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
};

use device_model::{
    Bar, BarIndex, Bus, DeviceSpec, GuestAddr, Identity, Options, PciDevice, Server, ServerHandle,
    bar::Area,
    capability::Msix,
    vfio_user::{Command, IoEventFd},
};
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
    io::Errno,
};
use tempfile::TempDir;
use zerocopy::IntoBytes;

use crate::raw::{Answer, CAPABILITIES, RawClient};

pub const BAR_TRAPPED: u32 = 0;
pub const BAR_MAPPED: u32 = 2;
pub const BAR_MSIX: u32 = 4;
pub const CONFIG: u32 = 7;
pub const MSIX: u32 = 2;
pub const TRIGGER: u32 = 1 << 5;
pub const UNMASK: u32 = 1 << 4;
pub const MASK: u32 = 1 << 3;
pub const EVENTFD: u32 = 1 << 2;
pub const BOOL: u32 = 1 << 1;
pub const NONE: u32 = 1;

/// Memory that is written and read, with a doorbell and a part that is mapped.
pub struct Memory {
    bytes: Vec<u8>,
    mapped: Arc<File>,
    doorbell: Arc<File>,
    outside: Arc<Outside>,
}

/// What of the device is reached from outside.
#[derive(Default)]
pub struct Outside {
    pub bus: OnceLock<Bus>,
    /// Taken for an access at [`LOCKED_AT`].
    pub lock: Mutex<()>,
}

/// An address written here is read by DMA; the 16 bytes then lie at 0.
pub const DMA_AT: u64 = 0x10_0000;
pub const LOCKED_AT: u64 = 0x10_1000;

pub fn memfd(size: u64) -> File {
    let file: OwnedFd = memfd_create("memory", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, size).unwrap();
    file.into()
}

pub fn event() -> File {
    eventfd(0, EventfdFlags::CLOEXEC).unwrap().into()
}

pub fn bar(index: u32) -> BarIndex {
    BarIndex::new(index).unwrap()
}

impl Memory {
    fn new(outside: Arc<Outside>) -> Self {
        Self {
            outside,
            bytes: vec![0; 0x20_0000],
            mapped: Arc::new(memfd(0x4000)),
            doorbell: Arc::new(event()),
        }
    }
}

impl PciDevice for Memory {
    fn spec(&self) -> DeviceSpec {
        let areas = [0, 0x2000].map(|offset| Area {
            offset,
            size: 0x1000,
        });
        DeviceSpec::new(Identity {
            vendor: 0x1bed,
            device: 1,
            revision: 0,
            class: [0xff, 0, 0],
            subsystem_vendor: 0,
            subsystem: 0,
        })
        .bar(bar(BAR_TRAPPED), Bar::trapped(0x20_0000))
        .bar(
            bar(BAR_MAPPED),
            Bar::mapped(Arc::clone(&self.mapped), 0x4000).areas(areas.to_vec()),
        )
        .bar(bar(BAR_MSIX), Bar::trapped(0x1000))
        .msix(Msix {
            bar: bar(BAR_MSIX),
            vectors: 4,
            table_offset: 0,
            pba_offset: 0x800,
        })
    }

    fn doorbells(&self) -> Vec<(BarIndex, IoEventFd)> {
        let doorbell = |offset, value| IoEventFd {
            offset,
            size: 4,
            value,
            eventfd: Arc::clone(&self.doorbell),
        };
        vec![
            (bar(BAR_TRAPPED), doorbell(0x10, None)),
            (bar(BAR_TRAPPED), doorbell(0x14, Some(7))),
        ]
    }

    fn attach(&mut self, bus: Bus) {
        let _ = self.outside.bus.set(bus);
    }

    fn bar_read(&mut self, _: BarIndex, offset: u64, data: &mut [u8]) {
        if offset == LOCKED_AT {
            drop(self.outside.lock.lock().unwrap());
        }
        let at = offset as usize;
        data.copy_from_slice(&self.bytes[at..at + data.len()]);
    }

    fn bar_write(&mut self, _: BarIndex, offset: u64, data: &[u8]) {
        assert_ne!(data, b"panic!", "as it was told to");
        let at = offset as usize;
        self.bytes[at..at + data.len()].copy_from_slice(data);
        if offset == DMA_AT {
            let address = u64::from_ne_bytes(data.try_into().unwrap());
            let dma = &self.outside.bus.get().unwrap().dma;
            if dma.read(GuestAddr(address), &mut self.bytes[..16]).is_err() {
                self.bytes[..16].fill(0xff);
            }
        }
    }
}

pub struct Fixture {
    pub client: RawClient,
    pub server: ServerHandle,
    pub path: PathBuf,
    pub outside: Arc<Outside>,
    _folder: TempDir,
}

impl Fixture {
    /// A client that has said nothing.
    pub fn silent() -> Self {
        Self::with(Options::default())
    }

    /// The same, served in another way.
    pub fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("device");
        let outside = Arc::new(Outside::default());
        let server = Server::bind(&path).unwrap().options(options);
        let server = server.serve(Memory::new(Arc::clone(&outside))).unwrap();
        Self {
            client: RawClient::connect(&path),
            server,
            path,
            outside,
            _folder: folder,
        }
    }

    pub fn new() -> Self {
        let mut fixture = Self::silent();
        fixture.version(CAPABILITIES);
        fixture
    }

    pub fn version(&mut self, body: &[u8]) -> Answer {
        self.client.ask(Command::Version, body)
    }

    pub fn refuses(&mut self, command: Command, body: &[u8], errno: Errno) {
        let answer = self.client.ask(command, body);
        let expected = Some(errno.raw_os_error() as u32);
        assert_eq!(answer.errno(), expected, "{command:?}");
        self.still_serves();
    }

    pub fn takes(&mut self, command: Command, body: &[u8]) -> Answer {
        self.takes_with(command, body, &[])
    }

    pub fn takes_with(&mut self, command: Command, body: &[u8], fds: &[BorrowedFd<'_>]) -> Answer {
        let answer = self.client.ask_with(command as u16, body, fds);
        assert_eq!(answer.errno(), None, "{command:?}");
        answer
    }

    /// Allows DMA, as a driver does.
    /// Switches MSI-X on, whose control is the first capability's.
    pub fn enable_msix(&mut self) {
        let control = [access(CONFIG, 0x42, 2), vec![0, 0x80]].concat();
        self.takes(Command::RegionWrite, &control);
    }

    pub fn enable_dma(&mut self) {
        let command = [access(CONFIG, 4, 2), vec![6, 0]].concat();
        self.takes(Command::RegionWrite, &command);
    }

    /// A valid request is answered.
    pub fn still_serves(&mut self) {
        let read = access(CONFIG, 0, 2);
        let answer = self.client.ask(Command::RegionRead, &read);
        assert_eq!(answer.body[16..], [0xed, 0x1b]);
    }
}

pub fn words(words: &[u32]) -> Vec<u8> {
    words.as_bytes().to_vec()
}

pub fn access(region: u32, offset: u64, count: u32) -> Vec<u8> {
    [offset.as_bytes(), region.as_bytes(), count.as_bytes()].concat()
}

pub fn map(flags: u32, offset: u64, address: u64, size: u64) -> Vec<u8> {
    [
        words(&[32, flags]),
        [offset, address, size].as_bytes().to_vec(),
    ]
    .concat()
}

pub fn unmap(flags: u32, address: u64, size: u64) -> Vec<u8> {
    [words(&[24, flags]), [address, size].as_bytes().to_vec()].concat()
}

pub fn irqs(flags: u32, index: u32, start: u32, count: u32, bools: &[u8]) -> Vec<u8> {
    let argsz = 20 + bools.len() as u32;
    [words(&[argsz, flags, index, start, count]), bools.to_vec()].concat()
}

/// What an eventfd has counted since the last look.
pub fn count(mut eventfd: &File) -> u64 {
    let mut count = [0; 8];
    eventfd
        .read_exact(&mut count)
        .map_or(0, |()| u64::from_ne_bytes(count))
}
