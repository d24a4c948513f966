// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Replies: the guest rings the doorbell, and the device notes when. It keeps
//! that on the host's side, since it is the device that wrote it; nothing that
//! the guest can write to is believed here.

use irqbed_abi::{reply::DOORBELL, trace::SLOTS};

use super::Seq;
use crate::tsc::HostTsc;

/// The reply that was last seen in a slot.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Number of the event; 0 for none.
    seq: u64,
    at: HostTsc,
}

/// When the last events were replied to, by their slots.
#[derive(Debug)]
pub(super) struct Replies(Box<[Seen]>);

impl Replies {
    pub fn new() -> Self {
        Self(vec![Seen::default(); SLOTS as usize].into_boxed_slice())
    }

    /// Takes a write to the doorbell BAR, the last event raised being number
    /// `last_seq`. False when it makes no sense: it is not the doorbell, or it
    /// names no event that has its slot still, or one that was replied to.
    pub fn take(&mut self, offset: u64, data: &[u8], last_seq: u64, at: HostTsc) -> bool {
        let Ok(word) = <[u8; 4]>::try_from(data) else {
            return false;
        };
        if offset != u64::from(DOORBELL) {
            return false;
        }
        let Some(seq) = named(u32::from_le_bytes(word), last_seq) else {
            return false;
        };
        match self.0.get_mut(seq.slot() as usize) {
            Some(seen) if seen.seq != seq.get() => {
                *seen = Seen { seq: seq.get(), at };
                true
            }
            _ => false,
        }
    }

    /// When an event was replied to, if it was and its slot is its own still.
    pub fn of(&self, seq: Seq) -> Option<HostTsc> {
        let seen = self.0.get(seq.slot() as usize)?;
        (seen.seq == seq.get()).then_some(seen.at)
    }
}

/// The event whose number ends in `word`, if its slot is its own still.
fn named(word: u32, last_seq: u64) -> Option<Seq> {
    let behind = (last_seq as u32).wrapping_sub(word);
    if behind >= SLOTS {
        return None;
    }
    Seq::new(last_seq.checked_sub(u64::from(behind))?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: HostTsc = HostTsc(77);

    fn ring(replies: &mut Replies, word: u32, last_seq: u64) -> bool {
        replies.take(0, &word.to_le_bytes(), last_seq, NOW)
    }

    #[test]
    fn a_reply_is_noted_once_and_for_its_event_only() {
        let mut replies = Replies::new();
        let seq = Seq(5);
        assert_eq!(replies.of(seq), None);
        assert!(ring(&mut replies, 5, 9));
        assert_eq!(replies.of(seq), Some(NOW));
        assert!(!ring(&mut replies, 5, 9), "a second one");
        assert_eq!(replies.of(Seq(4)), None);
        assert_eq!(replies.of(Seq(5 + u64::from(SLOTS))), None, "same slot");
    }

    #[test]
    fn an_event_that_was_not_raised_or_lost_its_slot_takes_no_reply() {
        let mut replies = Replies::new();
        assert!(!ring(&mut replies, 0, 0), "before the first event");
        assert!(!ring(&mut replies, 0, 9), "there is no event 0");
        assert!(!ring(&mut replies, 10, 9), "not raised yet");
        let last = 3 * u64::from(SLOTS);
        assert!(!ring(&mut replies, 2 * SLOTS, last), "its slot is reused");
        assert!(ring(&mut replies, 2 * SLOTS + 1, last));
    }

    #[test]
    fn numbers_longer_than_the_doorbell_are_known_by_their_lower_half() {
        let mut replies = Replies::new();
        let last = (7 << 32) + 2;
        for back in [0, 1, 2, 3, 1000] {
            let seq = Seq(last - back);
            assert!(ring(&mut replies, seq.get() as u32, last), "{back}");
            assert_eq!(replies.of(seq), Some(NOW), "{back}");
        }
    }

    #[test]
    fn only_a_whole_word_at_its_place_rings_the_doorbell() {
        let mut replies = Replies::new();
        for (offset, data) in [
            (0, &[1][..]),
            (0, &[1, 0]),
            (0, &[1, 0, 0, 0, 0, 0, 0, 0]),
            (4, &[1, 0, 0, 0]),
            (2, &[1, 0, 0, 0]),
            (u64::MAX, &[1, 0, 0, 0]),
            (0, &[]),
        ] {
            assert!(!replies.take(offset, data, 1, NOW), "{offset} {data:?}");
        }
        assert!(replies.take(0, &[1, 0, 0, 0], 1, NOW));
    }

    proptest! {
        #[test]
        fn what_is_taken_names_an_event_that_has_its_slot(word: u32, last_seq: u64) {
            match named(word, last_seq) {
                Some(seq) => {
                    prop_assert_eq!(seq.get() as u32, word);
                    prop_assert!(seq.get() <= last_seq);
                    prop_assert!(last_seq - seq.get() < u64::from(SLOTS));
                }
                None => prop_assert!(
                    (0..u64::from(SLOTS))
                        .map_while(|behind| last_seq.checked_sub(behind))
                        .all(|seq| seq == 0 || seq as u32 != word)
                ),
            }
        }
    }
}
