// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The text form of a fault, `KIND:KEY=VALUE,...`: the same on every command
//! line, in every file and in every result.

mod read;
mod write;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::description::Fault;

/// The keys that each kind takes.
pub(super) const EACH: &[&str] = &["chance", "after", "count", "seed"];
/// Those of a delay.
const DELAY: &[&str] = &["mean", "distribution", "min", "max", "sigma"];

/// The keys that a kind takes beside those that each takes.
pub(super) fn own_keys(kind: &str) -> Vec<&'static str> {
    let (own, delayed): (&[&str], bool) = match kind {
        "irq-lost" | "completions-swapped" => (&["vector"], false),
        "irq-duplicated" => (&["vector", "gap"], false),
        "irq-delayed" => (&["vector"], true),
        "irq-spurious" => (&["vector", "rate"], false),
        "irq-storm" => (&["vector", "interrupts", "rate"], false),
        "irq-misrouted" => (&["vector", "to"], false),
        "reads-ones" => (&["bar", "offset", "size"], false),
        "bits-stuck" => (&["bar", "offset", "mask", "value"], false),
        "dma-torn" => (&["bytes", "rest", "length"], false),
        "dma-late" => (&["length"], true),
        "dma-misplaced" => (&["offset", "place", "length"], false),
        "dma-corrupted" => (&["bits", "length"], false),
        "dma-failed" => (&["length"], false),
        _ => (&["when", "delay"], false),
    };
    let delay = if delayed { DELAY } else { &[] };
    own.iter().chain(delay).copied().collect()
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
#[path = "text_tests.rs"]
mod tests;
