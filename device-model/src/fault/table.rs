// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The faults that are armed: whose turn it is, and what they count.

use std::time::Duration;

use super::{
    FaultId, FaultReport, MAX_FAULTS,
    description::{Fault, PAGE},
    dice::Dice,
    error::FaultError,
    kind::{Access, FaultKind, Place, Registers, When},
    site,
};
use crate::{
    bar::{Area, BarIndex},
    dma::GuestAddr,
};

/// What becomes of an interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is sent.
    Sent,
    /// It is sent twice.
    Twice,
    /// The device thinks that it is sent.
    Lost,
    /// It is sent on another vector.
    On(u32),
    /// There is nobody who could send it.
    Gone,
}

/// What becomes of a write to the guest's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WriteFate {
    /// It is carried out.
    Whole,
    /// The device thinks that it is carried out.
    Lost,
    /// These bytes of it are.
    First(usize),
    /// It goes there.
    To(GuestAddr),
    /// Other data is written.
    Data(Vec<u8>),
    /// It is refused.
    Refused,
    /// There is nobody who could write.
    Gone,
}

/// What a fault wants beside that.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Wish {
    /// The interrupt again, or at last.
    Interrupt { after: Duration, late: bool },
    /// As many interrupts more.
    Storm {
        id: FaultId,
        interrupts: u32,
        rate: f64,
    },
    /// A write, or its rest.
    Write {
        after: Duration,
        addr: GuestAddr,
        data: Vec<u8>,
    },
    /// Something with the whole function.
    Whole(FaultKind),
}

#[derive(Debug)]
struct Armed {
    id: FaultId,
    fault: Fault,
    dice: Dice,
    opportunities: u64,
    hits: u64,
    /// Its storm is not over.
    storms: bool,
}

impl Armed {
    /// An opportunity: whether it happens.
    fn happens(&mut self) -> bool {
        self.opportunities += 1;
        let fault = &self.fault;
        if self.opportunities <= fault.after || self.is_over() || self.storms {
            return false;
        }
        // One throw for each opportunity, so that the same ones are hit
        // whatever else is thrown for.
        let hit = fault.chance >= 1.0 || self.dice.unit() < fault.chance;
        self.hits += u64::from(hit);
        hit
    }

    fn is_over(&self) -> bool {
        self.fault.count.is_some_and(|count| self.hits >= count)
    }

    fn is_on(&self, vector: u32) -> bool {
        self.fault.vector.is_none_or(|own| own == vector)
    }

    fn is_at(&self, access: Access) -> bool {
        self.fault.kind.when() == Some(When::At(access))
    }
}

/// All that is armed.
#[derive(Debug, Default)]
pub(super) struct Table {
    armed: Vec<Armed>,
    last_id: u32,
}

impl Table {
    /// Whether so many more can be armed.
    pub fn has_room(&self, more: usize) -> Result<(), FaultError> {
        if self.armed.len() + more > MAX_FAULTS {
            return Err(FaultError::TooMany);
        }
        Ok(())
    }

    pub fn add(&mut self, fault: Fault) -> Result<FaultId, FaultError> {
        self.has_room(1)?;
        self.last_id = self.last_id.wrapping_add(1);
        let id = FaultId(self.last_id);
        self.armed.push(Armed {
            id,
            fault,
            dice: Dice::new(fault.seed),
            opportunities: 0,
            hits: 0,
            storms: false,
        });
        Ok(id)
    }

    /// Adds several, or none.
    pub fn add_all(&mut self, faults: &[Fault]) -> Result<Vec<FaultId>, FaultError> {
        self.has_room(faults.len())?;
        faults.iter().map(|fault| self.add(*fault)).collect()
    }

    pub fn reports(&self) -> Vec<FaultReport> {
        let report = |armed: &Armed| FaultReport {
            id: armed.id,
            fault: armed.fault,
            opportunities: armed.opportunities,
            hits: armed.hits,
        };
        self.armed.iter().map(report).collect()
    }

    pub fn take(&mut self) -> Vec<FaultReport> {
        let reports = self.reports();
        self.armed.clear();
        reports
    }

    /// Where on the bus the faults are.
    pub fn sites(&self) -> u32 {
        let of = |armed: &Armed| match armed.fault.kind {
            FaultKind::IrqLost
            | FaultKind::IrqDuplicated { .. }
            | FaultKind::IrqDelayed { .. }
            | FaultKind::IrqStorm { .. }
            | FaultKind::IrqMisrouted { .. } => site::INTERRUPT,
            FaultKind::IrqSpurious { .. } => 0,
            FaultKind::ReadsOnes(_) | FaultKind::BitsStuck { .. } => site::READ,
            FaultKind::DmaTorn { .. }
            | FaultKind::DmaLate { .. }
            | FaultKind::DmaMisplaced { .. }
            | FaultKind::DmaCorrupted { .. }
            | FaultKind::DmaFailed { .. } => site::DMA,
            FaultKind::CompletionsSwapped => site::SWAP,
            FaultKind::Removed(when) | FaultKind::Returned(when) | FaultKind::Reset(when) => {
                match when {
                    When::In(_) => 0,
                    When::At(Access::Interrupt) => site::INTERRUPT,
                    When::At(Access::Dma) => site::DMA,
                    When::At(Access::Read) => site::READ,
                    When::At(Access::Write) => site::WRITE,
                }
            }
        };
        self.armed.iter().fold(0, |sites, armed| sites | of(armed))
    }

    fn of(&mut self, id: FaultId) -> Option<&mut Armed> {
        self.armed.iter_mut().find(|armed| armed.id == id)
    }

    /// The time of a fault that has one has come: whether it happens, and whether
    /// it may again. `None` for a fault that was cleared.
    pub fn comes(&mut self, id: FaultId) -> Option<(bool, bool)> {
        let armed = self.of(id)?;
        let happens = armed.happens();
        Some((happens, !armed.is_over()))
    }

    /// Whether the storm of a fault goes on.
    pub fn storms(&mut self, id: FaultId, ends: bool) -> bool {
        match self.of(id) {
            Some(armed) => {
                armed.storms = !ends;
                true
            }
            None => false,
        }
    }

    pub fn swap(&mut self, vector: u32) -> bool {
        self.armed.iter_mut().any(|armed| {
            matches!(armed.fault.kind, FaultKind::CompletionsSwapped)
                && armed.is_on(vector)
                && armed.happens()
        })
    }

    /// An interrupt of a device with so many vectors.
    pub fn interrupt(&mut self, vector: u32, vectors: u32, wishes: &mut Vec<Wish>) -> Fate {
        self.all_at(Access::Interrupt, wishes);
        for armed in &mut self.armed {
            let other = |to: Option<u32>, dice: &mut Dice| {
                let others = u64::from(vectors.saturating_sub(1));
                let any = dice.below(others) as u32;
                to.unwrap_or(if any < vector { any } else { any + 1 })
            };
            let concerned = match armed.fault.kind {
                FaultKind::IrqMisrouted { to } => vectors > 1 && to != Some(vector),
                FaultKind::IrqLost
                | FaultKind::IrqDuplicated { .. }
                | FaultKind::IrqDelayed { .. }
                | FaultKind::IrqStorm { .. } => true,
                _ => false,
            };
            if !concerned || !armed.is_on(vector) || !armed.happens() {
                continue;
            }
            match armed.fault.kind {
                FaultKind::IrqLost => return Fate::Lost,
                FaultKind::IrqDuplicated { gap } if gap.is_zero() => return Fate::Twice,
                FaultKind::IrqDuplicated { gap } => {
                    let (after, late) = (gap, false);
                    wishes.push(Wish::Interrupt { after, late });
                    return Fate::Sent;
                }
                FaultKind::IrqDelayed { delay } => {
                    let (after, late) = (delay.draw(&mut armed.dice), true);
                    wishes.push(Wish::Interrupt { after, late });
                    return Fate::Lost;
                }
                FaultKind::IrqMisrouted { to } => return Fate::On(other(to, &mut armed.dice)),
                FaultKind::IrqStorm { interrupts, rate } => {
                    armed.storms = true;
                    let id = armed.id;
                    wishes.push(Wish::Storm {
                        id,
                        interrupts,
                        rate,
                    });
                }
                _ => {}
            }
        }
        Fate::Sent
    }

    /// A write of the device to the guest's memory.
    pub fn write(&mut self, addr: GuestAddr, data: &[u8], wishes: &mut Vec<Wish>) -> WriteFate {
        self.all_at(Access::Dma, wishes);
        let fits = |length: Option<u32>| length.is_none_or(|length| length as usize == data.len());
        for armed in &mut self.armed {
            let concerned = match armed.fault.kind {
                FaultKind::DmaTorn { bytes, length, .. } => {
                    fits(length) && (bytes as usize) < data.len()
                }
                FaultKind::DmaMisplaced { place, length } => {
                    fits(length) && misplaced(addr, data.len(), place).is_some()
                }
                FaultKind::DmaLate { length, .. }
                | FaultKind::DmaCorrupted { length, .. }
                | FaultKind::DmaFailed { length } => fits(length),
                _ => false,
            };
            if !concerned || !armed.happens() {
                continue;
            }
            match armed.fault.kind {
                FaultKind::DmaTorn { bytes, rest, .. } => {
                    let bytes = bytes as usize;
                    let behind = addr.checked_add(bytes as u64);
                    if let (Some(after), Some(addr)) = (rest, behind) {
                        let data = data.get(bytes..).unwrap_or_default().to_vec();
                        wishes.push(Wish::Write { after, addr, data });
                    }
                    return WriteFate::First(bytes);
                }
                FaultKind::DmaLate { delay, .. } => {
                    let after = delay.draw(&mut armed.dice);
                    let data = data.to_vec();
                    wishes.push(Wish::Write { after, addr, data });
                    return WriteFate::Lost;
                }
                FaultKind::DmaMisplaced { place, .. } => {
                    return match misplaced(addr, data.len(), place) {
                        Some(Misplaced::To(addr)) => WriteFate::To(addr),
                        _ => WriteFate::Lost,
                    };
                }
                FaultKind::DmaCorrupted { bits, .. } => {
                    return WriteFate::Data(corrupted(data, bits, &mut armed.dice));
                }
                FaultKind::DmaFailed { .. } => return WriteFate::Refused,
                _ => {}
            }
        }
        WriteFate::Whole
    }

    /// A read of registers: whether it is answered with all ones.
    pub fn read(&mut self, bar: BarIndex, offset: u64, len: usize, wishes: &mut Vec<Wish>) -> bool {
        self.all_at(Access::Read, wishes);
        self.armed.iter_mut().any(|armed| match armed.fault.kind {
            FaultKind::ReadsOnes(registers) => {
                touches(registers, bar, offset, len) && armed.happens()
            }
            _ => false,
        })
    }

    /// The answer to a read of registers, on its way to who asked.
    pub fn stick(&mut self, bar: BarIndex, offset: u64, data: &mut [u8]) {
        for armed in &mut self.armed {
            let FaultKind::BitsStuck {
                bar: stuck_bar,
                offset: stuck_at,
                mask,
                value,
            } = armed.fault.kind
            else {
                continue;
            };
            let mut stuck = (stuck_at..)
                .zip(mask.to_le_bytes().into_iter().zip(value.to_le_bytes()))
                .filter(|(at, (mask, _))| {
                    *mask != 0
                        && at
                            .checked_sub(offset)
                            .is_some_and(|at| at < data.len() as u64)
                })
                .peekable();
            if stuck_bar != bar || stuck.peek().is_none() || !armed.happens() {
                continue;
            }
            for (at, (mask, value)) in stuck.collect::<Vec<_>>() {
                if let Some(byte) = data.get_mut((at - offset) as usize) {
                    *byte = *byte & !mask | value;
                }
            }
        }
    }

    /// A write to registers.
    pub fn written(&mut self, wishes: &mut Vec<Wish>) {
        self.all_at(Access::Write, wishes);
    }

    /// What an access does to the whole function; it is an opportunity whatever
    /// else happens to it.
    fn all_at(&mut self, access: Access, wishes: &mut Vec<Wish>) {
        for armed in &mut self.armed {
            if armed.is_at(access) && armed.happens() {
                wishes.push(Wish::Whole(armed.fault.kind));
            }
        }
    }
}

fn touches(registers: Registers, bar: BarIndex, offset: u64, len: usize) -> bool {
    let Registers {
        bar: own,
        offset: first,
        size,
    } = registers;
    let size = size.unwrap_or(u64::MAX - first);
    let access = Area {
        offset,
        size: len as u64,
    };
    own.is_none_or(|own| own == bar)
        && Area {
            offset: first,
            size,
        }
        .overlaps(&access)
}

/// Where a write goes instead.
#[derive(Debug, PartialEq, Eq)]
enum Misplaced {
    To(GuestAddr),
    /// Where no memory is.
    Outside,
}

/// `None` where a write has no other place to go to.
fn misplaced(addr: GuestAddr, len: usize, place: Place) -> Option<Misplaced> {
    let page = PAGE as u64;
    match place {
        Place::Outside => Some(Misplaced::Outside),
        Place::Anywhere(offset) => Some(
            addr.0
                .checked_add_signed(offset)
                .map_or(Misplaced::Outside, |to| Misplaced::To(GuestAddr(to))),
        ),
        Place::Page(offset) => {
            let (start, at) = (addr.0 - addr.0 % page, addr.0 % page);
            let to = (at as i64 + offset % PAGE).rem_euclid(PAGE) as u64;
            let fits = |at: u64| at.checked_add(len as u64).is_some_and(|end| end <= page);
            // The write itself and the other place lie in the one page.
            (fits(at) && fits(to)).then_some(Misplaced::To(GuestAddr(start + to)))
        }
    }
}

/// Data with some of its bits flipped, as many as it has at most.
fn corrupted(data: &[u8], bits: u32, dice: &mut Dice) -> Vec<u8> {
    let mut data = data.to_vec();
    let all = data.len() as u64 * 8;
    let mut flipped = Vec::with_capacity(bits as usize);
    while (flipped.len() as u64) < u64::from(bits).min(all) {
        let bit = dice.below(all);
        if flipped.contains(&bit) {
            continue;
        }
        flipped.push(bit);
        if let Some(byte) = data.get_mut((bit / 8) as usize) {
            *byte ^= 1 << (bit % 8);
        }
    }
    data
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
