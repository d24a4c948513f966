// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is behind the protocol: regions, interrupts and memory, in the terms
//! of the messages that ask for them.

use std::{fs::File, sync::Arc};

use rustix::io::Errno;

use super::{Area, MAX_DMA_MAPS};

/// Why a request is not carried out: the errno of the reply, and a sentence
/// for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why} (errno {})", errno.raw_os_error())]
pub struct Refusal {
    /// What the client is told.
    pub errno: Errno,
    /// What is wrong.
    pub why: String,
}

impl Refusal {
    /// A refusal for a reason.
    pub fn new(errno: Errno, why: impl Into<String>) -> Self {
        let why = why.into();
        Self { errno, why }
    }

    /// A request that makes no sense.
    pub fn invalid(why: impl Into<String>) -> Self {
        Self::new(Errno::INVAL, why)
    }
}

/// What a client may do with a region.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// It may be read.
    pub read: bool,
    /// It may be written.
    pub write: bool,
}

impl Access {
    /// Both.
    pub const READ_WRITE: Self = Self {
        read: true,
        write: true,
    };
}

/// A region of a device.
#[derive(Debug, Clone)]
pub struct Region<'a> {
    /// Length, bytes.
    pub size: u64,
    /// What a client may do with it.
    pub access: Access,
    /// Its memory, and the parts that can be mapped.
    pub mapping: Option<(&'a Arc<File>, &'a [Area])>,
}

/// A doorbell: a register whose writes the hypervisor's kernel may tell to an
/// eventfd, with nobody waiting for them to be carried out.
#[derive(Debug, Clone)]
pub struct IoEventFd {
    /// Offset in the region, bytes.
    pub offset: u64,
    /// Length of the write, bytes; 0 for any.
    pub size: u64,
    /// Only writes of this value; `None` for all.
    pub value: Option<u64>,
    /// The eventfd.
    pub eventfd: Arc<File>,
}

/// What a client is told about a kind of interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IrqInfo {
    /// `VFIO_PCI_*_IRQ_INDEX`.
    pub index: u32,
    /// `VFIO_IRQ_INFO_*`.
    pub flags: u32,
    /// Number of vectors.
    pub count: u32,
}

/// A device, as the messages of the protocol see it. Numbers come from the
/// client: regions are below [`PCI_REGIONS`](super::PCI_REGIONS), kinds of
/// interrupts below [`PCI_IRQS`](super::PCI_IRQS), and an access is no longer
/// than [`MAX_DATA`](super::MAX_DATA) and lies inside its region; nothing else
/// is checked.
pub trait Backend {
    /// A region; `None` where the device has none of that number.
    fn region(&self, index: u32) -> Option<Region<'_>>;

    /// The doorbells of a region.
    fn io_event_fds(&self, region: u32) -> &[IoEventFd] {
        let _ = region;
        &[]
    }

    /// Reads a region.
    ///
    /// # Errors
    /// Become the reply.
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Refusal>;

    /// Writes a region.
    ///
    /// # Errors
    /// Become the reply.
    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Refusal>;

    /// A kind of interrupt; with 0 vectors where the device has none.
    fn irq_info(&self, index: u32) -> IrqInfo;

    /// Connects, masks or triggers interrupts: `bools` says which of them,
    /// where that data came along; `fds` are its eventfds.
    ///
    /// # Errors
    /// Become the reply.
    fn set_irqs(&mut self, set: super::request::SetIrqs<'_>, fds: Vec<File>)
    -> Result<(), Refusal>;

    /// Most pieces of memory that it keeps at a time.
    fn max_dma_maps(&self) -> u64 {
        MAX_DMA_MAPS
    }

    /// Memory appears, in a file or reached by messages alone.
    ///
    /// # Errors
    /// Become the reply.
    fn dma_map(
        &mut self,
        map: &super::request::MapRequest,
        file: Option<File>,
    ) -> Result<(), Refusal>;

    /// Memory disappears; `None` means all of it.
    ///
    /// # Errors
    /// Become the reply.
    fn dma_unmap(&mut self, range: Option<(u64, u64)>) -> Result<(), Refusal>;

    /// Returns to the state after power on; what the client connected stays.
    ///
    /// # Errors
    /// Become the reply.
    fn reset(&mut self) -> Result<(), Refusal>;
}
