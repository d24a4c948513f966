// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a fuzzing process has of the driver, and the choices that its system
//! calls have in common.

use std::fs;

use anyhow::Result;
use fastrand::Rng;

use super::{
    message::number,
    sys::{Answer, Arena, PAGE, ROOM, call},
};
use crate::genetlink::Family;

/// Where the driver binds to a device, and to let go of it.
pub(super) const DRIVER: &str = "/sys/bus/pci/drivers/irqbed";

/// Most descriptors and mappings that a process has of the driver at a time.
const MOST: usize = 24;
/// What a descriptor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// `/dev/irqbed0` or `/dev/uio0`.
    Device,
    /// A socket of the driver's own netlink unit.
    Unit,
    /// A socket of generic netlink.
    Generic,
    /// An eventfd, a pipe's end, a socket of a pair, an epoll instance.
    Other,
}

/// A mapping of the driver's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub(super) address: usize,
    /// Whole pages: beyond them lies memory of the process itself.
    pub(super) len: usize,
}

/// Descriptors and mappings of the driver, and the memory that calls name.
pub(super) struct State {
    pub(super) rng: Rng,
    pub(super) arena: Arena,
    pub(super) unit: u32,
    pub(super) family: Option<Family>,
    pub(super) descriptors: Vec<(Kind, usize)>,
    pub(super) maps: Vec<Map>,
    /// A pipe and a pair of sockets, which take longer to make than a call on the driver.
    pub(super) pipe: Option<[usize; 2]>,
    pub(super) pair: Option<[usize; 2]>,
    /// The device's place on the bus.
    pub(super) device: String,
}

impl State {
    pub(super) fn new(seed: u64, unit: u32, family: Option<Family>) -> Result<Self> {
        Ok(Self {
            rng: Rng::with_seed(seed),
            arena: Arena::new()?,
            unit,
            family,
            descriptors: Vec::new(),
            maps: Vec::new(),
            pipe: None,
            pair: None,
            // Another process may have taken it from the driver already.
            device: device().unwrap_or_else(|| "0000:00:01.0".to_owned()),
        })
    }

    /// A descriptor of the driver, mostly of this kind.
    pub(super) fn descriptor(&mut self, wanted: Kind) -> usize {
        let rng = &mut self.rng;
        let fitting = self.descriptors.iter().filter(|(kind, _)| *kind == wanted);
        let any = rng.u8(..10) == 0;
        let found = if any {
            rng.choice(self.descriptors.iter())
        } else {
            let fitting: Vec<_> = fitting.collect();
            rng.choice(fitting)
        };
        // The kernel refuses a descriptor that is not open.
        found.map_or(usize::MAX, |(_, descriptor)| *descriptor)
    }

    /// Where the kernel is to read or write `len` bytes: mostly where it may.
    pub(super) fn buffer(&mut self, len: usize) -> usize {
        match self.rng.u8(..12) {
            0 => 0,
            1 => usize::MAX - 100,
            2 => self.arena.at(ROOM - len.min(ROOM) / 2),
            3 => {
                let fitting: Vec<_> = self.maps.iter().filter(|map| len <= map.len).collect();
                self.rng.choice(fitting).map_or(0, |map| map.address)
            }
            _ => self.arena.at(self.rng.usize(..64)),
        }
    }

    pub(super) fn length(&mut self) -> usize {
        match self.rng.u8(..6) {
            0 => self.rng.usize(..64),
            1 => number(&mut self.rng) as usize,
            2 => PAGE,
            _ => self.rng.usize(..ROOM / 2),
        }
    }

    pub(super) fn keep(&mut self, kind: Kind, answer: Answer) -> Answer {
        if let Ok(descriptor) = answer {
            self.descriptors.push((kind, descriptor));
        }
        answer
    }

    /// A call that makes two descriptors, which the kernel writes to the arena's begin.
    pub(super) fn two(
        &mut self,
        number: libc::c_long,
        arguments: [usize; 6],
    ) -> Result<[usize; 2], i32> {
        call(number, arguments)?;
        Ok([0, 4].map(|offset| self.arena.number(offset) as usize))
    }

    /// Whether it has as much as a process may.
    pub(super) fn is_full(&self) -> bool {
        self.descriptors.len() + self.maps.len() > MOST
    }

    /// Closes a descriptor, or unmaps a mapping.
    pub(super) fn drop_one(&mut self) -> Answer {
        if !self.maps.is_empty() && self.rng.bool() {
            let map = self.maps.swap_remove(self.rng.usize(..self.maps.len()));
            return call(libc::SYS_munmap, [map.address, map.len, 0, 0, 0, 0]);
        }
        if self.descriptors.is_empty() {
            return Err(libc::EBADF);
        }
        let at = self.rng.usize(..self.descriptors.len());
        let (_, descriptor) = self.descriptors.swap_remove(at);
        call(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0])
    }
}

/// The place on the bus of the device that the driver has.
fn device() -> Option<String> {
    let entries = fs::read_dir(DRIVER).ok()?;
    let mut names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.find(|name| name.contains(':'))
}
