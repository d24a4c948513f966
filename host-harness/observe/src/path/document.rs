// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What comes out: the path of one event, as `--json` writes it.

use irqbed_abi::trace::TraceSlot;
use irqbed_results::{
    environment::Environment,
    result::{JsonTarget, WriteError},
};
use serde::Serialize;

use super::{Function, Functions, Journey, Logged, Plan};

/// Name of the schema.
const SCHEMA: &str = "irqbed-path/1";

/// The path of one event.
#[derive(Debug, Clone, Serialize)]
pub struct PathDocument {
    schema: &'static str,
    /// Where it was logged.
    pub environment: Environment,
    /// How the driver tells the process.
    pub mechanism: &'static str,
    /// Where in the kernel it does so.
    pub context: &'static str,
    /// Payload of the event, bytes.
    pub payload_bytes: u32,
    /// Events that were logged; this one is the median.
    pub events: u64,
    /// The parts of the way.
    pub legs: Legs,
    /// Each function of the whole way, the most instructions of the measured
    /// part first.
    pub functions: Vec<Row>,
    /// The whole way in the order of time, an entry for each stay in a
    /// function.
    pub stays: Vec<Function>,
}

/// Instructions of the parts of the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Legs {
    /// From the first instruction of the interrupt to the verdict.
    pub entry_to_verdict: u64,
    /// `isr_to_user` as the log has it; `None` where the driver stamps nothing.
    pub isr_to_user: Option<u64>,
    /// `isr_to_user` by the stamps.
    pub stamped: Option<u64>,
}

impl Legs {
    fn of(slot: &TraceSlot, journey: &Journey) -> Self {
        let stamped = (slot.isr != 0).then(|| slot.user.wrapping_sub(slot.isr));
        Self {
            entry_to_verdict: journey.instructions.len() as u64,
            isr_to_user: journey.measured.as_ref().map(|part| part.len() as u64),
            stamped,
        }
    }
}

/// Instructions executed in one function, by the part of the way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its name, with its module in brackets.
    pub name: String,
    /// Between the stamps `isr` and `user`; of the whole way where there are
    /// none.
    pub instructions: u64,
    /// Before the first stamp.
    pub before: u64,
    /// After the last one, up to the verdict.
    pub after: u64,
}

impl PathDocument {
    /// The document of an event.
    #[must_use]
    pub fn new(
        environment: Environment,
        plan: &Plan,
        event: &Logged,
        functions: &Functions,
    ) -> Self {
        let Logged { slot, journey } = event;
        let all = &journey.instructions;
        let measured = journey.measured.clone().unwrap_or(0..all.len());
        let part = |range| functions.count(all.get(range).unwrap_or_default());
        let before = part(0..measured.start);
        let after = part(measured.end..all.len());
        let count = |rows: &[Function], name: &str| {
            let found = rows.iter().find(|row| row.name == name);
            found.map_or(0, |row| row.instructions)
        };
        let measured = part(measured);
        let mut rows: Vec<Row> = functions
            .count(all)
            .into_iter()
            .map(|Function { name, .. }| Row {
                instructions: count(&measured, &name),
                before: count(&before, &name),
                after: count(&after, &name),
                name,
            })
            .collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.instructions));
        Self {
            schema: SCHEMA,
            environment,
            mechanism: plan.pair.mechanism.as_str(),
            context: plan.pair.context.as_str(),
            payload_bytes: plan.payload,
            events: plan.events,
            legs: Legs::of(slot, journey),
            functions: rows,
            stays: functions.stays(all),
        }
    }

    /// Writes it as JSON; a file is there whole or not at all.
    ///
    /// # Errors
    /// [`WriteError`]; a former file is left as it was then.
    pub fn write(&self, target: &JsonTarget) -> Result<(), WriteError> {
        let mut text = serde_json::to_string_pretty(self).expect("plain data with string keys");
        text.push('\n');
        target.write(text.as_bytes())
    }
}
