// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A request that completes once for each event, and buffers for it to choose
//! from: io_uring's multishot `read` and `recv`. All memory that the kernel
//! shares with us for it is here.

#![allow(unsafe_code)]

use std::{
    io,
    os::fd::{AsFd, AsRawFd, OwnedFd},
    ptr::{self, NonNull},
    slice,
    sync::atomic::{AtomicU16, Ordering},
};

use anyhow::{Context, Result, ensure};
use io_uring::{
    IoUring, Probe, cqueue,
    opcode::{ReadMulti, RecvMulti},
    squeue::Entry,
    types::{BufRingEntry, CancelBuilder, Fd},
};
use rustix::{
    io::{Errno, fcntl_dupfd_cloexec},
    mm::{MapFlags, ProtFlags, mmap_anonymous, munmap},
    net::RecvFlags,
};

use crate::tsc::{self, GuestTsc};

/// The only group of buffers of a ring.
const GROUP: u16 = 0;

/// What came of the request once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion<'a> {
    /// Bytes, as many as the buffer had room for, and how many there were.
    Data(&'a [u8], usize),
    /// What the file failed with.
    Failed(Errno),
    /// Every buffer is in use: nothing is lost, what is left waits in the file.
    NoBuffer,
}

/// A multishot request that is made anew whenever the kernel ends it.
pub struct Multishot {
    // Before the buffers: the kernel lets go of them when the ring is closed.
    ring: IoUring,
    buffers: Buffers,
    request: Entry,
    /// What the request names by number.
    _file: OwnedFd,
    armed: bool,
    /// Completions with a buffer since the kernel was last entered.
    taken: u16,
}

impl Multishot {
    /// Reads from a file, with `count` buffers, a power of two, of `size` bytes.
    pub fn read(file: impl AsFd, count: u16, size: u32) -> Result<Self> {
        let file = fcntl_dupfd_cloexec(file, 0)?;
        let request = ReadMulti::new(Fd(file.as_raw_fd()), 0, GROUP).build();
        let new = Self::new(file, request, count, size)?;
        let mut probe = Probe::new();
        new.ring
            .submitter()
            .register_probe(&mut probe)
            .context("cannot ask the kernel what its io_uring can do")?;
        ensure!(
            probe.is_supported(ReadMulti::CODE),
            "this kernel's io_uring has no multishot read: it needs Linux 6.7 or newer"
        );
        Ok(new)
    }

    /// Receives from a socket, as [`Multishot::read`] reads.
    pub fn recv(socket: impl AsFd, flags: RecvFlags, count: u16, size: u32) -> Result<Self> {
        let socket = fcntl_dupfd_cloexec(socket, 0)?;
        let request = RecvMulti::new(Fd(socket.as_raw_fd()), GROUP)
            .flags(flags.bits().cast_signed())
            .build();
        Self::new(socket, request, count, size)
    }

    /// Which way the kernel goes from the wake-up to the completion is chosen
    /// here. With `DEFER_TASKRUN` it does so in the call that waits, and nowhere
    /// else: the process is not interrupted for it, buffers do not change
    /// behind its back, and [`Multishot::next`] can tell who ran out of them.
    /// It takes `SINGLE_ISSUER`, and a listener has but one thread.
    fn new(file: OwnedFd, request: Entry, count: u16, size: u32) -> Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            // More than can complete before it is seen: there is no overflow.
            .setup_cqsize(2 * u32::from(count))
            .build(2)
            .context("cannot make an io_uring")?;
        let buffers = Buffers::new(count, size).context("no memory for an io_uring's buffers")?;
        // SAFETY: the memory holds `count` entries and lives until the ring
        // is closed.
        unsafe {
            ring.submitter().register_buf_ring_with_flags(
                buffers.base.as_ptr() as u64,
                count,
                GROUP,
                0,
            )
        }
        .context("cannot give buffers to an io_uring")?;
        Ok(Self {
            ring,
            buffers,
            request,
            _file: file,
            armed: false,
            taken: 0,
        })
    }

    /// Waits for a completion, and makes the request where there is none.
    #[inline(always)]
    pub fn wait(&mut self) -> Result<()> {
        self.taken = 0;
        if !self.armed {
            // SAFETY: the request names a file and a group of buffers, which
            // live as long as the ring, and no other memory.
            unsafe { self.ring.submission().push(&self.request) }?;
            self.armed = true;
        }
        loop {
            match self.ring.submit_and_wait(1) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("cannot wait for completions"),
            }
        }
    }

    /// Hands over the next completion, with the moment at which it was seen;
    /// `None` when there is none. The buffer is the kernel's again afterwards.
    #[inline(always)]
    pub fn next<T>(&mut self, take: impl FnOnce(GuestTsc, Completion<'_>) -> T) -> Option<T> {
        let entry = self.ring.completion().next()?;
        let seen = tsc::now();
        self.armed = cqueue::more(entry.flags());
        let buffer = cqueue::buffer_select(entry.flags());
        let taken = take(seen, self.completion(entry.result(), buffer));
        if let Some(id) = buffer {
            self.taken = self.taken.saturating_add(1);
            self.buffers.provide(id);
        }
        Some(taken)
    }

    #[inline(always)]
    fn completion(&self, result: i32, buffer: Option<u16>) -> Completion<'_> {
        let Ok(length) = usize::try_from(result) else {
            let error = Errno::from_raw_os_error(result.saturating_neg());
            // A socket that dropped messages says the same.
            return if error == Errno::NOBUFS && self.taken == self.buffers.count {
                Completion::NoBuffer
            } else {
                Completion::Failed(error)
            };
        };
        let bytes = buffer.map(|id| self.buffers.bytes(id, length));
        Completion::Data(bytes.unwrap_or_default(), length)
    }
}

impl Drop for Multishot {
    /// A request that is left to the end of the ring is given up by a thread of
    /// the kernel's, some time later, and keeps its file until then.
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let submitter = self.ring.submitter();
        // Without success it is as it would have been.
        if submitter
            .register_sync_cancel(None, CancelBuilder::any())
            .is_ok()
        {
            // Its last completion is made in the call that waits for it.
            let _ = submitter.submit_and_wait(1);
        }
    }
}

/// Buffers in one piece of memory, behind the ring by which the kernel gets
/// them (`struct io_uring_buf_ring` of linux/io_uring.h).
struct Buffers {
    base: NonNull<BufRingEntry>,
    count: u16,
    size: u32,
    /// Buffers ever given to the kernel.
    tail: u16,
}

impl Buffers {
    fn new(count: u16, size: u32) -> io::Result<Self> {
        // SAFETY: the kernel chooses the address, so no memory of ours is
        // replaced.
        let base = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                Self::len(count, size),
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::POPULATE,
            )?
        };
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let mut new = Self {
            base,
            count,
            size,
            tail: 0,
        };
        (0..count).for_each(|id| new.provide(id));
        Ok(new)
    }

    /// Bytes of the mapping.
    fn len(count: u16, size: u32) -> usize {
        usize::from(count) * (size_of::<BufRingEntry>() + size as usize)
    }

    /// Where a buffer lies.
    #[inline(always)]
    fn place(&self, id: u16) -> NonNull<u8> {
        let start = Self::len(self.count, 0) + usize::from(id) * self.size as usize;
        // SAFETY: every caller has checked `id`, so it is inside of the mapping.
        unsafe { self.base.cast().add(start) }
    }

    /// What the kernel has put into a buffer that it has handed out.
    #[inline(always)]
    fn bytes(&self, id: u16, length: usize) -> &[u8] {
        if id >= self.count {
            return &[];
        }
        // SAFETY: the buffer is inside of the mapping, is initialised (the
        // kernel's pages are zero), and is not written to until it is given
        // back, which takes `self` mutably.
        unsafe { slice::from_raw_parts(self.place(id).as_ptr(), length.min(self.size as usize)) }
    }

    /// Lets the kernel have a buffer.
    #[inline(always)]
    fn provide(&mut self, id: u16) {
        if id >= self.count {
            return;
        }
        let address = self.place(id).as_ptr() as u64;
        let index = usize::from(self.tail & (self.count - 1));
        // SAFETY: the index is below `count`, a power of two, so the entry is
        // inside of the mapping; the kernel reads it only up to the tail.
        let entry = unsafe { self.base.add(index).as_mut() };
        entry.set_addr(address);
        entry.set_len(self.size);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail is a word of the first entry that is in no other
        // use and aligned, and is only ever used as an atomic.
        let tail = unsafe {
            let first = BufRingEntry::tail(self.base.as_ptr());
            AtomicU16::from_ptr(first.cast_mut())
        };
        // Whoever sees the tail sees the entry.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: this is the mapping made in `new`, of the same length, and
        // the ring that knew of it is closed. It cannot fail for a mapping
        // that exists.
        let _ = unsafe { munmap(self.base.cast().as_ptr(), Self::len(self.count, self.size)) };
    }
}
