// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Carrying out commands: a message in, a reply out.

use std::{fs::File, os::fd::OwnedFd, sync::Arc};

use vfio_bindings::bindings::vfio::{
    VFIO_DEVICE_FLAGS_PCI, VFIO_DEVICE_FLAGS_RESET, VFIO_DMA_UNMAP_FLAG_ALL,
    VFIO_REGION_INFO_CAP_SPARSE_MMAP, VFIO_REGION_INFO_FLAG_CAPS, VFIO_REGION_INFO_FLAG_MMAP,
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE,
};

use super::{
    backend::{Backend, Refusal, Region},
    capabilities::Negotiated,
    protocol::{
        DeviceInfo, Header, IrqInfoWire, PCI_IRQS, PCI_REGIONS, RegionAccess, RegionInfo,
        RegionIoFds, SparseArea, SparseHeader, SubRegion,
    },
    reply::Reply,
    request::{Request, parse},
};

/// `VFIO_USER_IO_FD_TYPE_IOEVENTFD`.
const KIND_IOEVENTFD: u32 = 0;
/// `KVM_IOEVENTFD_FLAG_DATAMATCH`.
const FLAG_DATAMATCH: u32 = 1;

/// One connection's state of the protocol.
#[derive(Debug, Default)]
pub struct Dispatcher {
    negotiated: Option<Negotiated>,
    /// Requests refused so far.
    refused: u64,
}

impl Dispatcher {
    /// A connection on which nothing was said yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What both sides agreed on, once they have.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.negotiated.as_ref()
    }

    /// Carries out a message, which is as long as its header says, and writes
    /// the reply; it stays empty where the client wants none. Replies of the
    /// client are not for here and are passed over. `fds` came along, and
    /// `fds_lost` says that some did not arrive.
    pub fn handle(
        &mut self,
        message: &[u8],
        fds: Vec<OwnedFd>,
        fds_lost: bool,
        backend: &mut dyn Backend,
        reply: &mut Reply,
    ) {
        reply.clear();
        let Some(header) = Header::read(message) else {
            return;
        };
        if header.is_reply() {
            return;
        }
        let result = if fds_lost {
            Err(Refusal::invalid("file descriptors were lost on their way"))
        } else {
            self.carry_out(&header, message, fds, backend, reply)
        };
        if let Err(refusal) = result {
            self.say(&refusal);
            reply.fail(&header, refusal.errno);
        }
        if header.wants_reply() {
            reply.end();
        } else {
            reply.clear();
        }
    }

    fn carry_out(
        &mut self,
        header: &Header,
        message: &[u8],
        fds: Vec<OwnedFd>,
        backend: &mut dyn Backend,
        reply: &mut Reply,
    ) -> Result<(), Refusal> {
        reply.begin(header);
        match parse(message, fds.len(), self.negotiated.as_ref())? {
            Request::Version(proposal) => {
                self.negotiated = Some(proposal.negotiate());
                proposal.answer(backend.max_dma_maps(), reply.tail());
            }
            Request::DmaMap(map) => {
                let file = fds.into_iter().next().map(File::from);
                backend.dma_map(&map, file)?;
            }
            Request::DmaUnmap(unmap) => {
                let all = unmap.flags & VFIO_DMA_UNMAP_FLAG_ALL != 0;
                backend.dma_unmap((!all).then_some((unmap.address, unmap.size)))?;
                reply.push(&unmap);
            }
            Request::DeviceInfo => reply.push(&DeviceInfo {
                argsz: size_of::<DeviceInfo>() as u32,
                flags: VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET,
                regions: PCI_REGIONS,
                irqs: PCI_IRQS,
            }),
            Request::RegionInfo { index, argsz } => {
                self.region_info(index, argsz, backend, reply);
            }
            Request::RegionIoFds { index, argsz } => self.io_fds(index, argsz, backend, reply),
            Request::IrqInfo(index) => {
                let info = backend.irq_info(index);
                reply.push(&IrqInfoWire {
                    argsz: size_of::<IrqInfoWire>() as u32,
                    flags: info.flags,
                    index,
                    count: info.count,
                });
            }
            Request::SetIrqs(set) => {
                backend.set_irqs(set, fds.into_iter().map(File::from).collect())?;
            }
            Request::Read(access) => {
                inside(backend, &access, false)?;
                reply.push(&access);
                let data = reply.data(access.count as usize);
                backend.region_read(access.region, access.offset, data)?;
            }
            Request::Write(access, data) => {
                inside(backend, &access, true)?;
                backend.region_write(access.region, access.offset, data)?;
                reply.push(&access);
            }
            Request::WriteMulti(writes) => {
                let mut written: u64 = 0;
                for (access, data) in writes.iter() {
                    inside(backend, &access, true)?;
                    let data = data.get(..access.count as usize).unwrap_or_default();
                    backend.region_write(access.region, access.offset, data)?;
                    written += 1;
                }
                reply.push(&written);
            }
            Request::Reset => backend.reset()?,
        }
        Ok(())
    }

    /// The structure alone where the client has no room for more: it is told
    /// how much there is, and asks again.
    fn region_info(&self, index: u32, argsz: u32, backend: &dyn Backend, reply: &mut Reply) {
        let mut info = RegionInfo {
            argsz: size_of::<RegionInfo>() as u32,
            index,
            ..RegionInfo::default()
        };
        let Some(region) = backend.region(index) else {
            reply.push(&info);
            return;
        };
        info.size = region.size;
        info.flags |= flag(region.access.read, VFIO_REGION_INFO_FLAG_READ);
        info.flags |= flag(region.access.write, VFIO_REGION_INFO_FLAG_WRITE);
        let takes_fds = self.negotiated.is_some_and(|both| both.client_fds > 0);
        let Some((file, areas)) = region.mapping.filter(|_| takes_fds) else {
            reply.push(&info);
            return;
        };
        info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
        reply.push_fd(file);
        let capability = size_of::<SparseHeader>() + size_of_val(areas);
        let whole = u32::try_from(size_of::<RegionInfo>() + capability).unwrap_or(u32::MAX);
        info.argsz = whole;
        if argsz < whole {
            reply.push(&info);
            return;
        }
        info.flags |= VFIO_REGION_INFO_FLAG_CAPS;
        info.cap_offset = size_of::<RegionInfo>() as u32;
        reply.push(&info);
        reply.push(&SparseHeader {
            id: VFIO_REGION_INFO_CAP_SPARSE_MMAP as u16,
            version: 1,
            next: 0,
            areas: areas.len() as u32,
            reserved: 0,
        });
        for area in areas {
            let (offset, size) = (area.offset, area.size);
            reply.push(&SparseArea { offset, size });
        }
    }

    /// Doorbells whose eventfd the client has no room for stay trapped.
    fn io_fds(&self, index: u32, argsz: u32, backend: &dyn Backend, reply: &mut Reply) {
        let room = self.negotiated.map_or(0, |both| both.client_fds);
        let mut files: Vec<&Arc<File>> = Vec::new();
        let mut parts = Vec::new();
        for doorbell in backend.io_event_fds(index) {
            let same = |file: &&Arc<File>| Arc::ptr_eq(file, &doorbell.eventfd);
            let fd_index = match files.iter().position(same) {
                Some(known) => known,
                None if files.len() < room => {
                    files.push(&doorbell.eventfd);
                    files.len() - 1
                }
                None => continue,
            };
            parts.push(SubRegion {
                offset: doorbell.offset,
                size: doorbell.size,
                fd_index: fd_index as u32,
                kind: KIND_IOEVENTFD,
                flags: flag(doorbell.value.is_some(), FLAG_DATAMATCH),
                padding: 0,
                datamatch: doorbell.value.unwrap_or_default(),
            });
        }
        let whole = size_of::<RegionIoFds>() + size_of_val(parts.as_slice());
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        reply.push(&RegionIoFds {
            argsz: whole,
            flags: 0,
            index,
            count: parts.len() as u32,
        });
        if argsz >= whole {
            reply.push(parts.as_slice());
            files.into_iter().for_each(|file| reply.push_fd(file));
        }
    }

    /// Logs a refusal; all but the first only for who looks closely, lest a
    /// client fills the disk.
    fn say(&mut self, refusal: &Refusal) {
        if self.refused == 0 {
            tracing::warn!("refused: {refusal}; further ones of this client are logged as debug");
        } else {
            tracing::debug!("refused: {refusal}");
        }
        self.refused = self.refused.saturating_add(1);
    }
}

const fn flag(set: bool, flag: u32) -> u32 {
    if set { flag } else { 0 }
}

/// Whether an access lies inside a region that takes it.
fn inside(backend: &dyn Backend, access: &RegionAccess, write: bool) -> Result<(), Refusal> {
    let allowed = |region: &Region<'_>| {
        let end = access.offset.checked_add(access.count.into());
        let takes = if write {
            region.access.write
        } else {
            region.access.read
        };
        takes && end.is_some_and(|end| end <= region.size)
    };
    if backend.region(access.region).as_ref().is_some_and(allowed) {
        return Ok(());
    }
    let kind = if write { "writes" } else { "reads" };
    Err(Refusal::invalid(format!(
        "no {kind} of {} bytes at {:#x} of region {}",
        access.count, access.offset, access.region
    )))
}
