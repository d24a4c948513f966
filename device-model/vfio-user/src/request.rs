// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Understanding a command: a pure function from bytes to a [`Request`] that
//! holds, or to the errno that the reply tells.

use rustix::io::Errno;
use vfio_bindings::bindings::vfio::{
    VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE, VFIO_DMA_UNMAP_FLAG_ALL,
    VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP, VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD,
};
use zerocopy::FromBytes;

use super::{
    backend::Refusal,
    capabilities::{self, Proposal},
    protocol::{
        Command, DeviceInfo, DmaMap, DmaUnmap, HEADER_SIZE, Header, IrqInfoWire, IrqSet, MAX_DATA,
        PCI_IRQS, PCI_REGIONS, RegionAccess, RegionInfo, RegionIoFds, ShortWrite, Version,
    },
};

/// A command that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub enum Request<'a> {
    /// Which version, and what the client can do.
    Version(Proposal),
    /// Memory appears.
    DmaMap(MapRequest),
    /// Memory disappears.
    DmaUnmap(DmaUnmap),
    /// What the device is.
    DeviceInfo,
    /// What a region is; the reply has at most `argsz` bytes.
    RegionInfo {
        /// Number of the region.
        index: u32,
        /// Bytes.
        argsz: u32,
    },
    /// The doorbells of a region; the reply has at most `argsz` bytes.
    RegionIoFds {
        /// Number of the region.
        index: u32,
        /// Bytes.
        argsz: u32,
    },
    /// What a kind of interrupt is.
    IrqInfo(u32),
    /// Connects, masks or triggers interrupts.
    SetIrqs(SetIrqs<'a>),
    /// Reads a region.
    Read(RegionAccess),
    /// Writes a region; the data is as long as the access.
    Write(RegionAccess, &'a [u8]),
    /// Several short writes.
    WriteMulti(ShortWrites<'a>),
    /// Resets the device.
    Reset,
}

/// Memory that appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MapRequest {
    /// Offset in the file, bytes.
    pub offset: u64,
    /// First address.
    pub address: u64,
    /// Length, bytes.
    pub size: u64,
    /// Whether it may be written.
    pub writable: bool,
}

/// What to do with interrupts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetIrqs<'a> {
    /// Kind of interrupt, `VFIO_PCI_*_IRQ_INDEX`.
    pub index: u32,
    /// `VFIO_IRQ_SET_*`.
    pub flags: u32,
    /// First vector.
    pub start: u32,
    /// Number of vectors.
    pub count: u32,
    /// Which of them, as many bytes as vectors; `None` without such data.
    pub bools: Option<&'a [u8]>,
}

/// The writes of [`Request::WriteMulti`], each of 8 bytes at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShortWrites<'a>(&'a [u8]);

impl<'a> ShortWrites<'a> {
    /// One write after the other, with its data.
    pub fn iter(self) -> impl Iterator<Item = (RegionAccess, [u8; 8])> + use<'a> {
        let writes = self.0.chunks_exact(size_of::<ShortWrite>());
        writes
            .filter_map(|bytes| ShortWrite::read_from_bytes(bytes).ok())
            .map(|write| (write.access, write.data))
    }
}

/// Most file descriptors that a command may bring.
fn max_fds(command: Command) -> usize {
    match command {
        Command::SetIrqs => super::MAX_FDS,
        Command::DmaMap => 1,
        _ => 0,
    }
}

/// Understands a message that is a command and as long as its header says.
/// `fds` descriptors came along, and `negotiated` says whether both sides know
/// what the other can do, and whether short writes may be sent together.
///
/// # Errors
/// What the reply tells: `ENOSYS` for a command that does not exist,
/// `EOPNOTSUPP` for one that exists and is not for this server, `E2BIG` for more
/// data than was negotiated, `EINVAL` for everything else.
pub fn parse<'a>(
    message: &'a [u8],
    fds: usize,
    negotiated: Option<&super::Negotiated>,
) -> Result<Request<'a>, Refusal> {
    let header = Header::read(message).ok_or_else(|| Refusal::invalid("no header"))?;
    let body = message.get(HEADER_SIZE..).unwrap_or_default();
    if !header.is_command() {
        let flags = header.flags;
        return Err(Refusal::invalid(format!(
            "flags {flags:#x} are neither a command's nor a reply's"
        )));
    }
    let number = header.command;
    let Some(command) = Command::new(number) else {
        return Err(Refusal::new(
            Errno::NOSYS,
            format!("there is no command {number}"),
        ));
    };
    if fds > max_fds(command) {
        return Err(Refusal::invalid(format!(
            "{command:?} takes no {fds} file descriptors"
        )));
    }
    match (command, negotiated) {
        (Command::Version, None) => return capabilities::read(body).map(Request::Version),
        (Command::Version, Some(_)) => {
            return Err(Refusal::invalid("the version is negotiated already"));
        }
        (_, None) => {
            return Err(Refusal::invalid(format!(
                "{command:?} came before the version was negotiated"
            )));
        }
        (Command::RegionWriteMulti, Some(negotiated)) if !negotiated.write_multiple => {
            return Err(unsupported(command));
        }
        _ => {}
    }
    Body { command, body }.parse()
}

fn unsupported(command: Command) -> Refusal {
    Refusal::new(Errno::OPNOTSUPP, format!("{command:?} is not supported"))
}

/// What follows the header.
struct Body<'a> {
    command: Command,
    body: &'a [u8],
}

impl<'a> Body<'a> {
    fn parse(&self) -> Result<Request<'a>, Refusal> {
        match self.command {
            Command::DmaMap => self.dma_map(),
            Command::DmaUnmap => self.dma_unmap(),
            Command::DeviceGetInfo => {
                let info: DeviceInfo = self.exactly()?;
                self.at_least(info.argsz, size_of::<DeviceInfo>())?;
                Ok(Request::DeviceInfo)
            }
            Command::RegionGetInfo => {
                let RegionInfo { argsz, index, .. } = self.exactly()?;
                self.at_least(argsz, size_of::<RegionInfo>())?;
                self.below("region", index, PCI_REGIONS)?;
                Ok(Request::RegionInfo { index, argsz })
            }
            Command::RegionGetIoFds => {
                let fds: RegionIoFds = self.exactly()?;
                let RegionIoFds { argsz, index, .. } = fds;
                self.at_least(argsz, size_of::<RegionIoFds>())?;
                self.below("region", index, PCI_REGIONS)?;
                if fds.flags != 0 || fds.count != 0 {
                    return Err(self.invalid("flags and count must be 0"));
                }
                Ok(Request::RegionIoFds { index, argsz })
            }
            Command::IrqGetInfo => {
                let IrqInfoWire { argsz, index, .. } = self.exactly()?;
                self.at_least(argsz, size_of::<IrqInfoWire>())?;
                self.below("kind of interrupt", index, PCI_IRQS)?;
                Ok(Request::IrqInfo(index))
            }
            Command::SetIrqs => self.set_irqs(),
            Command::RegionRead => Ok(Request::Read(self.access(self.exactly()?)?)),
            Command::RegionWrite => {
                let (access, data) = self.prefix()?;
                let access: RegionAccess = self.access(access)?;
                if data.len() != access.count as usize {
                    let (count, found) = (access.count, data.len());
                    return Err(self.invalid(format!("{found} bytes of data, said to be {count}")));
                }
                Ok(Request::Write(access, data))
            }
            Command::RegionWriteMulti => self.write_multi(),
            Command::DeviceReset => {
                let (): () = self.exactly()?;
                Ok(Request::Reset)
            }
            Command::Version
            | Command::DmaRead
            | Command::DmaWrite
            | Command::DirtyPages
            | Command::DeviceFeature
            | Command::MigrationRead
            | Command::MigrationWrite => Err(unsupported(self.command)),
        }
    }

    fn dma_map(&self) -> Result<Request<'a>, Refusal> {
        let map: DmaMap = self.exactly()?;
        self.at_least(map.argsz, size_of::<DmaMap>())?;
        let known = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE;
        if map.flags & !known != 0 || map.flags & known == 0 {
            return Err(self.invalid(format!("flags {:#x}", map.flags)));
        }
        Ok(Request::DmaMap(MapRequest {
            offset: map.offset,
            address: map.address,
            size: map.size,
            writable: map.flags & VFIO_DMA_MAP_FLAG_WRITE != 0,
        }))
    }

    fn dma_unmap(&self) -> Result<Request<'a>, Refusal> {
        let unmap: DmaUnmap = self.exactly()?;
        self.at_least(unmap.argsz, size_of::<DmaUnmap>())?;
        if unmap.flags & VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP != 0 {
            let why = "DmaUnmap: dirty pages are not tracked";
            return Err(Refusal::new(Errno::OPNOTSUPP, why));
        }
        if unmap.flags & !VFIO_DMA_UNMAP_FLAG_ALL != 0 {
            return Err(self.invalid(format!("flags {:#x}", unmap.flags)));
        }
        let all = unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL != 0;
        if all && (unmap.address, unmap.size) != (0, 0) {
            return Err(self.invalid("all of it has no address and no size"));
        }
        Ok(Request::DmaUnmap(unmap))
    }

    fn set_irqs(&self) -> Result<Request<'a>, Refusal> {
        let (set, data): (IrqSet, _) = self.prefix()?;
        self.below("kind of interrupt", set.index, PCI_IRQS)?;
        if set.argsz as usize != self.body.len() {
            let (argsz, found) = (set.argsz, self.body.len());
            return Err(self.invalid(format!("argsz {argsz} of {found} bytes")));
        }
        let has = |flag| set.flags & flag != 0;
        let bools = has(VFIO_IRQ_SET_DATA_BOOL) && !has(VFIO_IRQ_SET_DATA_EVENTFD);
        let wanted = if bools { set.count as usize } else { 0 };
        if data.len() != wanted {
            let found = data.len();
            return Err(self.invalid(format!("{found} bytes of data instead of {wanted}")));
        }
        Ok(Request::SetIrqs(SetIrqs {
            index: set.index,
            flags: set.flags,
            start: set.start,
            count: set.count,
            bools: bools.then_some(data),
        }))
    }

    fn write_multi(&self) -> Result<Request<'a>, Refusal> {
        let (count, writes): (u64, _) = self.prefix()?;
        let size = size_of::<ShortWrite>() as u64;
        if count.checked_mul(size) != Some(writes.len() as u64) {
            let found = writes.len();
            return Err(self.invalid(format!("{found} bytes are not {count} writes")));
        }
        let writes = ShortWrites(writes);
        for (access, data) in writes.iter() {
            if access.count as usize > data.len() {
                return Err(self.invalid(format!("a write of {} bytes", access.count)));
            }
            self.access(access)?;
        }
        Ok(Request::WriteMulti(writes))
    }

    /// An access to a region that may exist, of a length that may be.
    fn access(&self, access: RegionAccess) -> Result<RegionAccess, Refusal> {
        self.below("region", access.region, PCI_REGIONS)?;
        if access.count > MAX_DATA {
            let why = format!("{:?} of {} bytes", self.command, access.count);
            return Err(Refusal::new(Errno::TOOBIG, why));
        }
        Ok(access)
    }

    fn prefix<T: FromBytes>(&self) -> Result<(T, &'a [u8]), Refusal> {
        let found = self.body.len();
        T::read_from_prefix(self.body)
            .map_err(|_| self.invalid(format!("a body of {found} bytes is too short")))
    }

    fn exactly<T: FromBytes>(&self) -> Result<T, Refusal> {
        match self.prefix()? {
            (value, []) => Ok(value),
            (_, rest) => Err(self.invalid(format!("{} bytes too many", rest.len()))),
        }
    }

    fn at_least(&self, argsz: u32, size: usize) -> Result<(), Refusal> {
        if (argsz as usize) < size {
            return Err(self.invalid(format!("argsz {argsz} is below {size}")));
        }
        Ok(())
    }

    fn below(&self, what: &str, index: u32, count: u32) -> Result<(), Refusal> {
        if index >= count {
            return Err(self.invalid(format!("there is no {what} {index}")));
        }
        Ok(())
    }

    fn invalid(&self, why: impl std::fmt::Display) -> Refusal {
        Refusal::invalid(format!("{:?}: {why}", self.command))
    }
}

/// The version that a message proposes, and the rest of its body.
pub(super) fn version(body: &[u8]) -> Result<(Version, &[u8]), Refusal> {
    Version::read_from_prefix(body)
        .map_err(|_| Refusal::invalid("Version: a body without a version"))
}
