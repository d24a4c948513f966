// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Cuts one event out of the log: from the entry of the interrupt that the
//! driver handles to the store by which the agent gives its verdict, with the
//! two readings of the clock between which `isr_to_user` is measured.

use std::{mem::offset_of, ops::Range};

use device_model::event::Seq;
use irqbed_abi::{
    execution::Kind,
    trace::{TraceSlot, slot_offset},
};

use super::Entry;

/// What an event is recognised by.
#[derive(Debug, Clone)]
pub struct Landmarks {
    /// Virtual addresses of the driver's code.
    pub driver: Range<u64>,
    /// Physical address of the instrument BAR.
    pub instrument: u64,
}

/// The instructions of one event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journey {
    /// Their addresses, from the first of the interrupt's entry to the store of
    /// the verdict.
    pub instructions: Vec<u64>,
    /// Which of them are measured as `isr_to_user`; `None` where the driver
    /// stamps nothing.
    pub measured: Option<Range<usize>>,
}

/// What is missing in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JourneyError {
    /// The agent's verdict.
    #[error("there is no verdict in it, or it was full before")]
    NoVerdict,
    /// The driver.
    #[error("the driver took no part in it")]
    NoDriver,
    /// The interrupt.
    #[error("no interrupt came before the driver")]
    NoInterrupt,
    /// The agent's reading of the clock.
    #[error("the agent did not read the clock before its verdict")]
    NoUser,
}

/// Whether an address belongs to a process.
pub(super) const fn is_user(address: u64) -> bool {
    address >> 63 == 0
}

impl Journey {
    /// Cuts the event `seq` out.
    ///
    /// # Errors
    /// [`JourneyError`].
    pub fn cut(entries: &[Entry], at: &Landmarks, seq: Seq) -> Result<Self, JourneyError> {
        let verdict_field = offset_of!(TraceSlot, verdict) as u64;
        let verdict = at
            .instrument
            .wrapping_add(u64::from(slot_offset(seq.slot())) + verdict_field);
        let end = position(entries, |entry| {
            entry.kind == Kind::UserStore && entry.address == verdict
        });
        let before = entries.get(..end.ok_or(JourneyError::NoVerdict)?);
        let before = before.unwrap_or_default();

        let of_driver = |entry: &Entry| is_code(entry) && at.driver.contains(&entry.address);
        let driver = position(before, of_driver).ok_or(JourneyError::NoDriver)?;
        let entry = before
            .iter()
            .take(driver)
            .rposition(|entry| entry.kind == Kind::Interrupt)
            .ok_or(JourneyError::NoInterrupt)?;
        let isr = position(before, |entry| {
            entry.kind == Kind::ClockRead && of_driver(entry)
        });
        let user = before
            .iter()
            .rposition(|entry| entry.kind == Kind::ClockRead && is_user(entry.address))
            .ok_or(JourneyError::NoUser)?;

        let mut journey = Self::default();
        let mut measured = 0..0;
        for (index, logged) in before.iter().enumerate().skip(entry) {
            if Some(index) == isr {
                measured.start = journey.instructions.len();
            }
            if index == user {
                measured.end = journey.instructions.len();
            }
            match logged.kind {
                Kind::Instruction | Kind::ClockRead => journey.instructions.push(logged.address),
                // It was begun, and will be once more: it counts once.
                Kind::Exception if journey.instructions.last() == Some(&logged.address) => {
                    journey.instructions.pop();
                }
                Kind::Exception | Kind::Interrupt | Kind::UserStore => {}
            }
        }
        journey.measured = isr.map(|_| measured);
        Ok(journey)
    }

    /// The instructions that are measured as `isr_to_user`; all of them where
    /// nothing is.
    #[must_use]
    pub fn shown(&self) -> &[u64] {
        self.measured
            .clone()
            .and_then(|measured| self.instructions.get(measured))
            .unwrap_or(&self.instructions)
    }
}

fn is_code(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::Instruction | Kind::ClockRead)
}

fn position(entries: &[Entry], is: impl Fn(&Entry) -> bool) -> Option<usize> {
    entries.iter().position(is)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KERNEL: u64 = 0xffff_ffff_8100_0000;
    const DRIVER: u64 = 0xffff_ffff_c000_0000;
    const AGENT: u64 = 0x7f00_0000_0000;

    fn landmarks() -> Landmarks {
        Landmarks {
            driver: DRIVER..DRIVER + 0x1000,
            instrument: 0xf000_0000,
        }
    }

    fn seq() -> Seq {
        Seq::new(3).expect("a number")
    }

    fn verdict() -> u64 {
        0xf000_0000 + u64::from(slot_offset(seq().slot())) + 40
    }

    fn log(entries: &[(Kind, u64)]) -> Vec<Entry> {
        entries
            .iter()
            .map(|&(kind, address)| Entry { kind, address })
            .collect()
    }

    fn event() -> Vec<(Kind, u64)> {
        use Kind::{ClockRead, Instruction, Interrupt, UserStore};
        vec![
            // A tick before the event.
            (Interrupt, KERNEL),
            (Instruction, KERNEL),
            (ClockRead, KERNEL + 2),
            (Interrupt, KERNEL + 0x10),
            (Instruction, KERNEL + 0x10),
            (Instruction, DRIVER),
            (ClockRead, DRIVER + 1),
            (Instruction, DRIVER + 4),
            (ClockRead, DRIVER + 8),
            (ClockRead, KERNEL + 2),
            (ClockRead, AGENT),
            (Instruction, AGENT + 2),
            (UserStore, 0x1000),
            (Instruction, AGENT + 4),
            (UserStore, verdict()),
            (Instruction, AGENT + 8),
        ]
    }

    #[test]
    fn an_event_goes_from_its_interrupt_to_its_verdict() {
        let journey = Journey::cut(&log(&event()), &landmarks(), seq()).expect("a journey");
        assert_eq!(journey.instructions.first(), Some(&(KERNEL + 0x10)));
        assert_eq!(journey.instructions.last(), Some(&(AGENT + 4)));
        assert_eq!(
            journey.shown(),
            [DRIVER + 1, DRIVER + 4, DRIVER + 8, KERNEL + 2]
        );
    }

    #[test]
    fn an_instruction_that_faults_counts_once() {
        let mut entries = event();
        entries.insert(8, (Kind::Exception, DRIVER + 4));
        entries.insert(9, (Kind::Instruction, DRIVER + 4));
        let journey = Journey::cut(&log(&entries), &landmarks(), seq()).expect("a journey");
        assert_eq!(journey.shown().len(), 4);
    }

    #[test]
    fn a_driver_that_does_not_stamp_leaves_the_whole_way() {
        let mut entries = event();
        for entry in &mut entries {
            if (DRIVER..DRIVER + 0x1000).contains(&entry.1) {
                entry.0 = Kind::Instruction;
            }
        }
        let journey = Journey::cut(&log(&entries), &landmarks(), seq()).expect("a journey");
        assert_eq!(journey.measured, None);
        assert_eq!(journey.shown().len(), 9);
    }

    #[test]
    fn what_is_missing_is_named() {
        let without = |gone: fn(&(Kind, u64)) -> bool| {
            let mut entries = event();
            entries.retain(|entry| !gone(entry));
            Journey::cut(&log(&entries), &landmarks(), seq()).expect_err("something is missing")
        };
        assert_eq!(
            without(|entry| entry.0 == Kind::UserStore),
            JourneyError::NoVerdict
        );
        assert_eq!(
            without(|entry| entry.0 == Kind::Interrupt),
            JourneyError::NoInterrupt
        );
        assert_eq!(without(|entry| entry.1 >= DRIVER), JourneyError::NoDriver);
        assert_eq!(without(|entry| entry.1 == AGENT), JourneyError::NoUser);
    }

    proptest! {
        #[test]
        fn any_log_is_cut_without_panic(
            entries in proptest::collection::vec((1_u64..6, 0_usize..6), 0..40),
        ) {
            let places = [KERNEL, DRIVER, DRIVER + 8, AGENT, verdict(), 0];
            let entries: Vec<Entry> = entries
                .into_iter()
                .filter_map(|(kind, place)| Some(Entry {
                    kind: Kind::from_word(kind)?,
                    address: *places.get(place)?,
                }))
                .collect();
            if let Ok(journey) = Journey::cut(&entries, &landmarks(), seq()) {
                prop_assert!(journey.shown().len() <= journey.instructions.len());
            }
        }
    }
}
