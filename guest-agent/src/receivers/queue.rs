// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The queue of an open `/dev/irqbed0`: asks the driver for events by ioctl,
//! and takes them by system call, or from the mapping.

#![allow(unsafe_code)]

use std::{
    fs::{File, OpenOptions},
    io,
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
    instrument::DEVICE,
    mapping::Mapping,
    nlmsg,
    signal::Action,
    sink::Sink,
    tsc::{self, GuestTsc},
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
        let size = ring_size(spec);
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
    pub fn stop(&self) -> Result<Action> {
        let file = self.file.try_clone()?;
        Ok(Box::new(move || {
            // SAFETY: the command has no argument. It fails only for a file
            // that asked for no events.
            let _ = unsafe { ioctl(&file, NoArg::<IOC_STOP>::new()) };
        }))
    }

    /// Events that the queue had no room for so far.
    pub fn dropped(&self) -> Option<u64> {
        let header = Header::map(self, QUEUE_MMAP_OFFSET).ok()?;
        Some(header.dropped())
    }

    /// Maps the queue.
    pub fn map(&self) -> Result<Ring> {
        let tail = QUEUE_MMAP_OFFSET + u64::from(QUEUE_PAGE);
        Ring::map(self, QUEUE_MMAP_OFFSET, tail, self.size)
            .with_context(|| format!("cannot map the queue of {DEVICE}"))
    }

    /// The head of the queue, for as long as the process lives: for a signal
    /// handler.
    pub fn watch_head(&self) -> Result<&'static AtomicU64> {
        let Header(page) = Header::map(self, QUEUE_MMAP_OFFSET)
            .with_context(|| format!("cannot map the header of the queue of {DEVICE}"))?;
        Box::leak(Box::new(page))
            .word64(offset_of!(QueueHeader, head))
            .context("the queue has no head")
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Bytes of the ring that a listener wants: a power of two.
pub fn ring_size(spec: &ListenerSpec) -> u32 {
    let size = spec.receive_buffer.unwrap_or(DEFAULT_QUEUE);
    // The driver refuses what cannot be.
    size.checked_next_power_of_two().unwrap_or(size)
}

/// Bytes of an event that a listener takes at a time.
pub fn read_size(spec: &ListenerSpec) -> usize {
    spec.read_size.map_or(LONGEST, |size| size as usize)
}

/// Takes an event as `read` gives it.
#[inline(always)]
pub fn deliver_bytes(sink: &mut Sink, user: GuestTsc, bytes: &[u8]) {
    match nlmsg::event(bytes) {
        Ok((event, payload)) => sink.deliver(user, &event, payload),
        Err(nlmsg::Malformed) => sink.count_malformed(),
    }
}

/// The header of a queue alone.
pub struct Header(Mapping);

impl Header {
    /// Maps it from where the queue of a file lies.
    pub fn map(file: impl AsFd, queue: u64) -> io::Result<Self> {
        Mapping::read_only(file, queue, QUEUE_PAGE as usize).map(Self)
    }

    /// Events that found no room so far.
    pub fn dropped(&self) -> u64 {
        let word = self.0.word64(offset_of!(QueueHeader, dropped));
        word.map_or(0, |word| word.load(Ordering::Relaxed))
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
    /// Maps the fresh queue of a file: all of it at one offset of `mmap`, its
    /// tail at another. The ring has `size` bytes, a power of two.
    pub fn map(file: impl AsFd + Copy, queue: u64, tail: u64, size: u32) -> io::Result<Self> {
        let page = QUEUE_PAGE as usize;
        Ok(Self {
            shared: Mapping::read_only(file, queue, 2 * page + size as usize)?,
            own: Mapping::at(file, tail, page)?,
            mask: u64::from(size - 1),
            at: 0,
            buffer: vec![0; LONGEST],
        })
    }

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

    /// Takes the oldest event, if there is one.
    #[inline(always)]
    pub fn take(&mut self, sink: &mut Sink) -> bool {
        let head = self.head();
        if head == self.at {
            return false;
        }
        self.deliver(head, tsc::now(), sink);
        true
    }

    /// Takes every event there is.
    #[inline(always)]
    pub fn drain(&mut self, sink: &mut Sink) {
        while self.take(sink) {}
    }

    /// Takes the oldest event, if it was there when the head was at `head`: at
    /// `user` it was in hand.
    #[inline(always)]
    pub fn take_before(&mut self, head: u64, user: GuestTsc, sink: &mut Sink) -> bool {
        let there = self.at < head;
        if there {
            self.deliver(head, user, sink);
        }
        there
    }

    #[inline(always)]
    fn deliver(&mut self, head: u64, user: GuestTsc, sink: &mut Sink) {
        let (message, payload) = self.buffer.split_at_mut(size_of::<EventMessage>());
        let first = copy(&self.shared, self.mask, self.at, message);
        let event = EventMessage::read_from_bytes(message).unwrap_or_default();
        let at = self.at + size_of::<EventMessage>() as u64;
        let end = (at + u64::from(event.payload_len)).next_multiple_of(u64::from(QUEUE_ALIGN));
        match payload.get_mut(..event.payload_len as usize) {
            Some(payload) if first && end <= head => {
                copy(&self.shared, self.mask, at, payload);
                self.at = end;
                self.free();
                sink.deliver(user, &event, payload_of(&self.buffer, &event));
            }
            // Where it ends, nobody knows: what there is is given up.
            _ => {
                self.at = head;
                self.free();
                sink.count_malformed();
            }
        }
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

#[cfg(test)]
mod tests {
    use std::os::fd::OwnedFd;

    use irqbed_abi::control::ListenerReport;
    use proptest::prelude::*;
    use rustix::{
        fs::{MemfdFlags, ftruncate, memfd_create},
        io::pwrite,
    };
    use zerocopy::IntoBytes;

    use super::*;
    use crate::stats::Stats;

    const SIZE: u32 = 8192;
    const PAGE: u64 = QUEUE_PAGE as u64;

    /// A queue in plain memory, whose next byte is number `at`.
    fn ring(at: u64) -> (Ring, OwnedFd) {
        let file = memfd_create("queue", MemfdFlags::CLOEXEC).expect("a memfd");
        ftruncate(&file, 2 * PAGE + u64::from(SIZE)).expect("memory");
        let ring = Ring {
            at,
            ..Ring::map(&file, 0, PAGE, SIZE).expect("a mapping")
        };
        (ring, file)
    }

    /// Puts bytes into it as the driver does, up to a new head.
    fn put(file: &OwnedFd, at: u64, bytes: &[u8], head: u64) {
        for (index, byte) in (at..).zip(bytes) {
            let place = 2 * PAGE + index % u64::from(SIZE);
            pwrite(file, &[*byte], place).expect("room");
        }
        pwrite(file, &head.to_le_bytes(), 0).expect("room");
    }

    fn taken(ring: &mut Ring) -> ListenerReport {
        let (stats, memory) = Stats::create().expect("shared memory");
        let theirs = Stats::map(&memory).expect("the same memory");
        let mut sink = Sink::new(theirs, None, false);
        ring.drain(&mut sink);
        stats.report(0, true)
    }

    #[test]
    fn an_event_is_taken_whole_wherever_the_end_of_the_ring_cuts_it() {
        let mut payload = [0; 61];
        irqbed_abi::pattern::fill(5, &mut payload);
        let event = EventMessage {
            seq: 5,
            payload_len: 61,
            flags: irqbed_abi::ring::EVENT_PATTERN,
            ..Default::default()
        };
        let bytes = [event.as_bytes(), &payload].concat();
        for back in (0..=96).step_by(8) {
            let at = 3 * u64::from(SIZE) - back;
            let (mut ring, file) = ring(at);
            put(&file, at, &bytes, at + 88);
            let report = taken(&mut ring);
            assert_eq!((report.received, report.bad_payload), (1, 0), "{back}");
            let tail = ring.own.word64(0).expect("the tail");
            assert_eq!(tail.load(Ordering::Relaxed), at + 88);
        }
    }

    #[test]
    fn a_length_that_cannot_be_gives_up_what_there_is() {
        let event = EventMessage {
            payload_len: MAX_PAYLOAD + 1,
            ..Default::default()
        };
        let (mut ring, file) = ring(0);
        put(&file, 0, event.as_bytes(), 8000);
        let report = taken(&mut ring);
        assert_eq!((report.received, report.malformed), (0, 1));
        assert_eq!(ring.at, 8000);
    }

    #[test]
    fn an_event_is_taken_at_a_moment_only_if_it_was_there() {
        let event = EventMessage::default();
        let (mut ring, file) = ring(0);
        put(&file, 0, &[event.as_bytes(), event.as_bytes()].concat(), 48);
        let (stats, memory) = Stats::create().expect("shared memory");
        let mut sink = Sink::new(Stats::map(&memory).expect("memory"), None, false);
        assert!(ring.take_before(24, GuestTsc(1), &mut sink));
        assert!(!ring.take_before(24, GuestTsc(1), &mut sink));
        assert!(ring.take(&mut sink) && !ring.take(&mut sink));
        assert_eq!(stats.report(0, true).received, 2);
    }

    proptest! {
        #[test]
        fn any_ring_is_taken_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 24..200),
            at in (0_u64..2000).prop_map(|at| at * 8),
        ) {
            let (mut ring, file) = ring(at);
            put(&file, at, &bytes, at + 24);
            let (stats, memory) = Stats::create().expect("shared memory");
            let mut sink = Sink::new(Stats::map(&memory).expect("memory"), None, false);
            ring.take(&mut sink);
            drop(stats);
        }
    }
}
