// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The faults that are armed: which of them hits, and what they count.

mod effect;

use super::{
    FaultId, FaultReport, MAX_FAULTS,
    description::Fault,
    dice::Dice,
    error::FaultError,
    kind::{Access, FaultKind, When},
};
use irqbed_pci::hook::site;

pub(super) use effect::Wish;

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
            FaultKind::CompletionsSwapped => site::BURST,
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
}

#[cfg(test)]
#[path = "armed_tests.rs"]
mod tests;
