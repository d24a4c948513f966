// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Accesses of a process in the guest to registers and to mapped memory, with no
//! driver in between.

use anyhow::{Context, Result};
use irqbed_abi::{control::Accesses, pci, regs, trace};
use irqbed_machine::session::Session;

/// A word that the guest can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// For a table.
    pub name: &'static str,
    /// `VENDOR:DEVICE` in hexadecimal, or `ram`.
    device: &'static str,
    bar: u32,
    offset: u32,
    write: Option<u64>,
    /// Accesses that take about a millisecond, for a clock that is not much
    /// slower than one of them.
    batch: u64,
}

/// Our identifiers in the form that [`Place::device`] has.
const OURS: &str = "1bed:1001";
const _: () = assert!(pci::PCI_VENDOR_ID == 0x1bed && pci::PCI_DEVICE_ID == 0x1001);

/// A register of ours, which a thread of another process answers.
pub const TRAPPED_READ: Place = Place {
    name: "trapped_read",
    device: OURS,
    bar: pci::CONTROL_BAR,
    offset: regs::REG_MAGIC,
    write: None,
    batch: 10,
};
/// A register of ours that keeps what is written.
pub const TRAPPED_WRITE: Place = Place {
    name: "trapped_write",
    offset: regs::REG_SCRATCH,
    write: Some(1),
    ..TRAPPED_READ
};
/// The instrument BAR, which is memory.
pub const MAPPED_READ: Place = Place {
    name: "mapped_read",
    bar: pci::INSTRUMENT_BAR,
    offset: trace::PONG_OFFSET,
    batch: 100_000,
    ..TRAPPED_READ
};
/// The same, written.
pub const MAPPED_WRITE: Place = Place {
    name: "mapped_write",
    write: Some(1),
    ..MAPPED_READ
};
/// Memory of the guest.
pub const RAM_READ: Place = Place {
    name: "ram_read",
    device: "ram",
    bar: 0,
    ..MAPPED_READ
};
/// The identity of QEMU's `edu`, which the thread that is the processor answers.
pub const EDU_READ: Place = Place {
    name: "edu_read",
    device: "1234:11e8",
    bar: 0,
    offset: 0,
    write: None,
    batch: 2_000,
};
/// The register of `edu` that keeps what is written.
pub const EDU_WRITE: Place = Place {
    name: "edu_write",
    offset: 4,
    write: Some(1),
    ..EDU_READ
};
/// The shared memory of `ivshmem-doorbell`.
pub const IVSHMEM_READ: Place = Place {
    name: "ivshmem_read",
    device: "1af4:1110",
    bar: 2,
    offset: 0,
    write: None,
    batch: 100_000,
};

/// Has the guest access a word again and again; returns how many cycles of its
/// time stamp counter each batch took, and how many accesses a batch is.
///
/// # Errors
/// When a driver has the device, or the guest fails.
pub fn cycles(session: &mut Session, place: &Place, batches: u64) -> Result<(Vec<u64>, u64)> {
    by_batches(session, place, batches, place.batch).map(|cycles| (cycles, place.batch))
}

/// The cycles of so many accesses one after the other.
///
/// # Errors
/// As [`cycles`].
pub fn one_batch(session: &mut Session, place: &Place, accesses: u64) -> Result<u64> {
    let cycles = by_batches(session, place, 1, accesses)?;
    cycles.first().copied().context("nothing was measured")
}

fn by_batches(
    session: &mut Session,
    place: &Place,
    batches: u64,
    accesses: u64,
) -> Result<Vec<u64>> {
    let asked = Accesses {
        device: place.device.to_owned(),
        bar: place.bar,
        offset: place.offset.into(),
        width: 4,
        write: place.write,
        batches,
        accesses,
    };
    session.time_accesses(asked).context(place.name)
}
