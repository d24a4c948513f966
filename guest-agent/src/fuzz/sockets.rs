// SPDX-License-Identifier: Apache-2.0 OR MIT
//! System calls on netlink sockets, and on descriptors that go over a socket.

use super::{
    message::{self, word},
    state::{Kind, State},
    sys::{Answer, call},
};

impl State {
    fn socket(&mut self) -> usize {
        let kind = if self.rng.bool() {
            Kind::Unit
        } else {
            Kind::Generic
        };
        self.descriptor(kind)
    }

    pub(super) fn open_socket(&mut self, kind: Kind, protocol: u32) -> Answer {
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

    pub(super) fn send(&mut self) -> Answer {
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

    pub(super) fn receive(&mut self) -> Answer {
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

    pub(super) fn socket_option(&mut self) -> Answer {
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

    pub(super) fn bind(&mut self) -> Answer {
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
    pub(super) fn pass(&mut self) -> Answer {
        let descriptor = self.descriptor(Kind::Device);
        let ends = self.pair()?;
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
        if self.rng.u8(..4) == 0 {
            // With the descriptor in it.
            self.pair = None;
            for end in ends {
                let _ = call(libc::SYS_close, [end, 0, 0, 0, 0, 0]);
            }
        } else if answer.is_ok() {
            let taken = call(
                libc::SYS_recvmsg,
                [ends[1], header, libc::MSG_CMSG_CLOEXEC as usize, 0, 0, 0],
            );
            if taken.is_ok() {
                let copy = self.arena.number(96);
                self.descriptors.push((Kind::Device, copy as usize));
            }
        }
        answer
    }

    fn pair(&mut self) -> Result<[usize; 2], i32> {
        if let Some(pair) = self.pair {
            return Ok(pair);
        }
        let kind = (libc::SOCK_DGRAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as usize;
        let arguments = [libc::AF_UNIX as usize, kind, 0, self.arena.at(0), 0, 0];
        let pair = self.two(libc::SYS_socketpair, arguments)?;
        self.pair = Some(pair);
        Ok(pair)
    }
}
