// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device as the vfio-user protocol sees it: regions, interrupts and
//! memory.

use std::{fs::File, sync::Arc};

use rustix::io::Errno;
use vfio_bindings::bindings::vfio::VFIO_PCI_CONFIG_REGION_INDEX;

use super::ServeError;
use crate::{
    attached::Attached,
    bar::{Bar, BarIndex},
    config_space::ConfigSpace,
    device::{Bus, PciDevice, PowerState, ResetKind},
    device_panic::{DevicePanic, PanicWatch},
    dma::{GuestAddr, MapError, max_maps},
    hook::{Hooks, site},
    irq::IrqError,
    recorder::Recorder,
    spec::{DeviceSpec, SpecError},
    vfio_user::{
        Access, Backend, DmaMessages, IoEventFd, IrqInfo, Refusal, Region,
        request::{MapRequest, SetIrqs},
    },
    window::Window,
};

/// A device and what surrounds it on its bus: configuration space, interrupts
/// and memory. A [`Dispatcher`](crate::vfio_user::Dispatcher) reaches it without
/// a socket, too.
///
/// # Example
/// ```
/// use irqbed_pci::{DeviceSpec, Identity, PciDevice, server::Function, vfio_user::Backend};
///
/// struct Card;
///
/// impl PciDevice for Card {
///     fn spec(&self) -> DeviceSpec {
///         DeviceSpec::new(Identity::new(0x1bed, 1))
///     }
/// }
///
/// let mut function = Function::new(Box::new(Card))?;
/// let mut vendor = [0; 2];
/// function.region_read(7, 0, &mut vendor)?; // the configuration space
/// assert_eq!(u16::from_le_bytes(vendor), 0x1bed);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Function {
    device: Attached,
    spec: DeviceSpec,
    /// The memory of the mapped BARs, by number.
    windows: [Option<Arc<Window>>; BarIndex::COUNT],
    /// The doorbells of each BAR.
    doorbells: [Vec<IoEventFd>; BarIndex::COUNT],
    config: ConfigSpace,
    bus: Bus,
    /// Whether the guest's last access was a read.
    looked: bool,
}

/// Where an access goes.
enum Target<'a> {
    Config,
    Trapped(BarIndex),
    Mapped(&'a Window),
}

impl Function {
    /// A device after power on, to which nothing is connected.
    ///
    /// # Errors
    /// When the device describes itself as something impossible, or panics.
    pub fn new(device: Box<dyn PciDevice>) -> Result<Self, ServeError> {
        Self::watched(device, &PanicWatch::default())
    }

    /// The same, with somebody who takes note of panics.
    pub(super) fn watched(
        device: Box<dyn PciDevice>,
        watch: &PanicWatch,
    ) -> Result<Self, ServeError> {
        let spec = watch.run("spec()", || device.spec());
        let spec = spec.ok_or_else(|| panicked(watch))?;
        watch.identify(&spec.identity);
        let config = ConfigSpace::new(&spec)?;
        let windows = windows(&spec)?;
        let mut doorbells = [const { Vec::new() }; BarIndex::COUNT];
        let of_device = watch.run("doorbells()", || device.doorbells());
        for (bar, doorbell) in of_device.ok_or_else(|| panicked(watch))? {
            if let Some(of_bar) = doorbells.get_mut(bar.get() as usize) {
                of_bar.push(doorbell);
            }
        }
        let names = device.register_names();
        let device = Attached::new(device, &spec, watch.clone());
        if watch.panic().is_some() {
            return Err(panicked(watch));
        }
        device.bus().recorder.name_by(names);
        let hooked = device.bus().hooks.function();
        hooked.set_windows(windows.iter().flatten());
        Ok(Self {
            bus: device.bus().clone(),
            device,
            config,
            windows,
            doorbells,
            spec,
            looked: false,
        })
    }

    /// How the function presents itself.
    #[must_use]
    pub const fn spec(&self) -> &DeviceSpec {
        &self.spec
    }

    /// Where somebody may step in between the function and its bus.
    #[must_use]
    pub const fn hooks(&self) -> &Hooks {
        &self.bus.hooks
    }

    /// What happened at the function last.
    #[must_use]
    pub fn recorder(&self) -> Recorder {
        self.bus.recorder.clone()
    }

    /// Whether a line fires again unless the guest ends that in a moment.
    pub(super) fn is_unsettled(&self) -> bool {
        self.bus.irqs.is_unsettled()
    }

    /// The moment is over, if there was one.
    pub(super) fn settle(&self) {
        if !self.is_unsettled() {
            return;
        }
        if let Err(error) = self.bus.irqs.settle() {
            tracing::error!("{error}");
        }
    }

    /// How memory without a file is reached from now on.
    pub(super) fn set_messages(&self, messages: DmaMessages) {
        self.bus.dma.set_messages(messages);
    }

    /// Where an access goes that lies inside its region.
    fn target(&self, region: u32, offset: u64, len: usize) -> Option<Target<'_>> {
        if region == VFIO_PCI_CONFIG_REGION_INDEX {
            return Some(Target::Config);
        }
        let bar: &Bar = self.spec.get_bar(region)?;
        if self.config.power_state() == PowerState::D3hot {
            return None;
        }
        let len = len as u64;
        let mapping = bar.mapping.as_ref();
        if mapping.is_some_and(|mapping| mapping.areas.iter().any(|area| area.holds(offset, len))) {
            let window = self.windows.get(region as usize)?.as_deref();
            return window.map(Target::Mapped);
        }
        BarIndex::new(region).map(Target::Trapped)
    }

    /// Tells those who depend on it what the configuration space says. When this
    /// returns, nothing that it forbids is under way.
    fn config_changed(&mut self) -> Result<(), Refusal> {
        let masters = self.config.bus_master();
        if !masters {
            self.device.quiesce();
        }
        self.bus.dma.set_bus_master(masters);
        self.device.power(self.config.power_state());
        let mode = self.config.interrupt_mode();
        let masked = self.config.msix_masked();
        self.bus.irqs.set_mode(mode, masked).map_err(no_irq)
    }

    /// Back to the state after power on; what the client connected stays.
    fn reset_function(&mut self) -> Result<(), Refusal> {
        self.device.quiesce();
        self.bus.dma.reset();
        self.bus.hooks.forget_late();
        self.config.reset();
        self.config_changed()?;
        self.bus.irqs.clear_pending();
        self.device.reset(ResetKind::Function);
        Ok(())
    }

    fn read_unhooked(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        match self.target(region, offset, data.len()) {
            Some(Target::Config) => {
                let asserted = self.bus.irqs.is_intx_asserted();
                self.config.set_interrupt_status(asserted);
                self.config.read(offset, data);
            }
            Some(Target::Trapped(bar)) => self.device.bar_read(bar, offset, data),
            Some(Target::Mapped(window)) => window.read(offset, data).map_err(no_memory)?,
            None => data.fill(0xff),
        }
        Ok(())
    }

    fn write_unhooked(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        match self.target(region, offset, data.len()) {
            Some(Target::Config) => {
                self.config.write(offset, data);
                if self.config.wants_reset() {
                    self.reset_function()?;
                } else {
                    let Self { config, device, .. } = self;
                    config.each_written(offset, data.len(), |capability, data| {
                        device.capability_write(capability, data);
                    });
                }
                self.config_changed()?;
            }
            Some(Target::Trapped(bar)) => self.device.bar_write(bar, offset, data),
            Some(Target::Mapped(window)) => window.write(offset, data).map_err(no_memory)?,
            None => tracing::debug!("lost: a write to region {region} at {offset:#x}"),
        }
        Ok(())
    }

    /// What a hook has left to do, if it is of the function as a whole.
    fn finish_reset(&mut self) -> Result<(), Refusal> {
        if self.bus.hooks.takes_reset() {
            self.config.reset();
            self.config_changed()?;
        }
        Ok(())
    }

    #[cold]
    fn read_hooked(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        self.finish_reset()?;
        let hooks = self.bus.hooks.clone();
        let bar = BarIndex::new(region);
        let ones = match bar {
            Some(bar) => hooks.reads_ones(bar, offset, data.len()),
            None => hooks.function().is_removed(),
        };
        if ones {
            data.fill(0xff);
            return Ok(());
        }
        self.read_unhooked(region, offset, data)?;
        if let Some(bar) = bar.filter(|_| hooks.has(site::READ)) {
            hooks.answer(bar, offset, data);
        }
        Ok(())
    }

    #[cold]
    fn loses_write(&mut self, region: u32) -> Result<bool, Refusal> {
        self.finish_reset()?;
        let hooks = &self.bus.hooks;
        Ok(match BarIndex::new(region) {
            Some(_) => hooks.loses_write(),
            None => hooks.function().is_removed(),
        })
    }

    /// The panic of the device, if there was one: it does not answer any more.
    pub(super) fn panic(&self) -> Option<&DevicePanic> {
        self.bus.watch.panic()
    }

    /// Ends the device: it is dropped, and nothing of it is under way any more. Its
    /// mapped memory reads all ones where it has panicked.
    pub(super) fn retire(&self) {
        self.disconnect();
        self.device.retire();
        if self.panic().is_some() {
            for window in self.windows.iter().flatten() {
                window.fill(0xff);
            }
        }
    }

    fn still_there(&self) -> Result<(), Refusal> {
        match self.panic() {
            None => Ok(()),
            Some(panic) => Err(Refusal::new(Errno::NODEV, panic.to_string())),
        }
    }

    /// The client is gone, and all that it has connected.
    pub(super) fn disconnect(&self) {
        self.bus.irqs.disconnect();
        self.bus.dma.disconnect();
        self.bus.hooks.forget_late();
    }

    /// The client is gone. The device goes back to the state before it came, or
    /// is kept as it is.
    pub(super) fn client_left(&mut self, keep: bool) {
        self.device.quiesce();
        self.disconnect();
        if !keep {
            self.config.reset();
            self.device.reset(ResetKind::Disconnect);
        }
        // Nothing is connected that could fail.
        let _ = self.config_changed();
    }
}

/// Why a device that has panicked is not served.
fn panicked(watch: &PanicWatch) -> ServeError {
    let unknown = || DevicePanic {
        ids: None,
        place: "the library".into(),
        message: "no message".into(),
    };
    ServeError::Panicked(watch.panic().cloned().unwrap_or_else(unknown))
}

fn windows(spec: &DeviceSpec) -> Result<[Option<Arc<Window>>; BarIndex::COUNT], SpecError> {
    let mut windows = [const { None }; BarIndex::COUNT];
    for (index, (window, bar)) in windows.iter_mut().zip(&spec.bars).enumerate() {
        let Some(bar) = bar else { continue };
        if let Some(mapping) = &bar.mapping {
            let opened = Window::open(mapping, bar.size);
            let opened = opened.map_err(|source| SpecError::BadFile { bar: index, source })?;
            *window = Some(Arc::new(opened));
        }
    }
    Ok(windows)
}

impl Backend for Function {
    fn region(&self, index: u32) -> Option<Region<'_>> {
        let access = Access::READ_WRITE;
        if index == VFIO_PCI_CONFIG_REGION_INDEX {
            return Some(Region {
                size: self.config.size() as u64,
                access,
                mapping: None,
            });
        }
        let bar = self.spec.get_bar(index)?;
        let mapping = bar.mapping.as_ref();
        Some(Region {
            size: bar.size,
            access,
            mapping: mapping.map(|mapping| (&mapping.file, mapping.areas.as_slice())),
        })
    }

    fn io_event_fds(&self, region: u32) -> &[IoEventFd] {
        let of_region = self.doorbells.get(region as usize);
        of_region.map_or(&[], Vec::as_slice)
    }

    fn region_read(&mut self, region: u32, offset: u64, data: &mut [u8]) -> Result<(), Refusal> {
        self.looked = true;
        let bar = BarIndex::new(region);
        if let Some(bar) = bar {
            self.bus.recorder.read(bar, offset, data.len());
        }
        if self.bus.hooks.any() {
            self.read_hooked(region, offset, data)?;
        } else {
            self.read_unhooked(region, offset, data)?;
        }
        if bar.is_some() {
            self.bus.recorder.answered(data);
        }
        self.still_there()
    }

    fn region_write(&mut self, region: u32, offset: u64, data: &[u8]) -> Result<(), Refusal> {
        if let Some(bar) = BarIndex::new(region) {
            self.bus.recorder.write(bar, offset, data);
        }
        if self.bus.hooks.any() && self.loses_write(region)? {
            tracing::debug!("lost: a write to region {region} at {offset:#x}");
            return Ok(());
        }
        self.write_unhooked(region, offset, data)?;
        self.looked = false;
        self.settle();
        self.still_there()
    }

    fn irq_info(&self, index: u32) -> IrqInfo {
        self.bus.irqs.info(index)
    }

    fn set_irqs(&mut self, set: SetIrqs<'_>, fds: Vec<File>) -> Result<(), Refusal> {
        let irqs = &self.bus.irqs;
        match set.bools {
            Some(bools) if fds.is_empty() => irqs.set_where(set.index, set.flags, set.start, bools),
            Some(_) => return Err(Refusal::invalid("SetIrqs: eventfds and booleans")),
            None => irqs.set(set.index, set.flags, set.start, set.count, fds),
        }
        .map_err(no_irq)?;
        // Whoever unmasks a line behind a write knows what was written.
        if !self.looked {
            self.settle();
        }
        Ok(())
    }

    fn max_dma_maps(&self) -> u64 {
        max_maps()
    }

    fn dma_map(&mut self, map: &MapRequest, file: Option<File>) -> Result<(), Refusal> {
        let file = file.map(|file| (file, map.offset));
        let address = GuestAddr(map.address);
        let mapped = self.bus.dma.map(address, map.size, file, map.writable);
        mapped.map_err(no_map)
    }

    fn dma_unmap(&mut self, range: Option<(u64, u64)>) -> Result<(), Refusal> {
        let Some((address, size)) = range else {
            self.bus.dma.unmap_all();
            return Ok(());
        };
        let unmapped = self.bus.dma.unmap(GuestAddr(address), size);
        unmapped.map_err(no_map)
    }

    fn reset(&mut self) -> Result<(), Refusal> {
        self.reset_function()?;
        self.still_there()
    }
}

fn no_memory(error: std::io::Error) -> Refusal {
    Refusal::new(Errno::IO, format!("the memory of a BAR: {error}"))
}

fn no_irq(error: IrqError) -> Refusal {
    let errno = match &error {
        IrqError::NoVector { .. } | IrqError::BadRequest { .. } | IrqError::NoEventfd { .. } => {
            Errno::INVAL
        }
        IrqError::NoMaskEvents { .. } => Errno::OPNOTSUPP,
        IrqError::Eventfd { .. } => Errno::IO,
    };
    Refusal::new(errno, error.to_string())
}

fn no_map(error: MapError) -> Refusal {
    let errno = match &error {
        MapError::Overlap { .. } => Errno::EXIST,
        MapError::TooMany { .. } => Errno::NOSPC,
        MapError::BadRange { .. } | MapError::Split { .. } | MapError::File { .. } => Errno::INVAL,
    };
    Refusal::new(errno, error.to_string())
}
