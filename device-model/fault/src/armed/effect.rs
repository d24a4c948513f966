// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is decided of an interrupt, of a write to the guest's memory and of an access to
//! registers, where it is the turn of a fault.

use std::time::Duration;

use super::Table;
use crate::{
    FaultId,
    description::PAGE,
    dice::Dice,
    kind::{Access, FaultKind, Place, Registers},
};
use irqbed_pci::{
    bar::{Area, BarIndex},
    dma::GuestAddr,
    hook::{InterruptDecision, WriteDecision},
};

/// What a fault wants beside that.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Wish {
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

impl Table {
    /// An interrupt of a device with so many vectors.
    pub fn interrupt(
        &mut self,
        vector: u32,
        vectors: u32,
        wishes: &mut Vec<Wish>,
    ) -> InterruptDecision {
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
                FaultKind::IrqLost => return InterruptDecision::Lost,
                FaultKind::IrqDuplicated { gap } if gap.is_zero() => {
                    return InterruptDecision::Twice;
                }
                FaultKind::IrqDuplicated { gap } => {
                    let (after, late) = (gap, false);
                    wishes.push(Wish::Interrupt { after, late });
                    return InterruptDecision::Sent;
                }
                FaultKind::IrqDelayed { delay } => {
                    let (after, late) = (delay.draw(&mut armed.dice), true);
                    wishes.push(Wish::Interrupt { after, late });
                    return InterruptDecision::Lost;
                }
                FaultKind::IrqMisrouted { to } => {
                    return InterruptDecision::On(other(to, &mut armed.dice));
                }
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
        InterruptDecision::Sent
    }

    /// A write of the device to the guest's memory.
    pub fn write(&mut self, addr: GuestAddr, data: &[u8], wishes: &mut Vec<Wish>) -> WriteDecision {
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
                    return WriteDecision::First(bytes);
                }
                FaultKind::DmaLate { delay, .. } => {
                    let after = delay.draw(&mut armed.dice);
                    let data = data.to_vec();
                    wishes.push(Wish::Write { after, addr, data });
                    return WriteDecision::Lost;
                }
                FaultKind::DmaMisplaced { place, .. } => {
                    return match misplaced(addr, data.len(), place) {
                        Some(Misplaced::To(addr)) => WriteDecision::To(addr),
                        _ => WriteDecision::Lost,
                    };
                }
                FaultKind::DmaCorrupted { bits, .. } => {
                    return WriteDecision::Data(corrupted(data, bits, &mut armed.dice));
                }
                FaultKind::DmaFailed { .. } => {
                    return WriteDecision::Refused("a fault that was asked for (dma-failed)");
                }
                _ => {}
            }
        }
        WriteDecision::Whole
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
mod tests {
    use super::*;

    #[test]
    fn a_misplaced_write_stays_in_its_page() {
        let to = |at, len, offset| misplaced(GuestAddr(at), len, Place::Page(offset));
        let place = |at| Some(Misplaced::To(GuestAddr(at)));
        assert_eq!(to(0x5000, 32, 64), place(0x5040));
        assert_eq!(to(0x5000, 32, -32), place(0x5fe0));
        assert_eq!(to(0x5fe0, 32, 32), place(0x5000));
        assert_eq!(to(0x5000, 32, -16), None, "it would cross the end");
        assert_eq!(to(0x5fff, 2, 8), None, "it crosses the end itself");
        assert_eq!(to(u64::MAX - 0xfff, 4, 8), place(u64::MAX - 0xff7));
        let anywhere = misplaced(GuestAddr(8), 4, Place::Anywhere(-16));
        assert_eq!(anywhere, Some(Misplaced::Outside));
    }

    #[test]
    fn as_many_bits_are_flipped_as_were_asked_for() {
        for bits in [1, 3, 64] {
            let data = [0xa5; 16];
            let found = corrupted(&data, bits, &mut Dice::new(1));
            let flipped: u32 = data
                .iter()
                .zip(&found)
                .map(|(a, b)| (a ^ b).count_ones())
                .sum();
            assert_eq!(flipped, bits);
        }
        assert_eq!(corrupted(&[0], 64, &mut Dice::new(1)), [0xff]);
        assert!(corrupted(&[], 64, &mut Dice::new(1)).is_empty());
    }
}
