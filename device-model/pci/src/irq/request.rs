// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the hypervisor asks about interrupts: eventfds, masks, triggers.

use std::{
    fs::File,
    io::ErrorKind,
    sync::{Mutex, atomic::Ordering},
};

use rustix::fs::{FileType, OFlags, fcntl_getfl, fcntl_setfl, fstat};
use vfio_bindings::bindings::vfio::{
    VFIO_IRQ_SET_ACTION_MASK, VFIO_IRQ_SET_ACTION_TRIGGER, VFIO_IRQ_SET_ACTION_UNMASK,
    VFIO_IRQ_SET_DATA_BOOL, VFIO_IRQ_SET_DATA_EVENTFD, VFIO_IRQ_SET_DATA_NONE,
};

use super::{IrqError, Irqs, line::Line, lock};

impl Irqs {
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
                line.mask();
                Ok(())
            }
            Action::Unmask => {
                if line.unmask(vector)? {
                    self.lines.unsettled.store(true, Ordering::Relaxed);
                }
                Ok(())
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
