// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The queue of an open `/dev/irqbed0`: asks the driver for events by ioctl,
//! and takes them by system call, or from the mapping.

#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    mem::offset_of,
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
};

use anyhow::{Context, Result};
use irqbed_abi::{
    control::ListenerSpec,
    netlink::EventMessage,
    queue::{
        DEFAULT_QUEUE, IOC_LISTEN, IOC_STOP, IOC_WAIT, ListenRequest, NO_EVENTFD, QUEUE_ALIGN,
        QUEUE_MMAP_OFFSET, QUEUE_PAGE, QueueHeader, WaitRequest,
    },
    ring::MAX_PAYLOAD,
};
use rustix::{
    io::Errno,
    ioctl::{NoArg, Setter, Updater, ioctl},
};
use zerocopy::FromBytes;

use crate::{
    events::Sink,
    instrument::DEVICE,
    mapping::Mapping,
    tsc::{self, GuestTsc},
    wire,
};

/// Room for the longest event, bytes.
const LONGEST: usize = size_of::<EventMessage>() + MAX_PAYLOAD as usize;

/// An open file that the driver puts events into.
#[derive(Debug)]
pub struct Queue {
    file: File,
    size: u32,
}

impl Queue {
    /// Opens the device and asks for events, and for a signal to an eventfd
    /// where the driver gives such.
    pub fn open(spec: &ListenerSpec, eventfd: Option<BorrowedFd<'_>>) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE)
            .with_context(|| format!("cannot open {DEVICE} (is the module loaded?)"))?;
        let size = spec
            .receive_buffer
            .map_or(DEFAULT_QUEUE, u32::next_power_of_two);
        let request = ListenRequest {
            vectors: spec.vectors,
            size,
            eventfd: eventfd.map_or(NO_EVENTFD, |fd| fd.as_raw_fd().cast_unsigned()),
            reserved: 0,
        };
        // SAFETY: the driver reads a `ListenRequest` for this command.
        unsafe { ioctl(&file, Setter::<IOC_LISTEN, ListenRequest>::new(request)) }
            .with_context(|| format!("the driver does not put events into {DEVICE}"))?;
        Ok(Self { file, size })
    }

    /// Waits for an event by ioctl: its bytes in the buffer; 0 at the end.
    #[inline(always)]
    pub fn wait(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        let mut request = WaitRequest {
            buffer: buffer.as_mut_ptr() as u64,
            len: u32::try_from(buffer.len()).unwrap_or(u32::MAX),
            received: 0,
        };
        // SAFETY: the driver reads and writes a `WaitRequest` for this command,
        // and at most `len` bytes of the buffer, which is borrowed until then.
        unsafe { ioctl(&self.file, Updater::<IOC_WAIT, _>::new(&mut request)) }?;
        Ok(request.received as usize)
    }

    /// Asks the driver for no more events; for a signal handler.
    pub fn quit(&self) -> Result<Box<dyn Fn() + Send + Sync>> {
        let file = self.file.try_clone()?;
        Ok(Box::new(move || {
            // SAFETY: the command has no argument. It fails only for a file
            // that asked for no events.
            let _ = unsafe { ioctl(&file, NoArg::<IOC_STOP>::new()) };
        }))
    }

    /// Maps the queue.
    pub fn map(&self) -> Result<Ring> {
        let page = QUEUE_PAGE as usize;
        let all = 2 * page + self.size as usize;
        let shared = Mapping::read_only(self, QUEUE_MMAP_OFFSET, all)
            .with_context(|| format!("cannot map the queue of {DEVICE}"))?;
        let own = Mapping::at(self, QUEUE_MMAP_OFFSET + u64::from(QUEUE_PAGE), page)
            .with_context(|| format!("cannot map the tail of the queue of {DEVICE}"))?;
        Ok(Ring {
            shared,
            own,
            mask: u64::from(self.size - 1),
            at: 0,
            buffer: vec![0; LONGEST],
        })
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// The buffer for a system call that takes one event.
pub fn buffer(spec: &ListenerSpec) -> Vec<u8> {
    vec![0; spec.read_size.map_or(LONGEST, |size| size as usize)]
}

/// Takes the event that a system call brought.
#[inline(always)]
pub fn take(sink: &mut Sink, user: GuestTsc, bytes: &[u8]) {
    match wire::event(bytes) {
        Ok((event, payload)) => sink.event(user, &event, payload),
        Err(wire::Malformed) => sink.malformed(),
    }
}

/// The mapped queue: the driver moves the head, we the tail.
#[derive(Debug)]
pub struct Ring {
    shared: Mapping,
    own: Mapping,
    mask: u64,
    at: u64,
    buffer: Vec<u8>,
}

impl Ring {
    #[inline(always)]
    fn head(&self) -> u64 {
        let word = self.shared.word64(offset_of!(QueueHeader, head));
        word.map_or(0, |word: &AtomicU64| word.load(Ordering::Acquire))
    }

    /// Whether no more events come; those before it are in the ring by then.
    #[inline(always)]
    pub fn stopped(&self) -> bool {
        let word = self.shared.word32(offset_of!(QueueHeader, stopped));
        word.is_none_or(|word: &AtomicU32| word.load(Ordering::Acquire) != 0)
    }

    /// Events that found no room.
    pub fn dropped(&self) -> u64 {
        let word = self.shared.word64(offset_of!(QueueHeader, dropped));
        word.map_or(0, |word| word.load(Ordering::Relaxed))
    }

    /// Takes the oldest event, if there is one.
    #[inline(always)]
    pub fn take(&mut self, sink: &mut Sink) -> bool {
        let head = self.head();
        if head == self.at {
            return false;
        }
        let user = tsc::now();
        let (message, payload) = self.buffer.split_at_mut(size_of::<EventMessage>());
        let first = copy(&self.shared, self.mask, self.at, message);
        let event = EventMessage::read_from_bytes(message).unwrap_or_default();
        let payload = payload.get_mut(..event.payload_len as usize);
        match payload {
            Some(payload) if first => {
                let at = self.at + size_of::<EventMessage>() as u64;
                copy(&self.shared, self.mask, at, payload);
                let end = at + u64::from(event.payload_len);
                self.at = end.next_multiple_of(u64::from(QUEUE_ALIGN));
                self.free();
                sink.event(user, &event, payload_of(&self.buffer, &event));
            }
            // Where it ends, nobody knows: what there is is given up.
            _ => {
                self.at = head;
                self.free();
                sink.malformed();
            }
        }
        true
    }

    /// The driver may write over what is before our tail.
    #[inline(always)]
    fn free(&self) {
        if let Some(tail) = self.own.word64(0) {
            tail.store(self.at, Ordering::Release);
        }
    }
}

#[inline(always)]
fn payload_of<'a>(buffer: &'a [u8], event: &EventMessage) -> &'a [u8] {
    let start = size_of::<EventMessage>();
    buffer
        .get(start..start + event.payload_len as usize)
        .unwrap_or_default()
}

/// Copies bytes of the ring, which may go on at its start.
#[inline(always)]
fn copy(shared: &Mapping, mask: u64, at: u64, to: &mut [u8]) -> bool {
    let data = 2 * QUEUE_PAGE as usize;
    let start = (at & mask) as usize;
    let first = to.len().min(mask as usize + 1 - start);
    let (to, rest) = to.split_at_mut(first);
    shared.copy_to(data + start, to) && shared.copy_to(data, rest)
}
