// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One queue: takes packets from the ring to send, and puts them into the ring
//! to receive to. Whatever the rings say comes from the guest.

use zerocopy::{
    FromBytes, Immutable, IntoBytes,
    little_endian::{U32, U64},
};

use crate::dma::{Dma, DmaError, GuestAddr, Segment};

/// Most descriptors of a ring.
const MAX_ENTRIES: u32 = 1024;
/// Longest packet, bytes.
pub const MAX_PACKET: u32 = 16 * 1024;

/// Flag of a descriptor, by the card: it is done.
pub const DONE: u32 = 1 << 0;
/// Flag of a descriptor to send, by the driver: the packet goes on in the next
/// one.
pub const MORE: u32 = 1 << 1;
/// Flag of a descriptor received to, by the card: the packet was longer.
pub const TRUNCATED: u32 = 1 << 2;

/// A descriptor, as it lies in the guest's memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Descriptor {
    /// Where the bytes are.
    pub address: U64,
    /// How many there are; once received to, how many there came.
    pub length: U32,
    /// [`DONE`] and the like.
    pub flags: U32,
}

/// Where the rings of a queue lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rings {
    pub tx: GuestAddr,
    pub tx_size: u32,
    pub rx: GuestAddr,
    pub rx_size: u32,
}

/// How far a queue is. Heads and tails count on around their limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Queue {
    pub tx_head: u32,
    pub tx_tail: u32,
    pub rx_head: u32,
    pub rx_tail: u32,
}

/// What one ring of a doorbell has led to.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub descriptors: u32,
    pub dropped: u32,
    pub error: Option<QueueError>,
}

/// Why a queue stops.
#[derive(Debug, thiserror::Error)]
pub(super) enum QueueError {
    #[error("a ring of {0} descriptors: use a power of two up to {MAX_ENTRIES}")]
    Size(u32),
    #[error("{filled} descriptors are said to be filled in a ring of {size}")]
    Tail { filled: u32, size: u32 },
    #[error("a packet of more than {MAX_PACKET} bytes")]
    TooLong,
    #[error(transparent)]
    Dma(#[from] DmaError),
}

impl Queue {
    /// Sends all there is.
    pub fn run(&mut self, rings: &Rings, dma: &Dma) -> Done {
        let mut done = Done::default();
        done.error = self.send_all(rings, dma, &mut done).err();
        done
    }

    fn send_all(&mut self, rings: &Rings, dma: &Dma, done: &mut Done) -> Result<(), QueueError> {
        let filled = |tail: u32, head: u32, size: u32| {
            let filled = tail.wrapping_sub(head);
            match filled {
                0 => Ok(0),
                _ if !size.is_power_of_two() || size > MAX_ENTRIES => Err(QueueError::Size(size)),
                filled if filled > size => Err(QueueError::Tail { filled, size }),
                filled => Ok(filled),
            }
        };
        let mut left = filled(self.tx_tail, self.tx_head, rings.tx_size)?;
        let mut room = filled(self.rx_tail, self.rx_head, rings.rx_size)?;
        let mut packet = Vec::new();
        while let Some(list) = self.next_packet(rings, dma, left)? {
            let count = list.len() as u32;
            let len = Segment::total(&list);
            if len > MAX_PACKET.into() {
                return Err(QueueError::TooLong);
            }
            packet.resize(len as usize, 0);
            dma.gather(&list, &mut packet)?;
            if room == 0 {
                done.dropped += 1;
            } else {
                self.receive(rings, dma, &packet)?;
                room -= 1;
                done.descriptors += 1;
            }
            for _ in 0..count {
                finish(dma, rings.tx, self.tx_head, rings.tx_size, DONE)?;
                self.tx_head = self.tx_head.wrapping_add(1);
            }
            left -= count;
            done.descriptors += count;
        }
        Ok(())
    }

    /// The pieces of the next packet; `None` until all of it is there.
    fn next_packet(
        &self,
        rings: &Rings,
        dma: &Dma,
        left: u32,
    ) -> Result<Option<Vec<Segment>>, QueueError> {
        let mut list = Vec::new();
        for n in 0..left {
            let index = self.tx_head.wrapping_add(n);
            let at = slot(rings.tx, index, rings.tx_size)?;
            let descriptor: Descriptor = dma.read_value(at)?;
            list.push(Segment {
                addr: GuestAddr(descriptor.address.get()),
                len: descriptor.length.get(),
            });
            if descriptor.flags.get() & MORE == 0 {
                return Ok(Some(list));
            }
        }
        Ok(None)
    }

    fn receive(&mut self, rings: &Rings, dma: &Dma, packet: &[u8]) -> Result<(), QueueError> {
        let at = slot(rings.rx, self.rx_head, rings.rx_size)?;
        let mut descriptor: Descriptor = dma.read_value(at)?;
        let room = descriptor.length.get() as usize;
        let part = packet.get(..room).unwrap_or(packet);
        dma.write(GuestAddr(descriptor.address.get()), part)?;
        let cut = part.len() < packet.len();
        descriptor.length = U32::new(part.len() as u32);
        descriptor.flags = U32::new(0);
        dma.write_value(at, &descriptor)?;
        let flags = if cut { DONE | TRUNCATED } else { DONE };
        finish(dma, rings.rx, self.rx_head, rings.rx_size, flags)?;
        self.rx_head = self.rx_head.wrapping_add(1);
        Ok(())
    }
}

/// Address of the descriptor of an index.
fn slot(ring: GuestAddr, index: u32, size: u32) -> Result<GuestAddr, DmaError> {
    let offset = u64::from(index & size.wrapping_sub(1)) * size_of::<Descriptor>() as u64;
    let len = size_of::<Descriptor>();
    let overflow = DmaError::Overflow { addr: ring, len };
    ring.checked_add(offset).ok_or(overflow)
}

/// Gives a descriptor back: the flags come last, after all that they tell of.
fn finish(dma: &Dma, ring: GuestAddr, index: u32, size: u32, flags: u32) -> Result<(), DmaError> {
    let at = slot(ring, index, size)?;
    let offset = std::mem::offset_of!(Descriptor, flags) as u64;
    let len = size_of::<u32>();
    let overflow = DmaError::Overflow { addr: at, len };
    dma.store(at.checked_add(offset).ok_or(overflow)?, flags)
}
