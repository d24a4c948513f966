// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The interrupts of a device: one eventfd per vector, given by the
//! hypervisor, written by whichever thread has something to tell. This is
//! where an event leaves the host's userspace.

use std::{
    fs::File,
    io::{ErrorKind, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_INFO_AUTOMASKED, VFIO_IRQ_INFO_EVENTFD, VFIO_IRQ_INFO_MASKABLE,
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE, VFIO_PCI_ERR_IRQ_INDEX,
    VFIO_PCI_INTX_IRQ_INDEX, VFIO_PCI_MSIX_IRQ_INDEX, VFIO_PCI_NUM_IRQS,
};
use vfio_user::IrqInfo;

use crate::spec::DeviceSpec;

/// What became of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signalled {
    /// The eventfd was written.
    Sent,
    /// Nobody listens yet, or the line is masked: it is sent when that ends.
    Pending,
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
    pending: bool,
    /// A level interrupt: masks itself when it fires, until it is unmasked.
    level: bool,
}

impl Line {
    fn signal(&mut self, vector: u32) -> Result<Signalled, IrqError> {
        let Some(mut eventfd) = self.eventfd.as_ref().filter(|_| !self.masked) else {
            self.pending = true;
            return Ok(Signalled::Pending);
        };
        match eventfd.write(&1_u64.to_ne_bytes()) {
            Ok(_) => {}
            // The count is at its limit: the interrupt is as pending as it
            // can be.
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(source) => return Err(IrqError::Eventfd { vector, source }),
        }
        self.pending = false;
        self.masked = self.level;
        Ok(Signalled::Sent)
    }

    fn signal_if_pending(&mut self, vector: u32) -> Result<(), IrqError> {
        if self.pending {
            self.signal(vector)?;
        }
        Ok(())
    }

    fn disconnect(&mut self) {
        *self = Self {
            level: self.level,
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
    intx: Vec<Mutex<Line>>,
    msix: Vec<Mutex<Line>>,
    /// By which a device would report its own end. None does, but QEMU warns
    /// about a device that could not.
    error: [Mutex<Line>; 1],
}

impl Lines {
    fn iter(&self) -> impl Iterator<Item = &Mutex<Line>> {
        self.intx.iter().chain(&self.msix).chain(&self.error)
    }
}

fn lock(line: &Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Irqs {
    /// The interrupts of a device, connected to nothing.
    #[must_use]
    pub fn new(spec: &DeviceSpec) -> Self {
        let vectors = spec.msix.map_or(0, |msix| msix.vectors);
        let level = || Line {
            level: true,
            ..Line::default()
        };
        Self {
            lines: Arc::new(Lines {
                intx: spec.intx.iter().map(|_| Mutex::new(level())).collect(),
                msix: (0..vectors).map(|_| Mutex::default()).collect(),
                error: Default::default(),
            }),
        }
    }

    /// Signals an MSI-X vector.
    ///
    /// # Errors
    /// When there is no such vector, or its eventfd is no longer one.
    pub fn signal_msix(&self, vector: u32) -> Result<Signalled, IrqError> {
        Self::signal(&self.lines.msix, vector)
    }

    /// Asserts INTx. The line masks itself; when the guest's handler is done
    /// the hypervisor unmasks it, and a signal of meanwhile is sent.
    ///
    /// # Errors
    /// When the device has no INTx, or its eventfd is no longer one.
    pub fn signal_intx(&self) -> Result<Signalled, IrqError> {
        Self::signal(&self.lines.intx, 0)
    }

    fn signal(lines: &[Mutex<Line>], vector: u32) -> Result<Signalled, IrqError> {
        match lines.get(vector as usize) {
            Some(line) => lock(line).signal(vector),
            None => Err(IrqError::NoVector {
                vector,
                count: lines.len(),
            }),
        }
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
            lock(line).pending = false;
        }
    }

    fn of_index(&self, index: u32) -> &[Mutex<Line>] {
        match index {
            VFIO_PCI_INTX_IRQ_INDEX => &self.lines.intx,
            VFIO_PCI_MSIX_IRQ_INDEX => &self.lines.msix,
            VFIO_PCI_ERR_IRQ_INDEX => &self.lines.error,
            _ => &[],
        }
    }

    /// What the hypervisor is told about each kind of interrupt: INTx, MSI,
    /// MSI-X, error and request; of MSI and request there are none.
    #[must_use]
    pub fn info(&self) -> Vec<IrqInfo> {
        (0..VFIO_PCI_NUM_IRQS)
            .map(|index| IrqInfo {
                index,
                flags: match index {
                    VFIO_PCI_INTX_IRQ_INDEX => {
                        VFIO_IRQ_INFO_EVENTFD | VFIO_IRQ_INFO_MASKABLE | VFIO_IRQ_INFO_AUTOMASKED
                    }
                    // Without NORESIZE, the hypervisor may add vectors one by
                    // one and need not switch all of them off to do so.
                    _ => VFIO_IRQ_INFO_EVENTFD,
                },
                count: self.of_index(index).len() as u32,
            })
            .collect()
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
        let range = (start as usize)..(start as usize).saturating_add(count as usize);
        let Some(lines) = all.get(range) else {
            return Err(bad_request);
        };
        let numbered = || (start..).zip(lines);
        const NONE: u32 = VFIO_IRQ_SET_DATA_NONE;
        const EVENTFD: u32 = VFIO_IRQ_SET_DATA_EVENTFD;
        const TRIGGER: u32 = VFIO_IRQ_SET_ACTION_TRIGGER;
        const MASK: u32 = VFIO_IRQ_SET_ACTION_MASK;
        const UNMASK: u32 = VFIO_IRQ_SET_ACTION_UNMASK;
        match (flags & (NONE | EVENTFD), flags & !(NONE | EVENTFD)) {
            (NONE, TRIGGER) if count == 0 => {
                for line in all {
                    lock(line).disconnect();
                }
            }
            (NONE, TRIGGER) => {
                for (vector, line) in numbered() {
                    let mut line = lock(line);
                    if line.eventfd.is_some() {
                        line.signal(vector)?;
                    }
                }
            }
            (NONE, MASK) => {
                for line in lines {
                    lock(line).masked = true;
                }
            }
            (NONE, UNMASK) => {
                for (vector, line) in numbered() {
                    let mut line = lock(line);
                    line.masked = false;
                    line.signal_if_pending(vector)?;
                }
            }
            (EVENTFD, TRIGGER) if fds.is_empty() => {
                for line in lines {
                    lock(line).eventfd = None;
                }
            }
            (EVENTFD, TRIGGER) if fds.len() == lines.len() => {
                for ((vector, line), eventfd) in numbered().zip(fds) {
                    let mut line = lock(line);
                    line.eventfd = Some(eventfd);
                    line.signal_if_pending(vector)?;
                }
            }
            _ => return Err(bad_request),
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "irq_tests.rs"]
mod tests;
