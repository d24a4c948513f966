// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Accesses to what is one thing to a device and lies in many places of the
//! guest's memory, and to structures that a driver and a device share.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::{Dma, DmaError, GuestAddr};

/// A piece of a scatter list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it begins.
    pub addr: GuestAddr,
    /// How long it is, bytes.
    pub len: u32,
}

impl Segment {
    /// Bytes in all of a list.
    #[must_use]
    pub fn total(list: &[Self]) -> u64 {
        list.iter().map(|segment| u64::from(segment.len)).sum()
    }
}

impl Dma {
    /// Reads a list into one piece of memory, up to the end of the shorter of
    /// the two. Returns the number of bytes read.
    ///
    /// # Errors
    /// Names the first address that cannot be read; what lies before it may
    /// have been.
    pub fn gather(&self, list: &[Segment], data: &mut [u8]) -> Result<usize, DmaError> {
        let mut done = 0;
        for segment in list {
            let Some(rest) = data.get_mut(done..) else {
                break;
            };
            let len = rest.len().min(segment.len as usize);
            let (piece, _) = rest.split_at_mut(len);
            if !piece.is_empty() {
                self.read(segment.addr, piece)?;
            }
            done += len;
        }
        Ok(done)
    }

    /// Writes one piece of memory to a list, up to the end of the shorter of
    /// the two. Returns the number of bytes written.
    ///
    /// # Errors
    /// Names the first address that cannot be written; what lies before it may
    /// have been.
    pub fn scatter(&self, list: &[Segment], data: &[u8]) -> Result<usize, DmaError> {
        let mut done = 0;
        for segment in list {
            let Some(rest) = data.get(done..) else {
                break;
            };
            let (piece, _) = rest.split_at(rest.len().min(segment.len as usize));
            if !piece.is_empty() {
                self.write(segment.addr, piece)?;
            }
            done += piece.len();
        }
        Ok(done)
    }

    /// Reads a structure, whose fields are in the guest's byte order.
    ///
    /// # Errors
    /// Names the first address that cannot be read.
    ///
    /// # Example
    /// ```
    /// use irqbed_pci::{Dma, DmaError, GuestAddr};
    /// use zerocopy::{FromBytes, Immutable, IntoBytes, little_endian::{U32, U64}};
    ///
    /// #[derive(FromBytes, IntoBytes, Immutable)]
    /// #[repr(C)]
    /// struct Descriptor {
    ///     address: U64,
    ///     length: U32,
    ///     flags: U32,
    /// }
    ///
    /// fn next(dma: &Dma, ring: GuestAddr, index: u64) -> Result<Descriptor, DmaError> {
    ///     dma.read_value(GuestAddr(ring.0 + index * 16))
    /// }
    /// ```
    pub fn read_value<T: FromBytes + IntoBytes>(&self, addr: GuestAddr) -> Result<T, DmaError> {
        let mut value = T::new_zeroed();
        self.read(addr, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes a structure, whose fields are in the guest's byte order.
    ///
    /// # Errors
    /// Names the first address that cannot be written.
    pub fn write_value<T: IntoBytes + Immutable>(
        &self,
        addr: GuestAddr,
        value: &T,
    ) -> Result<(), DmaError> {
        self.write(addr, value.as_bytes())
    }
}
