// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Faults as a person reads them: those that are armed, what each did, and all
//! there is to ask for.

use std::fmt::Write;

use device_model::fault::{
    FaultReport,
    catalogue::{KEYS, Key, Kind, keys_of_each, kinds},
};
use irqbed_results::units::thousands;

/// A table, a line for each fault; a sentence where there is none.
#[must_use]
pub fn table(reports: &[FaultReport]) -> String {
    if reports.is_empty() {
        return "no fault is armed\n".to_owned();
    }
    let headings = ["id", "fault", "opportunities", "hits"].map(str::to_owned);
    let cells = |report: &FaultReport| {
        [
            report.id.to_string(),
            report.fault.to_string(),
            thousands(report.opportunities),
            thousands(report.hits),
        ]
    };
    let rows: Vec<_> = std::iter::once(headings)
        .chain(reports.iter().map(cells))
        .collect();
    let [id, fault, opportunities, hits] = [0, 1, 2, 3].map(|column: usize| {
        let widths = rows.iter().filter_map(|row| row.get(column));
        widths.map(String::len).max().unwrap_or(0)
    });
    let mut text = String::new();
    for [number, name, could, did] in &rows {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{number:>id$}  {name:fault$}  {could:>opportunities$}  {did:>hits$}"
        );
    }
    text
}

/// All kinds with their keys, and all keys.
#[must_use]
pub fn about() -> String {
    let mut text = "KIND:KEY=VALUE,... of these kinds, with the keys of each:\n\n".to_owned();
    let all: Vec<Kind> = kinds().collect();
    let names = all.iter().map(|kind| kind.name.len());
    let width = names.max().unwrap_or(0);
    for kind in &all {
        let _ = writeln!(text, "{:width$}  {}", kind.name, kind.meaning);
        let keys = format!("{:width$}  [{}]", "", kind.keys.join(" "));
        let _ = writeln!(text, "{keys}");
    }
    let each = keys_of_each().join(" ");
    let _ = writeln!(text, "{:width$}  [{each}]", "each of them");
    text += "\nKeys, and in brackets what holds where one is left out:\n\n";
    let form = |key: &Key| format!("{}={}", key.name, key.value);
    let width = KEYS.iter().map(|key| form(key).len()).max().unwrap_or(0);
    for key in KEYS {
        let _ = writeln!(text, "{:width$}  {}", form(key), key.meaning);
    }
    text += "\nA TIME has its unit, as 200us, 1.5ms or 2s; BITS and BYTES may be as 0x10.\n";
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(id: u32, fault: &str, opportunities: u64, hits: u64) -> FaultReport {
        let json = serde_json::json!({
            "id": id, "fault": fault, "opportunities": opportunities, "hits": hits
        });
        serde_json::from_value(json).expect("a report")
    }

    #[test]
    fn the_table_is_aligned() {
        let reports = [
            report(9, "irq-lost:chance=0.1", 2000, 203),
            report(10, "removed:delay=5s", 0, 0),
        ];
        assert_eq!(
            table(&reports),
            "id  fault                opportunities  hits\n \
             9  irq-lost:chance=0.1          2,000   203\n\
             10  removed:delay=5s                 0     0\n"
        );
        assert_eq!(table(&[]), "no fault is armed\n");
    }

    #[test]
    fn all_kinds_are_told_in_lines_that_fit_a_terminal() {
        let text = about();
        for kind in kinds() {
            assert!(text.contains(kind.name) && text.contains(kind.meaning));
        }
        for line in text.lines() {
            assert!(line.len() <= 86, "{line}");
        }
    }
}
