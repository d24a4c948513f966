// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a device is to the rest of this crate: a description, a few handlers,
//! and what it can do on its own: interrupt, DMA, and be called back later.

use std::{
    io,
    thread::{self, JoinHandle},
};

pub use crate::capability::PowerState;
use crate::{
    bar::BarIndex,
    capability::OwnCapability,
    device_panic::PanicWatch,
    dma::Dma,
    hook::Hooks,
    irq::Irqs,
    recorder::{Recorder, RegisterNames},
    spec::{DeviceSpec, Identity},
    timer::{TimerId, Timers},
    vfio_user::IoEventFd,
};

/// What the bus gives a device to act on its own. Cheap to clone, usable from
/// any thread.
#[derive(Debug, Clone)]
pub struct Bus {
    /// The device's interrupts.
    pub irqs: Irqs,
    /// The guest's memory.
    pub dma: Dma,
    /// By which the device is called back.
    pub timers: Timers,
    /// Keeps the last accesses to registers, and what it is [told](Recorder::warn) to
    /// warn of, which fails an `irqbed test`.
    pub recorder: Recorder,
    /// What steps in where the three meet the bus, as a fault; nothing, unless somebody
    /// asked for it.
    pub hooks: Hooks,
    pub(crate) watch: PanicWatch,
}

impl Bus {
    pub(crate) fn new(spec: &DeviceSpec, watch: PanicWatch) -> Self {
        let (hooks, recorder) = (Hooks::default(), Recorder::default());
        Self {
            irqs: Irqs::hooked(spec, hooks.hook.clone()),
            dma: Dma::hooked(hooks.hook.clone(), recorder.clone()),
            timers: Timers::default(),
            recorder,
            hooks,
            watch,
        }
    }

    /// A bus with nothing on it, for a device that is not attached yet: it has
    /// no interrupt and no memory, and no timer goes off.
    #[must_use]
    pub fn detached() -> Self {
        let spec = DeviceSpec::new(Identity::new(0, 0));
        Self::new(&spec, PanicWatch::default())
    }

    /// Starts a thread of the device's own. If it panics, the device ends as if
    /// one of its handlers had; the panic of a thread that was started in another
    /// way is seen by nobody but who joins it.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub fn spawn(
        &self,
        name: &str,
        run: impl FnOnce() + Send + 'static,
    ) -> io::Result<JoinHandle<()>> {
        let (watch, place) = (self.watch.clone(), format!("its thread {name}"));
        let thread = thread::Builder::new().name(name.to_owned());
        thread.spawn(move || {
            watch.run(&place, run);
        })
    }
}

/// Why a device is reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResetKind {
    /// The hypervisor, or software in the guest, reset the function.
    Function,
    /// The hypervisor is gone; no memory is mapped and no interrupt connected.
    Disconnect,
}

/// A PCI function.
///
/// Whoever serves the device calls it from one thread at a time, so that it
/// needs no lock of its own; threads that it starts itself act by what is in
/// [`Bus`]. Offsets and lengths come from the guest: an access lies inside the
/// BAR, but may have any alignment and length. [`crate::registers!`] takes
/// accesses apart into registers.
///
/// The order of calls: [`spec`](Self::spec) and [`doorbells`](Self::doorbells)
/// once each, then [`attach`](Self::attach), all on the thread that serves the
/// device. From then on timers go off. When a hypervisor connects, accesses come;
/// QEMU resets the function before the first of the guest. Before the function
/// loses the guest's memory comes [`quiesce`](Self::quiesce), then
/// [`power`](Self::power) or [`reset`](Self::reset). When the hypervisor leaves,
/// `quiesce` and a `reset` of [`ResetKind::Disconnect`] come; then the device is
/// dropped, or waits for the next one. A panic in any of them, or in a thread
/// started by [`Bus::spawn`], ends the device: [`DevicePanic`](crate::server::DevicePanic).
///
/// # Example
/// A device with one register that counts down and then interrupts:
/// ```
/// use std::time::Duration;
/// use irqbed_pci::{
///     registers, Bar, BarIndex, Bus, DeviceSpec, Identity, IntxPin, PciDevice, Registers,
///     ResetKind, TimerId,
/// };
///
/// registers! {
///     /// The registers of the egg timer.
///     pub enum Register {
///         /// Milliseconds to wait; a write starts the countdown.
///         Wait @ 0x0: u32, ReadWrite;
///         /// Bit 0: the time is over. Ends the interrupt.
///         Over @ 0x4: u32, WriteOneToClear;
///     }
/// }
///
/// struct EggTimer {
///     registers: Registers<Register>,
///     bus: Bus,
/// }
///
/// impl PciDevice for EggTimer {
///     fn spec(&self) -> DeviceSpec {
///         DeviceSpec::new(Identity::new(0x1bed, 0x00e9))
///             .bar(BarIndex::BAR0, Bar::trapped(0x1000))
///             .intx(IntxPin::A)
///     }
///
///     fn attach(&mut self, bus: Bus) {
///         self.bus = bus;
///     }
///
///     fn bar_read(&mut self, _: BarIndex, offset: u64, data: &mut [u8]) {
///         Register::read(offset, data, |register| self.registers.read(register));
///     }
///
///     fn bar_write(&mut self, _: BarIndex, offset: u64, data: &[u8]) {
///         Register::write(offset, data, |write| {
///             let value = self.registers.write(write);
///             match write.register {
///                 Register::Wait => self.bus.timers.start(TimerId(0), Duration::from_millis(value)),
///                 Register::Over if value == 0 => self.bus.irqs.intx().lower(),
///                 Register::Over => {}
///             }
///         });
///     }
///
///     fn timer(&mut self, _: TimerId) {
///         self.registers.set(Register::Over, 1);
///         // Fails only when the hypervisor is gone.
///         let _ = self.bus.irqs.intx().raise();
///     }
///
///     fn reset(&mut self, _: ResetKind) {
///         self.registers.reset();
///     }
/// }
///
/// let device = EggTimer { registers: Registers::new(), bus: Bus::detached() };
/// assert!(device.spec().check().is_ok());
/// let (_server, _for_qemu) = irqbed_pci::serve(device)?;
/// # Ok::<(), irqbed_pci::server::ServeError>(())
/// ```
pub trait PciDevice: Send + 'static {
    /// How the device presents itself. Asked once.
    fn spec(&self) -> DeviceSpec;

    /// Hands the device its interrupts, the guest's memory and its timers,
    /// before any access. They work at once: a timer that is started here goes
    /// off, and is started anew by each reset, as it belongs to the state after
    /// power on; a line that is raised is seen by whoever connects; memory is not
    /// there yet. Devices that only answer ignore it.
    fn attach(&mut self, bus: Bus) {
        drop(bus);
    }

    /// The registers whose writes the hypervisor's kernel may tell to an eventfd
    /// of the device, where it can (KVM's `ioeventfd`). Asked once; a write may
    /// come as a [`PciDevice::bar_write`] all the same.
    fn doorbells(&self) -> Vec<(BarIndex, IoEventFd)> {
        Vec::new()
    }

    /// How its registers are called, for people who read of accesses to them. With
    /// [`crate::registers!`] it is
    /// `|_, offset| Some(format!("{:?}", Register::MAP.at(offset)?))`.
    fn register_names(&self) -> RegisterNames {
        |_, _| None
    }

    /// Reads a trapped part of a BAR. Where nothing is, all ones are read.
    fn bar_read(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        let _ = (bar, offset);
        data.fill(0xff);
    }

    /// Writes a trapped part of a BAR. Where nothing is, the write is lost.
    fn bar_write(&mut self, bar: BarIndex, offset: u64, data: &[u8]) {
        let _ = (bar, offset, data);
    }

    /// Software has written to a capability of which it may change bits. `data`
    /// is all of the capability's data with these bits changed; what the device
    /// makes of it is what is read from then on, until the function is reset.
    /// Called in D3hot, too.
    fn capability_write(&mut self, capability: OwnCapability, data: &mut [u8]) {
        let _ = (capability, data);
    }

    /// A timer has gone off that the device started by [`Bus::timers`].
    fn timer(&mut self, timer: TimerId) {
        let _ = timer;
    }

    /// Software has put the function to sleep, or woken it.
    fn power(&mut self, state: PowerState) {
        let _ = state;
    }

    /// Comes to rest: the function is about to lose the guest's memory, since
    /// software switches bus mastering off, puts the function to sleep or resets
    /// it, or the hypervisor has left. The last moment in which work that is
    /// under way can end whole; what it waits for here, software waits for, too.
    ///
    /// A device need not do anything: when this returns, the accesses of all its
    /// threads end with [`DmaError::Aborted`](crate::DmaError::Aborted), in the
    /// middle if need be, before software hears that it is done. Memory that is
    /// unmapped piece by piece is not told of here.
    fn quiesce(&mut self) {}

    /// Returns to the state after power on. The timers that [`Self::attach`] has
    /// started run anew, and no others.
    fn reset(&mut self, kind: ResetKind) {
        let _ = kind;
    }
}

// Each method must be here: one that is not would be the default for every
// device in a box.
impl PciDevice for Box<dyn PciDevice> {
    fn spec(&self) -> DeviceSpec {
        (**self).spec()
    }

    fn attach(&mut self, bus: Bus) {
        (**self).attach(bus);
    }

    fn doorbells(&self) -> Vec<(BarIndex, IoEventFd)> {
        (**self).doorbells()
    }

    fn register_names(&self) -> RegisterNames {
        (**self).register_names()
    }

    fn bar_read(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        (**self).bar_read(bar, offset, data);
    }

    fn bar_write(&mut self, bar: BarIndex, offset: u64, data: &[u8]) {
        (**self).bar_write(bar, offset, data);
    }

    fn capability_write(&mut self, capability: OwnCapability, data: &mut [u8]) {
        (**self).capability_write(capability, data);
    }

    fn timer(&mut self, timer: TimerId) {
        (**self).timer(timer);
    }

    fn power(&mut self, state: PowerState) {
        (**self).power(state);
    }

    fn quiesce(&mut self) {
        (**self).quiesce();
    }

    fn reset(&mut self, kind: ResetKind) {
        (**self).reset(kind);
    }
}
