// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The interrupts of a device: one eventfd per vector, given by the
//! hypervisor, written by whichever thread has something to tell. This is
//! where an event leaves the host's userspace.

use std::{
    fs::File,
    io::{ErrorKind, Read, Write},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_AUTOMASKED, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_MASKABLE,
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
    VFIO_PCI_ERR_IRQ_INDEX, VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSI_IRQ_INDEX,
    VFIO_PCI_MSIX_IRQ_INDEX,
};

pub(crate) use self::faulty::{IrqKind, WeakIrqs};
use crate::{
    fault::{Faults, site},
    spec::DeviceSpec,
    vfio_user::IrqInfo,
};

#[path = "irq_faulty.rs"]
mod faulty;

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// The eventfd was written, or INTx is being served already and looked at
    /// again when that is done.
    Sent,
    /// Nobody listens yet, or the vector is masked: it is sent when that ends.
    Pending,
    /// Software does not use this kind of interrupt now: nobody is told.
    Off,
}

/// How software wants to be interrupted, as the configuration space says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InterruptMode {
    /// By MSI-X.
    Msix,
    /// By MSI.
    Msi {
        /// Vectors enabled, a power of two from 1 to 32.
        vectors: u32,
    },
    /// By the line, as after power on.
    #[default]
    Intx,
    /// Not at all: messages are off, and the line is too.
    Off,
}

/// An interrupt that cannot be signalled, or a request about interrupts that
/// makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum IrqError {
    /// The device has no such vector.
    #[error("there is no interrupt vector {vector}: the device has {count}")]
    NoVector {
        /// The vector asked for.
        vector: u32,
        /// How many there are.
        count: usize,
    },
    /// The eventfd did not take the signal.
    #[error("vector {vector}: its eventfd does not take the signal")]
    Eventfd {
        /// The vector.
        vector: u32,
        /// What the system said.
        source: std::io::Error,
    },
    /// What came as an eventfd is none, or cannot be used as one.
    #[error("vector {vector}: what came as its eventfd cannot be used: {source}")]
    NoEventfd {
        /// The vector.
        vector: u32,
        /// What is wrong with it.
        source: std::io::Error,
    },
    /// The hypervisor wants to be told when an interrupt is masked, which is not
    /// supported.
    #[error("SET_IRQS of index {index}: no eventfd is told about masking")]
    NoMaskEvents {
        /// Kind of interrupt, `VFIO_PCI_*_IRQ_INDEX`.
        index: u32,
    },
    /// The hypervisor asked for what does not exist.
    #[error(
        "SET_IRQS of index {index}, flags {flags:#x}, start {start}, count {count} with {fds} file descriptors is not a valid request"
    )]
    BadRequest {
        /// Kind of interrupt, `VFIO_PCI_*_IRQ_INDEX`.
        index: u32,
        /// `VFIO_IRQ_SET_*` bits.
        flags: u32,
        /// First vector.
        start: u32,
        /// Number of vectors.
        count: u32,
        /// File descriptors that came along.
        fds: usize,
    },
}

/// One interrupt line or message.
#[derive(Debug, Default)]
struct Line {
    eventfd: Option<File>,
    masked: bool,
    /// An edge that waits to be sent; of a level interrupt, that it is
    /// asserted.
    pending: bool,
    /// A level interrupt: masks itself when it fires, until it is unmasked, and
    /// fires again if it is still asserted soon after.
    level: bool,
    /// Unmasked while it was asserted: fires again when that [settles](Irqs::settle).
    due: bool,
    /// Masked by itself when it fired, and not touched by the hypervisor since.
    fired: bool,
    /// Switched off in the configuration space.
    off: bool,
}

impl Line {
    fn signal(&mut self, vector: u32) -> Result<Signalled, IrqError> {
        self.pending = true;
        let mut eventfd = match self.eventfd.as_ref().filter(|_| !self.off) {
            Some(_) if self.due || self.masked && self.level => return Ok(Signalled::Sent),
            Some(eventfd) if !self.masked => eventfd,
            _ => return Ok(Signalled::Pending),
        };
        match eventfd.write(&1_u64.to_ne_bytes()) {
            Ok(_) => {}
            // The count is at its limit: the interrupt is as pending as it
            // can be.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(source) => return Err(IrqError::Eventfd { vector, source }),
        }
        self.pending = self.level;
        self.masked = self.level;
        self.fired = self.level;
        Ok(Signalled::Sent)
    }

    /// The hypervisor tries an interrupt out: that asserts no level.
    fn trigger(&mut self, vector: u32) -> Result<(), IrqError> {
        let asserted = self.pending;
        if self.eventfd.is_some() {
            self.signal(vector)?;
        }
        if self.level {
            self.pending = asserted;
            self.fired = false;
        }
        Ok(())
    }

    fn signal_if_pending(&mut self, vector: u32) -> Result<(), IrqError> {
        self.due = false;
        if self.pending {
            self.signal(vector)?;
        }
        Ok(())
    }

    /// No longer pending, or asserted. The hypervisor hears nothing any more of a
    /// level that it has not heard of yet: it would assert a line that is down,
    /// and nobody would tell it, as the guest is done with the device.
    fn clear(&mut self) {
        self.pending = false;
        self.due = false;
        let mut eventfd = self.eventfd.as_ref().filter(|_| self.fired);
        let unheard = eventfd.as_mut().map(|eventfd| eventfd.read(&mut [0; 8]));
        if matches!(unheard, Some(Ok(_))) {
            self.masked = false;
        }
        self.fired = false;
    }

    /// A level stays asserted: whoever connects next is told.
    fn disconnect(&mut self) {
        *self = Self {
            pending: self.level && self.pending,
            level: self.level,
            off: self.off,
            ..Self::default()
        };
    }
}

/// The interrupts of one device. Clones speak of the same interrupts.
#[derive(Debug, Clone)]
pub struct Irqs {
    /// Each line has its own lock, held for one write at most.
    lines: Arc<Lines>,
}

#[derive(Debug)]
struct Lines {
    mode: Mutex<InterruptMode>,
    intx: Vec<Mutex<Line>>,
    msi: Vec<Mutex<Line>>,
    msix: Vec<Mutex<Line>>,
    /// By which a device would report its own end. None does, but QEMU warns
    /// about a device that could not.
    error: [Mutex<Line>; 1],
    /// Whether a line may be due.
    unsettled: AtomicBool,
    faults: Faults,
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = &Mutex<Line>> {
        let messages = self.msi.iter().chain(&self.msix);
        self.intx.iter().chain(messages).chain(&self.error)
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Irqs {
    /// The interrupts of a device, connected to nothing.
    #[must_use]
    pub fn new(spec: &DeviceSpec) -> Self {
        Self::with_faults(spec, Faults::default())
    }

    pub(crate) fn with_faults(spec: &DeviceSpec, faults: Faults) -> Self {
        let edges = |vectors| (0..vectors).map(|_| Mutex::default()).collect();
        let level = || Line {
            level: true,
            ..Line::default()
        };
        Self {
            lines: Arc::new(Lines {
                mode: Mutex::default(),
                intx: spec.intx.iter().map(|_| Mutex::new(level())).collect(),
                msi: edges(spec.msi.map_or(0, |msi| msi.vectors)),
                msix: edges(spec.msix.map_or(0, |msix| msix.vectors)),
                error: Default::default(),
                unsettled: AtomicBool::new(false),
                faults,
            }),
        }
    }

    /// How software wants to be interrupted.
    #[must_use]
    pub fn mode(&self) -> InterruptMode {
        *lock(&self.lines.mode)
    }

    /// Takes note of how software wants to be interrupted. A line that is
    /// switched on again while it is asserted fires.
    ///
    /// # Errors
    /// When the eventfd of INTx is no longer one.
    pub(crate) fn set_mode(&self, mode: InterruptMode) -> Result<(), IrqError> {
        *lock(&self.lines.mode) = mode;
        for line in &self.lines.intx {
            let mut line = lock(line);
            line.off = mode != InterruptMode::Intx;
            line.signal_if_pending(0)?;
        }
        Ok(())
    }

    /// Signals an MSI-X vector.
    ///
    /// # Errors
    /// When there is no such vector, or its eventfd is no longer one.
    pub fn signal_msix(&self, vector: u32) -> Result<Signalled, IrqError> {
        self.signal(IrqKind::Msix, vector)
    }

    /// Signals an MSI vector.
    ///
    /// # Errors
    /// When there is no such vector, or its eventfd is no longer one.
    pub fn signal_msi(&self, vector: u32) -> Result<Signalled, IrqError> {
        self.signal(IrqKind::Msi, vector)
    }

    /// Asserts INTx, until [`Irqs::deassert_intx`]. It fires and masks itself;
    /// whenever the hypervisor thinks that the guest has served it, it unmasks
    /// it, and the line fires again if it is still asserted when the guest has
    /// written to the device, or a moment later.
    ///
    /// # Errors
    /// When the device has no INTx, or its eventfd is no longer one.
    pub fn assert_intx(&self) -> Result<Signalled, IrqError> {
        self.signal(IrqKind::Intx, 0)
    }

    /// Ends [`Irqs::assert_intx`]; nothing where there is no INTx.
    pub fn deassert_intx(&self) {
        if self.lines.faults.has(site::LATE) {
            self.lines.faults.line_ends();
        }
        for line in &self.lines.intx {
            lock(line).clear();
        }
    }

    /// Whether a line was unmasked while it was asserted. QEMU takes a guest's
    /// first access to a BAR for the end of the service, and that is a look at
    /// the status, as a rule: what ends the interrupt comes behind it.
    pub(crate) fn is_unsettled(&self) -> bool {
        self.lines.unsettled.load(Ordering::Relaxed)
    }

    /// Fires what is still asserted: the guest has had its chance.
    ///
    /// # Errors
    /// When the eventfd of INTx is no longer one.
    pub(crate) fn settle(&self) -> Result<(), IrqError> {
        self.lines.unsettled.store(false, Ordering::Relaxed);
        for line in &self.lines.intx {
            let mut line = lock(line);
            if line.due {
                line.signal_if_pending(0)?;
            }
        }
        Ok(())
    }

    /// Whether there is such a vector of MSI-X.
    pub(crate) fn has_msix(&self, vector: u32) -> Result<(), IrqError> {
        Self::line(&self.lines.msix, vector).map(drop)
    }

    /// Whether there is such a vector of MSI.
    pub(crate) fn has_msi(&self, vector: u32) -> Result<(), IrqError> {
        Self::line(&self.lines.msi, vector).map(drop)
    }

    /// Byte `index` of the pending bits of MSI-X.
    pub(crate) fn pending_msix(&self, index: u32) -> u8 {
        let first = (index as usize).saturating_mul(8);
        let lines = self.lines.msix.iter().skip(first).take(8).enumerate();
        lines.fold(0, |bits, (bit, line)| {
            bits | u8::from(lock(line).pending) << bit
        })
    }

    fn line(lines: &[Mutex<Line>], vector: u32) -> Result<&Mutex<Line>, IrqError> {
        lines.get(vector as usize).ok_or(IrqError::NoVector {
            vector,
            count: lines.len(),
        })
    }

    fn signal(&self, kind: IrqKind, vector: u32) -> Result<Signalled, IrqError> {
        if self.lines.faults.has(site::INTERRUPT | site::REMOVED) {
            return self.signal_faulty(kind, vector);
        }
        self.deliver(kind, vector)
    }

    /// Forgets every eventfd and everything pending.
    pub fn disconnect(&self) {
        for line in self.lines.iter() {
            lock(line).disconnect();
        }
    }

    /// Forgets what is pending, as a reset does.
    pub fn clear_pending(&self) {
        for line in self.lines.iter() {
            lock(line).clear();
        }
    }

    fn of_index(&self, index: u32) -> &[Mutex<Line>] {
        match index {
            VFIO_PCI_INTX_IRQ_INDEX => &self.lines.intx,
            VFIO_PCI_MSI_IRQ_INDEX => &self.lines.msi,
            VFIO_PCI_MSIX_IRQ_INDEX => &self.lines.msix,
            VFIO_PCI_ERR_IRQ_INDEX => &self.lines.error,
            _ => &[],
        }
    }

    /// What the hypervisor is told about a kind of interrupt: INTx, MSI, MSI-X,
    /// error and request; of requests there are none.
    #[must_use]
    pub fn info(&self, index: u32) -> IrqInfo {
        IrqInfo {
            index,
            flags: match index {
                VFIO_PCI_INTX_IRQ_INDEX => {
                    VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
                }
                // Without NORESIZE, the hypervisor may add vectors one by one
                // and need not switch all of them off to do so.
                _ => VFIO_IRQ_INFO_EVENTFD,
            },
            count: self.of_index(index).len() as u32,
        }
    }

    /// Carries out a SET_IRQS request (`struct vfio_irq_set` in
    /// `linux/vfio.h`): eventfds for a range of vectors, none of them to
    /// disconnect the range; a count of 0 without data disconnects all.
    ///
    /// # Errors
    /// When the request is no valid one.
    pub fn set(
        &self,
        index: u32,
        flags: u32,
        start: u32,
        count: u32,
        fds: Vec<File>,
    ) -> Result<(), IrqError> {
        let bad_request = IrqError::BadRequest {
            index,
            flags,
            start,
            count,
            fds: fds.len(),
        };
        let all = self.of_index(index);
        let Some(lines) = range(all, start, count) else {
            return Err(bad_request);
        };
        let numbered = || (start..).zip(lines);
        match (flags & DATA, flags & !DATA) {
            (NONE, TRIGGER) if count == 0 && fds.is_empty() => {
                for line in all {
                    lock(line).disconnect();
                }
            }
            (NONE, action) if fds.is_empty() => {
                let action = Action::new(action).ok_or(bad_request)?;
                for (vector, line) in numbered() {
                    self.act(action, line, vector)?;
                }
            }
            (EVENTFD, TRIGGER) if fds.is_empty() => {
                for line in lines {
                    lock(line).eventfd = None;
                }
            }
            (EVENTFD, TRIGGER) if fds.len() == lines.len() => {
                for (vector, eventfd) in (start..).zip(&fds) {
                    never_waits(eventfd)
                        .map_err(|source| IrqError::NoEventfd { vector, source })?;
                }
                for ((vector, line), eventfd) in numbered().zip(fds) {
                    let mut line = lock(line);
                    line.eventfd = Some(eventfd);
                    line.signal_if_pending(vector)?;
                }
            }
            (EVENTFD, MASK | UNMASK) => return Err(IrqError::NoMaskEvents { index }),
            _ => return Err(bad_request),
        }
        Ok(())
    }

    /// Carries out a SET_IRQS request that says by a byte for each vector from
    /// `start` on whether it is meant.
    ///
    /// # Errors
    /// When the request is no valid one.
    pub fn set_where(
        &self,
        index: u32,
        flags: u32,
        start: u32,
        bools: &[u8],
    ) -> Result<(), IrqError> {
        let count = u32::try_from(bools.len()).unwrap_or(u32::MAX);
        let bad_request = IrqError::BadRequest {
            index,
            flags,
            start,
            count,
            fds: 0,
        };
        let lines = range(self.of_index(index), start, count);
        let action = Action::new(flags & !DATA).filter(|_| flags & DATA == BOOL);
        let (Some(lines), Some(action)) = (lines, action) else {
            return Err(bad_request);
        };
        let meant = (start..)
            .zip(lines)
            .zip(bools)
            .filter(|(_, meant)| **meant != 0);
        for ((vector, line), _) in meant {
            self.act(action, line, vector)?;
        }
        Ok(())
    }

    fn act(&self, action: Action, line: &Mutex<Line>, vector: u32) -> Result<(), IrqError> {
        let mut line = lock(line);
        match action {
            Action::Trigger => line.trigger(vector),
            Action::Mask => {
                line.masked = true;
                line.due = false;
                line.fired = false;
                Ok(())
            }
            Action::Unmask => {
                line.masked = false;
                line.fired = false;
                if line.level && line.pending {
                    line.due = true;
                    self.lines.unsettled.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                line.signal_if_pending(vector)
            }
        }
    }
}

const NONE: u32 = VFIO_IRQ_SET_DATA_NONE;
const BOOL: u32 = VFIO_IRQ_SET_DATA_BOOL;
const EVENTFD: u32 = VFIO_IRQ_SET_DATA_EVENTFD;
const DATA: u32 = NONE | BOOL | EVENTFD;
const TRIGGER: u32 = VFIO_IRQ_SET_ACTION_TRIGGER;
const MASK: u32 = VFIO_IRQ_SET_ACTION_MASK;
const UNMASK: u32 = VFIO_IRQ_SET_ACTION_UNMASK;

/// What the hypervisor does to a vector.
#[derive(Debug, Clone, Copy)]
enum Action {
    Trigger,
    Mask,
    Unmask,
}

impl Action {
    const fn new(flags: u32) -> Option<Self> {
        match flags {
            TRIGGER => Some(Self::Trigger),
            MASK => Some(Self::Mask),
            UNMASK => Some(Self::Unmask),
            _ => None,
        }
    }
}

fn range(all: &[Mutex<Line>], start: u32, count: u32) -> Option<&[Mutex<Line>]> {
    let start = start as usize;
    all.get(start..start.saturating_add(count as usize))
}

/// Takes an eventfd only, and makes sure that a signal does not wait for whoever
/// should read it: QEMU's are made so, another client's may not be.
fn never_waits(eventfd: &File) -> std::io::Result<()> {
    // An eventfd is an anonymous inode, which has no type.
    if FileType::from_raw_mode(fstat(eventfd)?.st_mode) != FileType::Unknown {
        return Err(ErrorKind::InvalidInput.into());
    }
    let flags = fcntl_getfl(eventfd)?;
    if !flags.contains(OFlags::NONBLOCK) {
        fcntl_setfl(eventfd, flags | OFlags::NONBLOCK)?;
    }
    Ok(())
}

#[cfg(test)]
#[path = "irq_tests.rs"]
mod tests;
