// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The queue of an open `/dev/irqbedN`: how a process asks for events by
//! [`IOC_LISTEN`], gets them by `read`, by [`IOC_WAIT`] or from a mapping, and
//! asks for no more by [`IOC_STOP`].
//!
//! An event is an [`crate::netlink::EventMessage`] and its payload behind it.
//! `read` and [`IOC_WAIT`] give one event at a time; one that is longer than
//! the buffer is cut, which its `payload_len` tells, and counted. The mapping
//! at [`QUEUE_MMAP_OFFSET`] is a page with [`QueueHeader`], a page with
//! [`QueueTail`], and the ring of bytes, in which each event begins at a
//! multiple of [`QUEUE_ALIGN`] and goes on at the start where the end cuts it.
//!
//! Whoever has a UIO device of the driver open gets the same queue as its map
//! number [`UIO_QUEUE_MAP`] once he has written the size of the ring to it, or
//! a 1 for [`DEFAULT_QUEUE`]; a 0 is [`IOC_STOP`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Events begin at multiples of this in the ring, bytes.
pub const QUEUE_ALIGN: u32 = 8;
/// Smallest ring, bytes.
pub const MIN_QUEUE: u32 = 8192;
/// Largest ring, bytes.
pub const MAX_QUEUE: u32 = 16 << 20;
/// The ring of who does not care, bytes.
pub const DEFAULT_QUEUE: u32 = 256 << 10;
/// Offset of the queue for `mmap`; the instrument BAR is at 0.
pub const QUEUE_MMAP_OFFSET: u64 = 0x1_0000_0000;
/// Size of each of the two pages before the ring, bytes.
pub const QUEUE_PAGE: u32 = 4096;

/// Map of a UIO device: the instrument BAR.
pub const UIO_INSTRUMENT: u32 = 0;
/// Map of a UIO device: the queue, to be read.
pub const UIO_QUEUE_MAP: u32 = 1;
/// Map of a UIO device: the page with [`QueueTail`], to be written.
pub const UIO_TAIL_MAP: u32 = 2;

/// `_IOW(0xb5, 1, ListenRequest)`: put events into a queue of this file.
pub const IOC_LISTEN: u32 = 0x4010_b501;
/// `_IO(0xb5, 2)`: no more events. Those in the queue can still be taken;
/// behind them `read` and [`IOC_WAIT`] give 0 bytes.
pub const IOC_STOP: u32 = 0x0000_b502;
/// `_IOWR(0xb5, 3, WaitRequest)`: wait for an event and take it.
pub const IOC_WAIT: u32 = 0xc010_b503;

/// [`ListenRequest::eventfd`]: none.
pub const NO_EVENTFD: u32 = 0xffff_ffff;

/// Argument of [`IOC_LISTEN`].
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct ListenRequest {
    /// Bit `v` asks for the events of vector `v`; 0 is refused.
    pub vectors: u32,
    /// Size of the ring, bytes: a power of two from [`MIN_QUEUE`] to
    /// [`MAX_QUEUE`], or 0 for [`DEFAULT_QUEUE`].
    pub size: u32,
    /// Descriptor of an eventfd that is signalled for each event, where the
    /// driver was loaded to do so; otherwise [`NO_EVENTFD`].
    pub eventfd: u32,
    /// Zero.
    pub reserved: u32,
}

layout!(ListenRequest, 16, { vectors: 0, size: 4, eventfd: 8, reserved: 12 });

/// Argument of [`IOC_WAIT`].
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct WaitRequest {
    /// Address of the buffer.
    pub buffer: u64,
    /// Its length, bytes.
    pub len: u32,
    /// Answer: bytes of the event in the buffer; 0 when no more will come.
    pub received: u32,
}

layout!(WaitRequest, 16, { buffer: 0, len: 8, received: 12 });

/// First page of the mapping: written by the driver alone.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct QueueHeader {
    /// Bytes ever put into the ring; written after them.
    pub head: u64,
    /// Events that found no room.
    pub dropped: u64,
    /// Size of the ring, bytes.
    pub size: u32,
    /// 1 when no more events come; written after the last head.
    pub stopped: u32,
}

layout!(QueueHeader, 24, { head: 0, dropped: 8, size: 16, stopped: 20 });

/// Second page of the mapping: written by whoever takes the events.
#[repr(C)]
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
pub struct QueueTail {
    /// Bytes ever taken out of the ring. The driver overwrites what is before
    /// it, and takes a tail that makes no sense for a full ring.
    pub tail: u64,
}

layout!(QueueTail, 8, { tail: 0 });
