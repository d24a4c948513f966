// SPDX-License-Identifier: Apache-2.0 OR MIT
//! All there is to ask for, in words: for command lines and their readers.

use super::{
    kind::NAMES,
    text::{EACH, own_keys},
};

/// A kind of fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Its name in the text form.
    pub name: &'static str,
    /// What happens, in a few words.
    pub meaning: &'static str,
    /// The keys it takes beside those that each takes, which are
    /// [`keys_of_each`].
    pub keys: Vec<&'static str>,
}

/// A key of the text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// What its value is.
    pub value: &'static str,
    /// What it says, and in brackets what holds unless it is given.
    pub meaning: &'static str,
}

/// All kinds, in the order of [`NAMES`].
pub fn kinds() -> impl Iterator<Item = Kind> {
    NAMES.iter().map(|&name| Kind {
        name,
        meaning: meaning(name),
        keys: own_keys(name),
    })
}

/// The keys that each kind takes.
#[must_use]
pub const fn keys_of_each() -> &'static [&'static str] {
    EACH
}

fn meaning(kind: &str) -> &'static str {
    match kind {
        "irq-lost" => "an interrupt is lost, and the device thinks that it was sent",
        "irq-duplicated" => "an interrupt comes twice",
        "irq-delayed" => "an interrupt is late",
        "irq-spurious" => "interrupts with no event behind them, from now on",
        "irq-storm" => "many interrupts follow one",
        "irq-misrouted" => "an interrupt comes on another vector",
        "reads-ones" => "registers read all ones, as of a device that does not answer",
        "bits-stuck" => "bits of a register read as if they were stuck",
        "dma-torn" => "only the first part of a write arrives at once",
        "dma-late" => "a write arrives after what was written or signalled behind it",
        "dma-misplaced" => "a write goes to another place",
        "dma-corrupted" => "a write arrives with bits flipped",
        "dma-failed" => "a write is refused, and the device told so",
        "completions-swapped" => "two completions of a burst change places",
        "removed" => "the function is gone: all ones, no interrupt, no DMA",
        "returned" => "a function that is gone comes back, as after power on",
        "reset" => "the function is reset, and its driver not told",
        _ => "",
    }
}

/// All keys.
pub const KEYS: &[Key] = &[
    key("vector", "N", "on this vector alone (on all)"),
    key("gap", "TIME", "the second so long after the first (100us)"),
    key("mean", "TIME", "how late, on average (1ms)"),
    key(
        "distribution",
        "NAME",
        "constant, uniform, exponential or lognormal (constant)",
    ),
    key("min", "TIME", "no less late than that (0ns)"),
    key("max", "TIME", "no later than that (60s; uniform needs it)"),
    key(
        "sigma",
        "NUMBER",
        "of lognormal: deviation of the logarithm, to 4 (0.5)",
    ),
    key(
        "rate",
        "HZ",
        "so many a second (irq-spurious a single one, irq-storm 10000)",
    ),
    key("interrupts", "N", "how many follow (1000)"),
    key("to", "N", "the other vector (any of the others)"),
    key("bar", "N", "the BAR (reads-ones all of them, bits-stuck 0)"),
    key(
        "offset",
        "BYTES",
        "of the register, or how far on a write goes (reads-ones 0)",
    ),
    key("size", "BYTES", "of the registers (all behind the offset)"),
    key("mask", "BITS", "the bits that are stuck"),
    key("value", "BITS", "what they are stuck at"),
    key("bytes", "N", "how much of the write arrives at once"),
    key("rest", "TIME", "when the rest does (never)"),
    key(
        "place",
        "NAME",
        "page, around the end of its own; anywhere; outside (page)",
    ),
    key("bits", "N", "how many are flipped, to 64 (1)"),
    key("length", "BYTES", "writes of this length alone (of any)"),
    key(
        "when",
        "ACCESS",
        "at an interrupt, dma, read or write (now, or after the delay)",
    ),
    key("delay", "TIME", "so long after it was armed (0ns)"),
    key(
        "chance",
        "NUMBER",
        "how likely at each opportunity, above 0 (1)",
    ),
    key("after", "N", "so many opportunities pass before (0)"),
    key(
        "count",
        "N",
        "most times that it happens (no limit; with when= 1)",
    ),
    key("seed", "N", "what its chances are thrown from (1)"),
];

/// All of it as two tables of Markdown, as docs/faults.md has them: the kinds,
/// and the keys.
#[must_use]
pub fn to_markdown() -> String {
    let mut text = "| kind | what happens | its keys |\n| --- | --- | --- |\n".to_owned();
    let keys = |keys: &[&str]| {
        let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
        keys.join(", ")
    };
    for kind in kinds() {
        let (name, meaning) = (kind.name, kind.meaning);
        text += &format!("| `{name}` | {meaning} | {} |\n", keys(&kind.keys));
    }
    text += &format!("| each of them | | {} |\n", keys(EACH));
    text += "\n| key | meaning, and in brackets what holds where it is left out |\n| --- | --- |\n";
    for Key {
        name,
        value,
        meaning,
    } in KEYS
    {
        text += &format!("| `{name}={value}` | {meaning} |\n");
    }
    text
}

const fn key(name: &'static str, value: &'static str, meaning: &'static str) -> Key {
    Key {
        name,
        value,
        meaning,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_and_every_key_is_said_something_of() {
        for kind in kinds() {
            assert!(!kind.meaning.is_empty(), "{}", kind.name);
            for name in kind.keys.iter().chain(EACH) {
                let known = KEYS.iter().filter(|key| key.name == *name);
                assert_eq!(known.count(), 1, "{name} of {}", kind.name);
            }
        }
    }

    #[test]
    fn no_key_is_there_that_nothing_takes() {
        for key in KEYS {
            let takes = |kind: Kind| kind.keys.contains(&key.name);
            let used = EACH.contains(&key.name) || kinds().any(takes);
            assert!(used, "{}", key.name);
        }
    }
}
