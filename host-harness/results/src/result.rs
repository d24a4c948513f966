// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What comes out of a bench: the document that `--json` writes, and that
//! other commands read. `docs/json.md` describes it field by field.
//!
//! ```
//! use irqbed_results::{
//!     account::{Account, Loss},
//!     result::{Clock, Stages},
//!     stages::{Sample, Stage, StageHistograms},
//!     units::{Nanos, Unit},
//! };
//!
//! let mut histograms = StageHistograms::new(Unit::Nanoseconds);
//! histograms.record(&Sample {
//!     raise_to_isr: Some(80_000),
//!     isr_to_notify: Some(900),
//!     notify_to_user: Some(150_000),
//!     ..Sample::default()
//! });
//! let stages = Stages::from(&histograms);
//! assert_eq!(stages[&Stage::RaiseToUser].p50, 230_900);
//!
//! let mut account = Account::new(2, 1);
//! account.lose(Loss::RingOverflow, 1);
//! assert!(account.balances());
//!
//! // Error bound and drift, and what the result claims to be right within.
//! let clock = Clock::wall(Nanos(310), Nanos(40), Nanos(1_000));
//! assert!(clock.is_valid());
//! ```
//!
//! These go into a [`RunResult`], results and an
//! [`Environment`] into a [`Document`].

mod clock;
#[cfg(test)]
pub(crate) mod examples;
mod fault;
mod file;
mod histogram;
mod parameters;
#[cfg(test)]
mod schema_tests;
mod stats;
mod timeline;

use std::collections::BTreeMap;

use irqbed_abi::{
    control::{ListenerReport, ListenerSpec},
    counters::Counters,
};
use serde::{Deserialize, Serialize};

pub use clock::Clock;
pub use fault::FaultCounts;
pub use file::{JsonTarget, ReadError, WriteError};
pub use histogram::HistogramError;
pub use irqbed_abi::control::Behaviour;
pub use parameters::{Delivery, Parameters, Scheduling};
pub use stats::{StageStats, Stages};
pub use timeline::Timeline;

use crate::{account::Account, environment::Environment, stages::Stage, units::Nanos};

/// Name of the schema: `irqbed/` and the version. Fields may be added within
/// a version; a changed meaning or a removed field makes a new one.
pub const SCHEMA: &str = "irqbed/1";

/// A whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// [`SCHEMA`].
    schema: String,
    /// Where it was measured.
    pub environment: Environment,
    /// One entry per pair of mechanism and context.
    pub results: Vec<RunResult>,
}

impl Document {
    /// A document of the current schema.
    #[must_use]
    pub fn new(environment: Environment, results: Vec<RunResult>) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            environment,
            results,
        }
    }

    /// The results of each thing that was measured, in the order of its first
    /// one: several where it was measured in rounds.
    #[must_use]
    pub fn rounds(&self) -> Vec<Vec<&RunResult>> {
        let mut things: Vec<Vec<&RunResult>> = Vec::new();
        for result in &self.results {
            let same = |rounds: &&mut Vec<&RunResult>| {
                rounds
                    .first()
                    .is_some_and(|first| first.name() == result.name())
            };
            match things.iter_mut().find(same) {
                Some(rounds) => rounds.push(result),
                None => things.push(vec![result]),
            }
        }
        things
    }
}

/// One run: events of one kind, told by one mechanism in one context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// How the driver tells the process, e.g. `netlink`.
    pub mechanism: String,
    /// Where in the kernel it does so, e.g. `hardirq`.
    pub context: String,
    /// The clock behind the figures.
    pub clock: Clock,
    /// What was asked for.
    pub parameters: Parameters,
    /// From the first event to the last.
    pub duration_ns: Nanos,
    /// What became of the events, as the measuring listener saw them.
    pub account: Account,
    /// The faults of the device while events were raised, and how often each
    /// happened.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<FaultCounts>,
    /// What became of the replies to them, where the measuring listener replied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replies: Option<Replies>,
    /// Every listener of the run.
    pub listeners: Vec<Listener>,
    /// The driver's counters after the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub driver: Option<Counters>,
    /// How fast the mechanism can be, where that was looked for; all the rest
    /// speaks of the run at that rate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Saturation>,
    /// The stages that events went through.
    pub stages: Stages,
    /// The median of each stage in each turn, where it took turns with another one
    /// (`bench_orders` of `irqbed-measure`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub turns: Option<TurnMedians>,
    /// How the longest of them changed over the run; `None` where no event went
    /// through it, and in older documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Timeline>,
    /// What a reader of the figures should know, one sentence each.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl RunResult {
    /// The context for a narrow column, with a star where the kernel moves the
    /// handler into a thread; a note says so.
    #[must_use]
    pub fn context_in_short(&self) -> String {
        match self.context.split_once(" (") {
            Some((context, _)) => format!("{context}*"),
            None => self.context.clone(),
        }
    }

    /// The context, and the way to reply where there is one.
    #[must_use]
    pub fn context_and_reply(&self) -> String {
        match &self.replies {
            Some(replies) => format!("{}, replies by {}", self.context, replies.by),
            None => self.context.clone(),
        }
    }

    /// What was measured: mechanism, context, and the way to reply.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{} in {}", self.mechanism, self.context_and_reply())
    }

    /// Why the figures must not be believed, one sentence each; empty for a
    /// valid result.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.clock.problem().into_iter().collect();
        let unexplained = self.account.unexplained();
        if unexplained != 0 {
            problems.push(format!(
                "the account does not balance: {unexplained} events unexplained"
            ));
        }
        let unexplained = self
            .replies
            .as_ref()
            .map_or(0, |replies| replies.account.unexplained());
        if unexplained != 0 {
            problems.push(format!(
                "the account of the replies does not balance: {unexplained} replies unexplained"
            ));
        }
        for (number, listener) in self.listeners.iter().enumerate() {
            if !listener.alive {
                problems.push(format!("listener {number} died during the run"));
            }
            let left = listener.account.as_ref().map_or(0, Account::unexplained);
            if left != 0 {
                problems.push(format!(
                    "the account of listener {number} does not balance: {left} events unexplained"
                ));
            }
        }
        problems
    }
}

/// The median of a stage in each turn, in their order; `None` where no event of
/// the turn went through it.
pub type TurnMedians = BTreeMap<Stage, Vec<Option<Nanos>>>;

/// The replies of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replies {
    /// How they were made, e.g. `write`.
    pub by: String,
    /// What became of them: raised by the listener, delivered to the device.
    pub account: Account,
}

/// The highest rate at which nothing was lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saturation {
    /// That rate, events a second.
    pub lossless_hz: f64,
    /// The lowest rate at which something was, and what; `None` where the
    /// harness could not raise events any faster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lossy: Option<Lossy>,
    /// Length of each trial.
    pub trial_ns: Nanos,
}

/// A rate at which events were lost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lossy {
    /// Events a second.
    pub hz: f64,
    /// The account of the trial.
    pub account: Account,
}

/// One listener, and what it has seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// How it gets its events.
    pub delivery: Delivery,
    /// What it does with them.
    pub behaviour: Behaviour,
    /// Events received, good and bad.
    pub received: u64,
    /// Events whose payload was not what was sent.
    pub bad_payload: u64,
    /// Events that came after a later one of the same vector.
    pub out_of_order: u64,
    /// Datagrams that were no event.
    pub malformed: u64,
    /// Times it was told that its buffer had overrun.
    pub overrun_signals: u64,
    /// Times the queue of real-time signals had overflowed.
    #[serde(default)]
    pub signal_overflows: u64,
    /// Times it came back from the call that waits; one may bring several
    /// events.
    #[serde(default)]
    pub wake_ups: u64,
    /// Notifications that came together with another one, where the mechanism
    /// counts them.
    #[serde(default)]
    pub coalesced: u64,
    /// What the kernel dropped because it had no room for it: messages at its socket, or
    /// events at its queue of the driver.
    pub kernel_drops: u64,
    /// Whether it lived to the end of the run.
    pub alive: bool,
    /// Its own account, where there is more than one listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Account>,
}

impl Listener {
    /// From what was asked for and what the agent reports.
    #[must_use]
    pub fn new(spec: &ListenerSpec, report: &ListenerReport) -> Self {
        Self {
            delivery: spec.mechanism.into(),
            behaviour: spec.behaviour,
            received: report.received,
            bad_payload: report.bad_payload,
            out_of_order: report.out_of_order,
            malformed: report.malformed,
            overrun_signals: report.overrun_signals,
            signal_overflows: report.signal_overflows,
            wake_ups: report.wake_ups,
            coalesced: report.coalesced,
            kernel_drops: report.kernel_drops,
            alive: report.alive,
            account: None,
        }
    }
}
