// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What comes out: a table for people, and the document that `--json` writes.
//! `docs/json.md` describes it field by field.

use std::fmt::Write;

use irqbed_results::{
    environment::Environment,
    ratio::{Quantile, Rounds},
    result::{JsonTarget, WriteError},
    units::thousands,
};
use serde::{Deserialize, Serialize};

use super::{Measured, Plan, Serves, Way};

/// Name of the schema, and its version.
const SCHEMA: &str = "irqbed-mmio/1";

/// A whole document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// `irqbed-mmio/1`.
    schema: String,
    /// Where it was measured.
    pub environment: Environment,
    /// What was asked for.
    pub parameters: Parameters,
    /// Who was measured, in the order given.
    pub servers: Vec<Server>,
    /// How long accesses took.
    pub figures: Vec<Figures>,
    /// How many times as long as at another server.
    pub ratios: Vec<ServerRatio>,
    /// What a reader of the figures should know, one sentence each.
    pub notes: Vec<String>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// Bytes of an access.
    pub width: u32,
    /// What was written; `None` where it was read.
    pub write: Option<u64>,
    /// Accesses of each register in a round.
    pub count: u64,
    /// Rounds.
    pub rounds: u64,
    /// Virtual processors of the guest.
    pub vcpus: u32,
}

/// A server that was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The name by which figures and ratios speak of it.
    pub name: String,
    /// The region.
    pub region: u32,
    /// Where in it, bytes.
    pub offset: u64,
    /// How long its thread spun for a message, microseconds, of a device of
    /// ours; `None` of others, of which it is not known.
    pub poll_us: Option<u64>,
}

/// How long accesses took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figures {
    /// Of which server.
    pub server: String,
    /// From where.
    pub way: Way,
    /// How many there were.
    pub count: u64,
    /// The shortest, nanoseconds.
    pub min_ns: f64,
    /// The median.
    pub p50_ns: f64,
    /// What 90 of 100 do not exceed.
    pub p90_ns: f64,
    /// What 99 of 100 do not exceed.
    pub p99_ns: f64,
    /// The longest.
    pub max_ns: f64,
}

/// How many times as long the median access takes as at another server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerRatio {
    /// The one.
    pub server: String,
    /// The other.
    pub to: String,
    /// From where.
    pub way: Way,
    /// As it was measured.
    pub value: f64,
    /// With 95 % confidence at least.
    pub low: f64,
    /// With 95 % confidence at most.
    pub high: f64,
}

impl Document {
    /// The document of what was measured.
    #[must_use]
    pub fn new(environment: Environment, plan: &Plan, measured: Measured) -> Self {
        let name = |index: usize| plan.targets.get(index).map(ToString::to_string);
        let mut figures = Vec::new();
        let mut ratios = Vec::new();
        for (way, rounds) in &measured.rounds {
            for (index, of) in rounds.iter().enumerate() {
                let server = name(index).unwrap_or_default();
                figures.extend(Figures::new(server.clone(), *way, of));
                for (behind, other) in rounds.iter().enumerate().skip(index + 1) {
                    let ratio = of.ratio(other, Quantile::P50);
                    ratios.extend(ratio.map(|ratio| ServerRatio {
                        server: server.clone(),
                        to: name(behind).unwrap_or_default(),
                        way: *way,
                        value: ratio.value,
                        low: ratio.interval.low,
                        high: ratio.interval.high,
                    }));
                }
            }
        }
        let server = |target: &super::Target| Server {
            name: target.to_string(),
            region: target.region,
            offset: target.offset,
            poll_us: match &target.serves {
                Serves::Ours(_, poll) => u64::try_from(poll.as_micros()).ok(),
                Serves::Socket(_) => None,
            },
        };
        Self {
            schema: SCHEMA.to_owned(),
            environment,
            parameters: Parameters {
                width: plan.width,
                write: plan.write,
                count: plan.count,
                rounds: plan.rounds,
                vcpus: plan.vcpus,
            },
            servers: plan.targets.iter().map(server).collect(),
            figures,
            ratios,
            notes: measured.notes,
        }
    }

    /// As JSON.
    fn to_json(&self) -> String {
        // Nothing in it can fail to be written.
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }

    /// Writes it.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write(&self, target: &JsonTarget) -> Result<(), WriteError> {
        target.write(self.to_json().as_bytes())
    }

    /// As a table.
    #[must_use]
    pub fn table(&self) -> String {
        let asked = &self.parameters;
        let (rounds, count) = (thousands(asked.rounds), thousands(asked.count));
        let what = match (asked.width, asked.write) {
            (1, None) => "1 byte read".to_owned(),
            (1, Some(_)) => "1 byte written".to_owned(),
            (width, None) => format!("{width} bytes read"),
            (width, Some(_)) => format!("{width} bytes written"),
        };
        let mut text = format!("{what}: {rounds} rounds of {count} at each server, in turns\n");
        for way in [Way::Socket, Way::Guest] {
            self.of_way(way, &mut text);
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text.push('\n');
        for (label, value) in self.environment.parts() {
            // Without a guest nothing is said of one.
            if !(matches!(label, "guest" | "accelerator")
                && self.environment.guest_kernel.is_empty())
            {
                let _ = writeln!(text, "{label}: {value}");
            }
        }
        text
    }

    fn of_way(&self, way: Way, text: &mut String) {
        let figures: Vec<_> = self.figures.iter().filter(|one| one.way == way).collect();
        if figures.is_empty() {
            return;
        }
        let title = match way {
            Way::Socket => "over the socket, µs",
            Way::Guest => "from the guest, µs",
        };
        let names = figures.iter().map(|one| one.server.chars().count());
        let column = names.max().unwrap_or_default().max(title.chars().count());
        let _ = writeln!(
            text,
            "\n{title:<column$} {:>9} {:>8} {:>8} {:>8} {:>8} {:>9}",
            "count", "min", "p50", "p90", "p99", "max"
        );
        for one in figures {
            let [min, p50, p90, p99, max] =
                [one.min_ns, one.p50_ns, one.p90_ns, one.p99_ns, one.max_ns]
                    .map(|nanos| nanos / 1000.0);
            let count = thousands(one.count);
            let _ = writeln!(
                text,
                "{:<column$} {count:>9} {min:>8.2} {p50:>8.2} {p90:>8.2} {p99:>8.2} {max:>9.2}",
                one.server
            );
        }
        for ratio in self.ratios.iter().filter(|ratio| ratio.way == way) {
            let _ = writeln!(
                text,
                "ratio of the p50: {:.2} ({:.2} to {:.2})  {} : {}",
                ratio.value, ratio.low, ratio.high, ratio.server, ratio.to
            );
        }
    }
}

impl Figures {
    /// `None` where nothing was measured.
    fn new(server: String, way: Way, rounds: &Rounds) -> Option<Self> {
        let at = |quantile| rounds.quantile(quantile);
        let mut all = rounds.0.iter().flatten().copied();
        let first = all.next()?;
        let (min, max) = all.fold((first, first), |(min, max), value| {
            (min.min(value), max.max(value))
        });
        Some(Self {
            server,
            way,
            count: rounds.count() as u64,
            min_ns: min,
            p50_ns: at(Quantile::P50)?,
            p90_ns: at(Quantile::P90)?,
            p99_ns: at(Quantile::P99)?,
            max_ns: max,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use irqbed_machine::{
        accel::{Accelerator, Choice},
        artefacts::Artefacts,
        builtin::Builtin,
    };
    use serde_json::Value;

    use super::*;
    use crate::{environment::gather, mmio::Target};

    fn document() -> Document {
        let target = |poll| Target::of_ours(Builtin::Event, Duration::from_micros(poll), false);
        let plan = Plan {
            targets: vec![target(0), target(50)],
            ways: vec![Way::Socket, Way::Guest],
            width: 4,
            write: None,
            count: 2,
            rounds: 2,
            accelerator: Accelerator::Tcg,
            vcpus: 1,
        };
        let rounds = |scale: f64| Rounds(vec![vec![scale, 2.0 * scale]; 2]);
        let of_way = |way| (way, vec![rounds(2000.0), rounds(1000.0)]);
        let measured = Measured {
            rounds: plan.ways.iter().copied().map(of_way).collect(),
            kernel: String::new(),
            notes: vec!["a note".to_owned()],
        };
        let choice = Choice {
            accelerator: Accelerator::Tcg,
            reason: "asked for".to_owned(),
        };
        let environment = gather(&Artefacts::below("/no/such".into()), "6.12.0", &choice);
        Document::new(environment, &plan, measured)
    }

    fn names(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, field)| {
                into.push(name.clone());
                names(field, into);
            }),
            Value::Array(items) => items.iter().for_each(|item| names(item, into)),
            _ => {}
        }
    }

    #[test]
    fn the_page_names_every_field() {
        const PAGE: &str = include_str!("../../../../docs/json.md");
        let page = PAGE.split("## `bench-mmio`").nth(1).expect("a section");
        let page = page.split("\n## ").next().expect("its text");
        let mut value: Value = serde_json::from_str(&document().to_json()).expect("JSON");
        value["environment"] = Value::Null;
        let mut fields = Vec::new();
        names(&value, &mut fields);
        assert!(fields.len() > 40, "{fields:?}");
        for field in fields {
            assert!(
                page.contains(&format!("`{field}`")),
                "it does not name {field}"
            );
        }
        assert!(page.contains(SCHEMA));
    }

    #[test]
    fn a_document_is_read_as_it_was_written() {
        let read: Document = serde_json::from_str(&document().to_json()).expect("JSON");
        assert_eq!(read, document());
    }

    #[test]
    fn each_server_is_compared_with_those_behind_it_in_each_way() {
        let document = document();
        assert_eq!(document.ratios.len(), 2);
        let ratio = &document.ratios[0];
        assert_eq!((ratio.value, ratio.low, ratio.high), (2.0, 2.0, 2.0));
        let table = document.table();
        for part in [
            "4 bytes read: 2 rounds of 2",
            "over the socket, µs",
            "from the guest, µs",
            "ratio of the p50: 2.00 (2.00 to 2.00)  event : event, polling 50 µs",
            "note: a note",
        ] {
            assert!(table.contains(part), "no {part:?} in {table}");
        }
    }
}
