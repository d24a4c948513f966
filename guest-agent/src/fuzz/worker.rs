// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that uses the driver in ways that nobody thought of: one system call
//! after the other on every entrance the driver has.

use std::{collections::BTreeMap, ffi::CStr};

use anyhow::Result;
use fastrand::Rng;

use super::{
    device::device,
    message::{self, number, word},
    sys::{self, Answer, Arena, PAGE, ROOM, call},
};
use crate::genetlink::{self, Family};

/// Most descriptors and mappings that a process has of the driver at a time.
const MOST: usize = 24;
/// Most system calls of a child, which has no children of its own.
const CHILD: u64 = 20;
const NODES: [&CStr; 2] = [c"/dev/irqbed0", c"/dev/uio0"];

/// What a descriptor is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Device,
    Unit,
    Generic,
    /// An eventfd, a pipe's end, a socket of a pair, an epoll instance.
    Other,
}

/// A mapping of the driver's.
#[derive(Debug, Clone, Copy)]
pub(super) struct Map {
    pub address: usize,
    /// Whole pages: beyond them lies memory of the process itself.
    pub len: usize,
}

/// What a process has of the driver.
pub struct Worker {
    pub(super) rng: Rng,
    pub(super) arena: Arena,
    unit: u32,
    family: Option<Family>,
    descriptors: Vec<(Kind, usize)>,
    pub(super) maps: Vec<Map>,
    is_child: bool,
    pub(super) device: String,
    /// Calls by name: how many succeeded, and how many did not.
    pub calls: BTreeMap<&'static str, [u64; 2]>,
}

impl Worker {
    pub fn new(seed: u64, unit: u32, family: Option<Family>) -> Result<Self> {
        Ok(Self {
            rng: Rng::with_seed(seed),
            arena: Arena::new()?,
            unit,
            family,
            descriptors: Vec::new(),
            maps: Vec::new(),
            is_child: false,
            // Another process may have taken it from the driver already.
            device: device().unwrap_or_else(|| "0000:00:01.0".to_owned()),
            calls: BTreeMap::new(),
        })
    }

    /// Makes so many system calls.
    pub fn run(&mut self, operations: u64) {
        for _ in 0..operations {
            self.step();
        }
    }

    fn step(&mut self) {
        if self.descriptors.len() + self.maps.len() > MOST {
            let _ = self.drop_one();
        }
        let (name, answer) = match self.rng.u16(..1000) {
            0..100 => ("open", self.open()),
            100..150 => ("close", self.drop_one()),
            150..300 => ("ioctl", self.ioctl()),
            300..360 => ("read", self.read()),
            360..400 => ("write", self.write()),
            400..440 => ("poll", self.poll()),
            440..520 => ("mmap", self.map()),
            520..570 => ("touch", self.touch()),
            570..600 => ("remap", self.remap()),
            600..740 => ("send", self.send()),
            740..840 => ("receive", self.receive()),
            840..890 => ("sockopt", self.socket_option()),
            890..935 => ("bind", self.bind()),
            935..970 => ("fcntl", self.control()),
            970..990 => ("pass", self.pass()),
            // These take as long as a hundred others.
            990..995 => ("fork", self.fork()),
            995..998 => ("reap", self.reap()),
            _ => ("sysfs", self.sysfs()),
        };
        let count = self.calls.entry(name).or_default();
        count[usize::from(answer.is_err())] += 1;
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

    fn socket(&mut self) -> usize {
        let kind = if self.rng.bool() {
            Kind::Unit
        } else {
            Kind::Generic
        };
        self.descriptor(kind)
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

    fn open(&mut self) -> Answer {
        match self.rng.u8(..10) {
            0..5 => {
                let index = usize::from(self.rng.u8(..8) == 0);
                let path = self.arena.put(NODES[index].to_bytes_with_nul());
                let mode = *self
                    .rng
                    .choice(&[libc::O_RDWR, libc::O_RDWR, libc::O_RDONLY, libc::O_WRONLY])
                    .unwrap_or(&0);
                let nonblock = if self.rng.u8(..8) > 0 {
                    libc::O_NONBLOCK
                } else {
                    0
                };
                let flags = (mode | nonblock | libc::O_CLOEXEC) as usize;
                let answer = call(libc::SYS_openat, [usize::MAX, path, flags, 0, 0, 0]);
                self.keep(Kind::Device, answer)
            }
            5..7 => self.open_socket(Kind::Unit, self.unit),
            7..9 => self.open_socket(Kind::Generic, genetlink::PROTOCOL),
            _ => {
                let flags = (libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) as usize;
                let answer = call(libc::SYS_eventfd2, [0, flags, 0, 0, 0, 0]);
                self.keep(Kind::Other, answer)
            }
        }
    }

    fn open_socket(&mut self, kind: Kind, protocol: u32) -> Answer {
        let shape = if self.rng.bool() {
            libc::SOCK_RAW
        } else {
            libc::SOCK_DGRAM
        };
        let shape = (shape | libc::SOCK_CLOEXEC) as usize;
        let family = libc::AF_NETLINK as usize;
        let answer = call(
            libc::SYS_socket,
            [family, shape, protocol as usize, 0, 0, 0],
        );
        self.keep(kind, answer)
    }

    fn drop_one(&mut self) -> Answer {
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

    fn send(&mut self) -> Answer {
        let generic = self.rng.bool();
        let datagram = match self.family {
            Some(family) if generic => message::family(&mut self.rng, family.id),
            _ => message::own_unit(&mut self.rng),
        };
        let socket = self.descriptor(if generic { Kind::Generic } else { Kind::Unit });
        let at = self.arena.put(&datagram);
        let flags = if self.rng.u8(..8) == 0 {
            0
        } else {
            libc::MSG_DONTWAIT
        } as usize;
        call(libc::SYS_sendto, [socket, at, datagram.len(), flags, 0, 0])
    }

    fn receive(&mut self) -> Answer {
        let socket = self.socket();
        let len = self.length();
        let buffer = self.buffer(len);
        let mut flags = libc::MSG_DONTWAIT;
        if self.rng.u8(..4) == 0 {
            flags |= *self
                .rng
                .choice(&[libc::MSG_PEEK, libc::MSG_TRUNC, libc::MSG_OOB])
                .unwrap_or(&0);
        }
        call(
            libc::SYS_recvfrom,
            [socket, buffer, len, flags as usize, 0, 0],
        )
    }

    fn socket_option(&mut self) -> Answer {
        let socket = self.socket();
        let rng = &mut self.rng;
        let group = self.family.map_or(1, |family| family.events);
        let (level, option, value) = match rng.u8(..6) {
            0 => (libc::SOL_SOCKET, libc::SO_RCVBUF, rng.u32(..4096)),
            1 => (libc::SOL_NETLINK, rng.i32(..16), word(rng)),
            2 => (libc::SOL_NETLINK, libc::NETLINK_DROP_MEMBERSHIP, group),
            3 => (
                libc::SOL_NETLINK,
                libc::NETLINK_ADD_MEMBERSHIP,
                rng.u32(..40),
            ),
            _ => (libc::SOL_NETLINK, libc::NETLINK_ADD_MEMBERSHIP, group),
        };
        let at = self.arena.put(&value.to_ne_bytes());
        call(
            libc::SYS_setsockopt,
            [socket, level as usize, option as usize, at, 4, 0],
        )
    }

    fn bind(&mut self) -> Answer {
        let socket = self.socket();
        let rng = &mut self.rng;
        let mut address = (libc::AF_NETLINK as u16).to_ne_bytes().to_vec();
        address.extend([0; 2]);
        address.extend(if rng.bool() { 0 } else { word(rng) }.to_ne_bytes());
        address.extend(if rng.bool() { 1 } else { word(rng) }.to_ne_bytes());
        let number = if rng.u8(..4) == 0 {
            libc::SYS_connect
        } else {
            libc::SYS_bind
        };
        let at = self.arena.put(&address);
        call(number, [socket, at, address.len(), 0, 0, 0])
    }

    /// Puts a descriptor into a socket, and lets both go or takes it out.
    fn pass(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let pair = (libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as usize;
        call(
            libc::SYS_socketpair,
            [libc::AF_UNIX as usize, pair, 0, self.arena.at(0), 0, 0],
        )?;
        let ends = [0, 4].map(|offset| self.arena.number(offset) as usize);
        // msghdr, iovec, a byte, cmsghdr with one descriptor: as on x86-64.
        let at = |offset| self.arena.at(offset);
        let message: Vec<usize> = vec![
            0,
            0,
            at(56),
            1,
            at(80),
            24,
            0,
            at(72),
            1,
            0x55,
            20,
            libc::SOL_SOCKET as usize | (libc::SCM_RIGHTS as usize) << 32,
            descriptor & 0xffff_ffff,
        ];
        let bytes: Vec<u8> = message.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let header = self.arena.put(&bytes);
        let answer = call(libc::SYS_sendmsg, [ends[0], header, 0, 0, 0, 0]);
        if answer.is_ok() && self.rng.bool() {
            let taken = call(
                libc::SYS_recvmsg,
                [ends[1], header, libc::MSG_CMSG_CLOEXEC as usize, 0, 0, 0],
            );
            if taken.is_ok() {
                let copy = self.arena.number(96);
                self.descriptors.push((Kind::Device, copy as usize));
            }
        }
        for end in ends {
            let _ = call(libc::SYS_close, [end, 0, 0, 0, 0, 0]);
        }
        answer
    }

    /// A child that has all that this process has, and ends in the middle of it.
    fn fork(&mut self) -> Answer {
        if self.is_child {
            return Err(libc::EAGAIN);
        }
        if sys::fork()? {
            self.is_child = true;
            sys::survive_signals();
            // Not what the parent does next.
            self.rng = Rng::with_seed(self.rng.u64(..) ^ 0x5eed);
            let operations = self.rng.u64(..CHILD);
            self.run(operations);
            sys::leave();
        }
        Ok(0)
    }

    fn reap(&mut self) -> Answer {
        sys::reap();
        Ok(0)
    }
}
