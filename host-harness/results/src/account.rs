// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The account that every run closes with: each event that was raised was
//! delivered, or did not arrive for a reason that has a name. The replies to
//! events have one of their own, by the same rule.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

/// A way for an event not to arrive. Each is counted where it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Loss {
    /// Device: the driver's ring, or its payload area, had no room.
    RingOverflow,
    /// Device: the guest's memory could not be written.
    DmaError,
    /// Device: the driver gave the ring up, or the device was reset, before the
    /// record was taken.
    Discarded,
    /// Device: the record is in the ring, and the driver does not see it.
    LeftInRing,
    /// Driver: the record made no sense.
    BadRecord,
    /// Driver: the record never became complete.
    MissingRecord,
    /// Driver: nobody had subscribed.
    NoListener,
    /// Driver: the listener's receive buffer was full.
    SocketFull,
    /// Driver: the queue of the listener's file was full.
    QueueFull,
    /// Driver: the listener died between lookup and delivery.
    ListenerGone,
    /// Driver: no buffer could be allocated.
    NoMemory,
    /// Guest kernel: a broadcast found this listener's buffer full.
    SocketOverrun,
    /// Agent: the event was queued to a listener that died before reading it.
    UnreadByDeadListener,
    /// Agent: the payload is not what was sent.
    BadPayload,
    /// Agent: the event came with the trace slot of another one.
    WrongSlot,
    /// Agent: the event came after a later one of its vector.
    OutOfOrder,
    /// Agent: the driver's socket did not take the reply.
    ReplyUnsent,
    /// Driver: the reply was malformed, not permitted, or to no event that the
    /// slot speaks of.
    ReplyRefused,
    /// Device: the reply was to no event it knows, or to one that was replied
    /// to before.
    ReplyUnknown,
}

impl Loss {
    /// The name in tables and JSON documents.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RingOverflow => "ring_overflow",
            Self::DmaError => "dma_error",
            Self::Discarded => "discarded",
            Self::LeftInRing => "left_in_ring",
            Self::BadRecord => "bad_record",
            Self::MissingRecord => "missing_record",
            Self::NoListener => "no_listener",
            Self::SocketFull => "socket_full",
            Self::QueueFull => "queue_full",
            Self::ListenerGone => "listener_gone",
            Self::NoMemory => "no_memory",
            Self::SocketOverrun => "socket_overrun",
            Self::UnreadByDeadListener => "unread_by_dead_listener",
            Self::BadPayload => "bad_payload",
            Self::WrongSlot => "wrong_slot",
            Self::OutOfOrder => "out_of_order",
            Self::ReplyUnsent => "reply_unsent",
            Self::ReplyRefused => "reply_refused",
            Self::ReplyUnknown => "reply_unknown",
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What became of the events of a run, as one listener should have seen them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stated", try_from = "Stated")]
pub struct Account {
    /// Events the device was asked to raise.
    pub raised: u64,
    /// Events that arrived, intact and in order.
    pub delivered: u64,
    /// Events that did not, by the name of the reason; names with 0 are left
    /// out. A document may know names that this version does not.
    pub lost: BTreeMap<String, u64>,
}

impl Account {
    /// Nothing lost yet.
    #[must_use]
    pub fn new(raised: u64, delivered: u64) -> Self {
        Self {
            raised,
            delivered,
            lost: BTreeMap::new(),
        }
    }

    /// Adds events that did not arrive.
    pub fn lose(&mut self, loss: Loss, count: u64) -> &mut Self {
        if count > 0 {
            let known = self.lost.entry(loss.as_str().to_owned()).or_default();
            *known = known.saturating_add(count);
        }
        self
    }

    /// Events that did not arrive for a reason that has a name.
    #[must_use]
    pub fn total_lost(&self) -> u64 {
        self.lost
            .values()
            .fold(0, |sum, &count| sum.saturating_add(count))
    }

    /// Events raised that are neither delivered nor lost by name; negative
    /// when more came out than went in.
    #[must_use]
    pub fn unexplained(&self) -> i64 {
        let lost: i128 = self.lost.values().map(|&count| i128::from(count)).sum();
        let left = i128::from(self.raised) - i128::from(self.delivered) - lost;
        i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX })
    }

    /// Whether nothing is unexplained.
    #[must_use]
    pub fn balances(&self) -> bool {
        self.unexplained() == 0
    }
}

/// The account as it stands in a document: with its result.
#[derive(Serialize, Deserialize)]
struct Stated {
    raised: u64,
    delivered: u64,
    lost: BTreeMap<String, u64>,
    unexplained: i64,
}

impl From<Account> for Stated {
    fn from(account: Account) -> Self {
        let unexplained = account.unexplained();
        let Account {
            raised,
            delivered,
            lost,
        } = account;
        Self {
            raised,
            delivered,
            lost,
            unexplained,
        }
    }
}

impl TryFrom<Stated> for Account {
    type Error = String;

    fn try_from(stated: Stated) -> Result<Self, String> {
        let Stated {
            raised,
            delivered,
            lost,
            unexplained,
        } = stated;
        let account = Self {
            raised,
            delivered,
            lost,
        };
        if account.unexplained() == unexplained {
            Ok(account)
        } else {
            Err(format!(
                "the account states {unexplained} unexplained events, its own figures leave {}",
                account.unexplained()
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_with_every_loss_named_balances() {
        let mut account = Account::new(100, 90);
        account
            .lose(Loss::SocketFull, 6)
            .lose(Loss::RingOverflow, 4)
            .lose(Loss::NoMemory, 0);
        assert!(account.balances());
        assert_eq!(account.total_lost(), 10);
        assert!(!account.lost.contains_key("no_memory"));
    }

    #[test]
    fn what_nobody_counted_is_unexplained() {
        let mut account = Account::new(100, 90);
        account.lose(Loss::SocketFull, 7);
        assert_eq!(account.unexplained(), 3);
        assert!(!account.balances());
    }

    #[test]
    fn more_out_than_in_is_unexplained_too() {
        assert_eq!(Account::new(100, 101).unexplained(), -1);
    }

    #[test]
    fn absurd_figures_do_not_overflow() {
        let mut account = Account::new(0, u64::MAX);
        account
            .lose(Loss::SocketFull, u64::MAX)
            .lose(Loss::NoListener, u64::MAX);
        assert_eq!(account.unexplained(), i64::MIN);
        assert_eq!(account.total_lost(), u64::MAX);
    }

    #[test]
    fn json_states_what_is_unexplained() {
        let json = serde_json::to_value(Account::new(10, 9)).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"raised": 10, "delivered": 9, "lost": {}, "unexplained": 1})
        );
        assert_eq!(
            serde_json::from_value::<Account>(json).unwrap(),
            Account::new(10, 9)
        );
    }

    #[test]
    fn a_document_whose_account_contradicts_itself_is_refused() {
        let json = serde_json::json!({"raised": 10, "delivered": 9, "lost": {}, "unexplained": 0});
        let error = serde_json::from_value::<Account>(json)
            .unwrap_err()
            .to_string();
        assert!(error.contains("states 0 unexplained events"), "{error}");
    }
}
