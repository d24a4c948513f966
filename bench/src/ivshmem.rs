// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The server of an `ivshmem-doorbell` and its one other peer, which is us: gives
//! QEMU the shared memory and an eventfd, and interrupts the guest by writing
//! that. The protocol is in QEMU's `docs/specs/ivshmem-spec`: numbers of 64 bits,
//! little-endian, some with a descriptor.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use device_model::{GuestTsc, HostTsc};
use irqbed_machine::qemu::Beside;
use rustix::{
    event::{EventfdFlags, eventfd},
    fs::{MemfdFlags, ftruncate, memfd_create},
    io::IoSlice,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
        SocketType, sendmsg, socketpair,
    },
};
use vm_memory::{FileOffset, MmapRegion, VolatileMemory};

/// Size of the shared memory, bytes: the least that a BAR of it may have here.
const SIZE: usize = 1 << 20;
/// Version of the protocol.
const VERSION: i64 = 0;
/// What stands before the shared memory in place of a peer.
const SHARED_MEMORY: i64 = -1;
/// The number of QEMU among the peers.
const QEMU: i64 = 1;

/// Offsets of words in the shared memory, as `bench/peers/irqbed_peers.h` has
/// them.
const RAISED: usize = 0;
const ISR: usize = 64;
const USER: usize = 128;
const DONE: usize = 136;
/// A number that is no event's: a listener is ready, or is to end.
const NONE: u64 = u64::MAX;

/// The doorbell of a guest.
#[derive(Debug)]
pub struct Doorbell {
    memory: MmapRegion,
    eventfd: File,
    /// QEMU would complain of a server that goes.
    _server: OwnedFd,
}

/// When the interrupt was in the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// At its handler.
    pub isr: GuestTsc,
    /// In the process.
    pub user: GuestTsc,
}

impl Doorbell {
    /// A doorbell with one vector, and what QEMU needs for it.
    ///
    /// # Errors
    /// When the system gives no memory, socket or eventfd.
    pub fn new() -> io::Result<(Self, Beside)> {
        let file: File = File::from(memfd_create("irqbed-ivshmem", MemfdFlags::CLOEXEC)?);
        ftruncate(&file, SIZE as u64)?;
        let file = Arc::new(file);
        let memory = MmapRegion::from_file(FileOffset::from_arc(Arc::clone(&file), 0), SIZE)
            .map_err(io::Error::other)?;
        let eventfd = File::from(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
        let (server, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        // All of it waits in the socket for QEMU: it says nothing itself.
        send(&server, VERSION, None)?;
        send(&server, QEMU, None)?;
        send(&server, SHARED_MEMORY, Some(file.as_fd()))?;
        send(&server, QEMU, Some(eventfd.as_fd()))?;
        let beside = Beside {
            arguments: [
                "-chardev",
                &format!("socket,id=ivshmem,fd={}", Beside::FD),
                "-device",
                "ivshmem-doorbell,chardev=ivshmem,vectors=1",
            ]
            .map(str::to_owned)
            .into(),
            descriptor: theirs,
        };
        let doorbell = Self {
            memory,
            eventfd,
            _server: server,
        };
        Ok((doorbell, beside))
    }

    /// Rings for event `number`, from 1; the moment before.
    ///
    /// # Errors
    /// When the eventfd is none.
    pub fn ring(&self, number: u64) -> io::Result<HostTsc> {
        self.store(RAISED, number);
        let now = HostTsc::now();
        (&self.eventfd).write_all(&1_u64.to_ne_bytes())?;
        Ok(now)
    }

    /// When an event arrived; `None` while it has not.
    #[must_use]
    pub fn arrived(&self, number: u64) -> Option<Arrival> {
        (self.load(DONE) == number).then(|| Arrival {
            isr: GuestTsc(self.load(ISR)),
            user: GuestTsc(self.load(USER)),
        })
    }

    /// Forgets the listener that was, before another one starts.
    pub fn expect_listener(&self) {
        self.store(DONE, 0);
    }

    /// Whether a listener is there that has had no event yet.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.load(DONE) == NONE
    }

    /// Has the listener end.
    ///
    /// # Errors
    /// When the eventfd is none.
    pub fn end_listener(&self) -> io::Result<()> {
        self.ring(NONE).map(drop)
    }

    fn load(&self, offset: usize) -> u64 {
        let word = self.memory.get_atomic_ref::<AtomicU64>(offset);
        word.map_or(0, |word| word.load(Ordering::Acquire))
    }

    fn store(&self, offset: usize, value: u64) {
        if let Ok(word) = self.memory.get_atomic_ref::<AtomicU64>(offset) {
            word.store(value, Ordering::Release);
        }
    }
}

fn send(to: &OwnedFd, number: i64, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptor.into_iter().collect();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    let bytes = number.to_le_bytes();
    let sent = sendmsg(
        to,
        &[IoSlice::new(&bytes)],
        &mut control,
        SendFlags::empty(),
    )?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::{
        io::IoSliceMut,
        net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg},
    };

    use super::*;

    fn receive(from: &OwnedFd) -> (i64, Option<OwnedFd>) {
        let mut bytes = [0; 8];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        recvmsg(from, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).expect("a message");
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        (i64::from_le_bytes(bytes), descriptor)
    }

    #[test]
    fn qemu_is_told_what_the_protocol_has_in_its_order() {
        let (doorbell, beside) = Doorbell::new().expect("a doorbell");
        let socket = beside.descriptor;
        assert!(matches!(receive(&socket), (0, None)));
        let (own, none) = receive(&socket);
        assert!(own >= 0 && none.is_none());
        assert!(matches!(receive(&socket), (-1, Some(_))));
        let (peer, eventfd) = receive(&socket);
        assert_eq!(peer, own);
        doorbell.ring(1).expect("an eventfd");
        let mut count = [0; 8];
        File::from(eventfd.expect("an eventfd"))
            .read_exact(&mut count)
            .expect("a signal");
        assert_eq!(u64::from_ne_bytes(count), 1);
    }

    #[test]
    fn an_event_has_arrived_when_its_number_is_there() {
        let (doorbell, _beside) = Doorbell::new().expect("a doorbell");
        doorbell.store(ISR, 5);
        doorbell.store(USER, 6);
        assert_eq!(doorbell.arrived(1), None);
        doorbell.store(DONE, 1);
        let (isr, user) = (GuestTsc(5), GuestTsc(6));
        assert_eq!(doorbell.arrived(1), Some(Arrival { isr, user }));
    }
}
