// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device as the vfio-user protocol sees it: regions, interrupts and
//! memory. The protocol crate answers errors with errno 0, which a client may
//! take for success, so each is logged here, and what a guest can provoke is
//! answered as hardware would: all ones are read, writes are lost.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, OwnedFd},
};

use vfio_bindings::bindings::vfio::{
    VFIO_PCI_CONFIG_REGION_INDEX, VFIO_PCI_NUM_REGIONS, VFIO_REGION_INFO_FLAG_MMAP,
    VFIO_REGION_INFO_FLAG_READ, VFIO_REGION_INFO_FLAG_WRITE, vfio_region_info,
    vfio_region_sparse_mmap_area,
};
use vfio_user::{DmaMapFlags, DmaUnmapFlags, ServerBackend, ServerRegion, SparseArea};

use super::window::Window;
use crate::{
    bar::{Bar, BarIndex},
    config_space::{CONFIG_SIZE, ConfigSpace},
    device::{Bus, PciDevice, ResetKind},
    dma::{Dma, GuestAddr},
    irq::Irqs,
    spec::{DeviceSpec, SpecError},
};

/// Longest access to a region that is carried out, bytes. The longest that a
/// guest's processor makes is 64.
const MAX_ACCESS: usize = 1 << 20;

/// A device and what surrounds it on its bus.
pub(super) struct Backend {
    device: Box<dyn PciDevice>,
    spec: DeviceSpec,
    /// The memory of the mapped BARs, by number.
    windows: [Option<Window>; BarIndex::COUNT],
    config: ConfigSpace,
    bus: Bus,
}

/// Where an access goes.
enum Target<'a> {
    Config,
    Trapped(BarIndex),
    Mapped(&'a Window),
}

impl Backend {
    pub(super) fn new(mut device: Box<dyn PciDevice>) -> Result<Self, SpecError> {
        let spec = device.spec();
        spec.check()?;
        let windows = windows(&spec)?;
        let bus = Bus {
            irqs: Irqs::new(&spec),
            dma: Dma::new(),
        };
        device.attach(bus.clone());
        Ok(Self {
            device,
            config: ConfigSpace::new(&spec),
            windows,
            spec,
            bus,
        })
    }

    /// The protocol's side of the device, at a listening socket. It holds the
    /// numbers of this device's files and must not outlive it.
    pub(super) fn protocol_server(&self, listener: OwnedFd) -> vfio_user::Server {
        let regions = (0..VFIO_PCI_NUM_REGIONS).map(|index| self.region(index));
        vfio_user::Server::from_owned_fd(listener, true, self.bus.irqs.info(), regions.collect())
    }

    fn region(&self, index: u32) -> ServerRegion {
        let mut region = ServerRegion {
            region_info: vfio_region_info {
                argsz: size_of::<vfio_region_info>() as u32,
                index,
                ..Default::default()
            },
            sparse_areas: Vec::new(),
            mmap_fd: None,
        };
        let size = if index == VFIO_PCI_CONFIG_REGION_INDEX {
            CONFIG_SIZE as u64
        } else {
            self.spec.get_bar(index).map_or(0, |bar| bar.size)
        };
        if size == 0 {
            return region;
        }
        region.region_info.size = size;
        region.region_info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
        let mapping = self
            .spec
            .get_bar(index)
            .and_then(|bar| bar.mapping.as_ref());
        if let Some(mapping) = mapping {
            region.region_info.flags |= VFIO_REGION_INFO_FLAG_MMAP;
            region.mmap_fd = Some(mapping.file.as_raw_fd());
            let areas = mapping.areas.iter().map(|area| SparseArea {
                area: vfio_region_sparse_mmap_area {
                    offset: area.offset,
                    size: area.size,
                },
            });
            region.sparse_areas = areas.collect();
        }
        region
    }

    /// Where an access of `len` bytes goes, if anywhere.
    fn target(&self, region: u32, offset: u64, len: usize) -> Option<Target<'_>> {
        if region == VFIO_PCI_CONFIG_REGION_INDEX {
            return Some(Target::Config);
        }
        let bar: &Bar = self.spec.get_bar(region)?;
        let len = len as u64;
        if offset.checked_add(len)? > bar.size {
            return None;
        }
        let mapping = bar.mapping.as_ref();
        if mapping.is_some_and(|mapping| mapping.areas.iter().any(|area| area.holds(offset, len))) {
            let window = self.windows.get(region as usize)?.as_ref();
            return window.map(Target::Mapped);
        }
        BarIndex::new(region).map(Target::Trapped)
    }

    /// Tells those who depend on it what the configuration space says.
    fn config_changed(&self) -> io::Result<()> {
        self.bus.dma.set_bus_master(self.config.bus_master());
        let mode = self.config.interrupt_mode();
        self.bus.irqs.set_mode(mode).map_err(refuse)
    }

    /// Back to the state after power on; what the client connected stays.
    fn reset_function(&mut self) -> io::Result<()> {
        self.config.reset();
        self.config_changed()?;
        self.bus.irqs.clear_pending();
        self.device.reset(ResetKind::Function);
        Ok(())
    }

    /// The client is gone: back to the state before it came.
    pub(super) fn disconnect(&mut self) {
        self.bus.irqs.disconnect();
        self.bus.dma.disconnect();
        self.config.reset();
        // Nothing is connected that could fail.
        let _ = self.config_changed();
        self.device.reset(ResetKind::Disconnect);
    }
}

fn windows(spec: &DeviceSpec) -> Result<[Option<Window>; BarIndex::COUNT], SpecError> {
    let mut windows = [const { None }; BarIndex::COUNT];
    for (index, (window, bar)) in windows.iter_mut().zip(&spec.bars).enumerate() {
        let Some(bar) = bar else { continue };
        if let Some(mapping) = &bar.mapping {
            let opened = Window::open(mapping, bar.size);
            *window = Some(opened.map_err(|source| SpecError::BadFile { bar: index, source })?);
        }
    }
    Ok(windows)
}

/// Logs an error and makes it one the protocol crate takes.
fn refuse(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    tracing::warn!("refused: {error}");
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

fn too_long(region: u32, len: usize) -> io::Error {
    tracing::warn!("refused: an access of {len} bytes to region {region}");
    io::ErrorKind::InvalidInput.into()
}

impl ServerBackend for Backend {
    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> io::Result<()> {
        if data.len() > MAX_ACCESS {
            return Err(too_long(region, data.len()));
        }
        match self.target(region, offset, data.len()) {
            Some(Target::Config) => self.config.read(offset, data),
            Some(Target::Trapped(bar)) => self.device.bar_read(bar, offset, data),
            Some(Target::Mapped(window)) => window.read(offset, data)?,
            None => data.fill(0xff),
        }
        Ok(())
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.len() > MAX_ACCESS {
            return Err(too_long(region, data.len()));
        }
        match self.target(region, offset, data.len()) {
            Some(Target::Config) => {
                self.config.write(offset, data);
                if self.config.wants_reset() {
                    self.reset_function()?;
                }
                self.config_changed()?;
            }
            Some(Target::Trapped(bar)) => self.device.bar_write(bar, offset, data),
            Some(Target::Mapped(window)) => window.write(offset, data)?,
            None => tracing::debug!("lost: a write to region {region} at {offset:#x}"),
        }
        Ok(())
    }

    fn dma_map(
        &mut self,
        flags: DmaMapFlags,
        offset: u64,
        address: u64,
        size: u64,
        fd: Option<File>,
    ) -> io::Result<()> {
        let file = fd.map(|file| (file, offset));
        let writable = flags.contains(DmaMapFlags::WRITE);
        let map = self.bus.dma.map(GuestAddr(address), size, file, writable);
        map.map_err(refuse)
    }

    fn dma_unmap(&mut self, flags: DmaUnmapFlags, address: u64, size: u64) -> io::Result<()> {
        let unmap = if flags.contains(DmaUnmapFlags::UNMAP_ALL) {
            self.bus.dma.unmap(GuestAddr(0), u64::MAX)
        } else {
            self.bus.dma.unmap(GuestAddr(address), size)
        };
        unmap.map_err(refuse)
    }

    fn reset(&mut self) -> io::Result<()> {
        self.reset_function()
    }

    fn set_irqs(
        &mut self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> io::Result<()> {
        let set = self.bus.irqs.set(index, flags, start, count, fds);
        set.map_err(refuse)
    }
}
