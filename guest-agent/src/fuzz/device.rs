// SPDX-License-Identifier: Apache-2.0 OR MIT
//! System calls on the driver's files and their mappings, and those that open
//! them.

use std::ffi::CStr;

use irqbed_abi::{
    pci::INSTRUMENT_BAR_SIZE,
    queue::{
        IOC_LISTEN, IOC_STOP, IOC_WAIT, ListenRequest, NO_EVENTFD, QUEUE_MMAP_OFFSET, WaitRequest,
    },
    reply::{DOORBELL_MMAP_OFFSET, IOC_REPLY},
};
use zerocopy::IntoBytes;

use super::{
    message::{self, number, word},
    state::{DRIVER, Kind, Map, State},
    sys::{Answer, PAGE, call},
};
use crate::{genetlink, signal};

const NODES: [&CStr; 2] = [c"/dev/irqbed0", c"/dev/uio0"];

impl State {
    pub(super) fn open(&mut self) -> Answer {
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

    pub(super) fn ioctl(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let rng = &mut self.rng;
        let known = [
            IOC_LISTEN, IOC_LISTEN, IOC_STOP, IOC_WAIT, IOC_WAIT, IOC_REPLY,
        ];
        let command = match rng.u8(..10) {
            0 => word(rng),
            // Another size or direction of a known one.
            1 => known[rng.usize(..known.len())] ^ (1 << rng.u32(16..32)),
            _ => known[rng.usize(..known.len())],
        };
        let argument = match command {
            IOC_LISTEN => self.listen_request(),
            IOC_WAIT => {
                let len = self.length();
                let request = WaitRequest {
                    buffer: self.buffer(len) as u64,
                    len: len as u32,
                    received: word(&mut self.rng),
                };
                request.as_bytes().to_vec()
            }
            IOC_REPLY => message::reply(rng),
            _ => Vec::new(),
        };
        let at = self.arena.put(&argument);
        let at = if self.rng.u8(..10) == 0 {
            self.buffer(16)
        } else {
            at
        };
        call(libc::SYS_ioctl, [descriptor, command as usize, at, 0, 0, 0])
    }

    fn listen_request(&mut self) -> Vec<u8> {
        let eventfd = if self.rng.bool() {
            NO_EVENTFD
        } else {
            self.descriptor(Kind::Other) as u32
        };
        let rng = &mut self.rng;
        let request = ListenRequest {
            vectors: if rng.bool() { u32::MAX } else { word(rng) },
            size: match rng.u8(..4) {
                0 => word(rng),
                1 => 0,
                _ => 1 << rng.u32(12..18),
            },
            eventfd,
            reserved: if rng.u8(..10) == 0 { word(rng) } else { 0 },
        };
        request.as_bytes().to_vec()
    }

    pub(super) fn read(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let len = self.length();
        let buffer = self.buffer(len);
        match self.rng.u8(..4) {
            0 => call(
                libc::SYS_pread64,
                [
                    descriptor,
                    buffer,
                    len,
                    number(&mut self.rng) as usize,
                    0,
                    0,
                ],
            ),
            1 => {
                let mut vectors = Vec::new();
                for _ in 0..self.rng.u8(..5) {
                    let len = self.rng.usize(..100);
                    vectors.extend(self.buffer(len).to_ne_bytes());
                    vectors.extend(len.to_ne_bytes());
                }
                let count = vectors.len() / 16;
                let at = self.arena.put(&vectors);
                call(libc::SYS_readv, [descriptor, at, count, 0, 0, 0])
            }
            _ => call(libc::SYS_read, [descriptor, buffer, len, 0, 0, 0]),
        }
    }

    pub(super) fn write(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let bytes = message::reply(&mut self.rng);
        let at = self.arena.put(&bytes);
        let (at, len) = match self.rng.u8(..4) {
            0 => {
                let len = self.length();
                (self.buffer(len), len)
            }
            // What a UIO device is told.
            1 => (at, 4),
            _ => (at, bytes.len()),
        };
        call(libc::SYS_write, [descriptor, at, len, 0, 0, 0])
    }

    pub(super) fn poll(&mut self) -> Answer {
        let mut entries = Vec::new();
        let count = self.rng.usize(1..4);
        for _ in 0..count {
            let descriptor = self.descriptor(Kind::Device) as i32;
            entries.extend(descriptor.to_ne_bytes());
            entries.extend(self.rng.u16(..).to_ne_bytes());
            entries.extend([0; 2]);
        }
        let at = self.arena.put(&entries);
        let milliseconds = self.rng.usize(..3);
        call(libc::SYS_poll, [at, count, milliseconds, 0, 0, 0])
    }

    pub(super) fn map(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let rng = &mut self.rng;
        let page = PAGE as u64;
        let offset = match rng.u8(..8) {
            0 | 1 => 0,
            2 | 3 => QUEUE_MMAP_OFFSET,
            4 => QUEUE_MMAP_OFFSET + page * rng.u64(..4),
            5 => DOORBELL_MMAP_OFFSET,
            // The maps of a UIO device.
            6 => page * rng.u64(..5),
            _ => number(rng) & !(page - 1),
        };
        let len = match rng.u8(..6) {
            0 => INSTRUMENT_BAR_SIZE as usize,
            1 => PAGE,
            2 => PAGE * rng.usize(1..70),
            3 => number(rng) as usize & 0xffff_ffff,
            _ => PAGE * 2,
        };
        let protection = rng.usize(..8);
        let mut flags = if rng.u8(..8) == 0 {
            libc::MAP_PRIVATE
        } else {
            libc::MAP_SHARED
        };
        if rng.u8(..4) == 0 {
            flags |= libc::MAP_POPULATE;
        }
        let arguments = [
            0,
            len,
            protection,
            flags as usize,
            descriptor,
            offset as usize,
        ];
        let answer = call(libc::SYS_mmap, arguments);
        if let Ok(address) = answer {
            let len = len.next_multiple_of(PAGE);
            self.maps.push(Map { address, len });
        }
        answer
    }

    /// Has the kernel read or write a mapping, so that a fault is an error and no
    /// signal.
    pub(super) fn touch(&mut self) -> Answer {
        let Some(map) = self.rng.choice(self.maps.iter()).copied() else {
            return Err(libc::EFAULT);
        };
        let offset = self.rng.usize(..map.len);
        let at = map.address + offset;
        let len = self.rng.usize(..64).min(map.len - offset);
        let [from, to] = self.pipe()?;
        let elsewhere = self.arena.at(64);
        let answer = if self.rng.u8(..4) == 0 {
            let _ = call(libc::SYS_write, [to, elsewhere, len, 0, 0, 0]);
            call(libc::SYS_read, [from, at, len, 0, 0, 0])
        } else {
            call(libc::SYS_write, [to, at, len, 0, 0, 0])
        };
        // Leaves the pipe empty.
        let _ = call(libc::SYS_read, [from, elsewhere, PAGE, 0, 0, 0]);
        answer
    }

    fn pipe(&mut self) -> Result<[usize; 2], i32> {
        if let Some(pipe) = self.pipe {
            return Ok(pipe);
        }
        let at = self.arena.at(0);
        let pipe = self.two(libc::SYS_pipe2, [at, libc::O_NONBLOCK as usize, 0, 0, 0, 0])?;
        self.pipe = Some(pipe);
        Ok(pipe)
    }

    pub(super) fn remap(&mut self) -> Answer {
        if self.maps.is_empty() {
            return Err(libc::EFAULT);
        }
        let index = self.rng.usize(..self.maps.len());
        let Map { address, len } = self.maps[index];
        // A part of it, from its begin.
        let part = PAGE * self.rng.usize(1..=(len / PAGE).min(8));
        match self.rng.u8(..4) {
            0 => {
                let (new, flags) = (PAGE * self.rng.usize(1..8), libc::MREMAP_MAYMOVE as usize);
                let answer = call(libc::SYS_mremap, [address, len, new, flags, 0, 0]);
                if let Ok(address) = answer {
                    self.maps[index] = Map { address, len: new };
                }
                answer
            }
            1 => {
                let protection = self.rng.usize(..8);
                call(libc::SYS_mprotect, [address, part, protection, 0, 0, 0])
            }
            2 => call(
                libc::SYS_madvise,
                [address, part, self.rng.usize(..25), 0, 0, 0],
            ),
            _ => {
                let answer = call(libc::SYS_munmap, [address, part, 0, 0, 0, 0]);
                if answer.is_ok() && part < len {
                    self.maps[index] = Map {
                        address: address + part,
                        len: len - part,
                    };
                } else if answer.is_ok() {
                    self.maps.swap_remove(index);
                }
                answer
            }
        }
    }

    pub(super) fn control(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let rng = &mut self.rng;
        let (command, value) = match rng.u8(..5) {
            0 => (
                libc::F_SETFL,
                libc::O_ASYNC | if rng.bool() { libc::O_NONBLOCK } else { 0 },
            ),
            1 => (
                libc::F_SETFL,
                if rng.u8(..8) > 0 { libc::O_NONBLOCK } else { 0 },
            ),
            2 => (signal::F_SETSIG, rng.i32(..70)),
            // Nobody but this process and its family.
            3 => (
                libc::F_SETOWN,
                if rng.bool() {
                    std::process::id() as i32
                } else {
                    0
                },
            ),
            _ => (libc::F_DUPFD_CLOEXEC, 0),
        };
        let answer = call(
            libc::SYS_fcntl,
            [descriptor, command as usize, value as usize, 0, 0, 0],
        );
        match answer {
            Ok(copy) if command == libc::F_DUPFD_CLOEXEC => self.keep(Kind::Device, Ok(copy)),
            answer => answer,
        }
    }

    /// Has the driver let go of its device and take it again, or see it reset.
    pub(super) fn sysfs(&mut self) -> Answer {
        let device = self.device.clone();
        match self.rng.u8(..8) {
            // Without a device all calls fail alike: mostly that is a short time.
            0..=2 => {
                let answer = self.write_file(&format!("{DRIVER}/unbind"), &device);
                if self.rng.u8(..4) > 0 {
                    let _ = self.write_file(&format!("{DRIVER}/bind"), &device);
                }
                answer
            }
            3 | 4 => self.write_file(&format!("{DRIVER}/bind"), &device),
            5 | 6 => self.write_file(&format!("/sys/bus/pci/devices/{device}/reset"), "1"),
            _ => {
                let text = *self.rng.choice(&["0", "100", "-1", "x"]).unwrap_or(&"0");
                self.write_file("/sys/module/irqbed/parameters/delay_ns", text)
            }
        }
    }

    fn write_file(&mut self, path: &str, text: &str) -> Answer {
        let at = self.arena.put(format!("{path}\0").as_bytes());
        let mode = (libc::O_WRONLY | libc::O_CLOEXEC) as usize;
        let descriptor = call(libc::SYS_openat, [usize::MAX, at, mode, 0, 0, 0])?;
        let at = self.arena.put(text.as_bytes());
        let answer = call(libc::SYS_write, [descriptor, at, text.len(), 0, 0, 0]);
        let _ = call(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0]);
        answer
    }
}
