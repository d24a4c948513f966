// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The netlink spec of the generic family says what this crate says, and with
//! it the C header that is made from it.

use std::collections::{BTreeMap, BTreeSet};

use irqbed_abi::{counters::Counters, genetlink};
use serde::Deserialize;

const SPEC: &str = include_str!("../netlink/irqbed.yaml");
const HEADER: &str = include_str!("../../guest-kmod/irqbed_abi.h");

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Spec {
    name: String,
    protocol: String,
    definitions: Vec<Definition>,
    attribute_sets: Vec<AttributeSet>,
    operations: List<Operation>,
    mcast_groups: List<Named>,
}

#[derive(Deserialize)]
struct List<T> {
    list: Vec<T>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
enum Definition {
    Const { name: String, value: u64 },
    Flags { name: String, entries: Vec<Named> },
}

#[derive(Deserialize)]
struct AttributeSet {
    name: String,
    attributes: Vec<Attribute>,
}

#[derive(Deserialize)]
struct Attribute {
    name: String,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Operation {
    name: String,
    attribute_set: String,
    mcgrp: Option<String>,
    #[serde(rename = "do")]
    exchange: Option<Exchange>,
    event: Option<Body>,
}

#[derive(Deserialize)]
struct Exchange {
    request: Body,
    reply: Option<Body>,
}

#[derive(Deserialize)]
struct Body {
    attributes: Vec<String>,
}

fn spec() -> Spec {
    serde_yaml_ng::from_str(SPEC).expect("the spec is one of the kernel's format")
}

/// The name that the kernel's generator gives to a part of a family.
fn c_name(parts: &[&str]) -> String {
    parts.join("_").replace('-', "_").to_uppercase()
}

/// What the spec defines, by the name in C. The numbers of operations and of
/// attributes are those of their places, from 1.
fn specified() -> BTreeMap<String, u64> {
    let spec = spec();
    let mut defined = BTreeMap::new();
    for (number, operation) in (1..).zip(&spec.operations.list) {
        defined.insert(c_name(&["irqbed", "cmd", &operation.name]), number);
    }
    for set in &spec.attribute_sets {
        for (number, attribute) in (1..).zip(&set.attributes) {
            defined.insert(c_name(&["irqbed", "a", &set.name, &attribute.name]), number);
        }
    }
    for definition in &spec.definitions {
        match definition {
            Definition::Const { name, value } => {
                defined.insert(c_name(&["irqbed", name]), *value);
            }
            Definition::Flags { name, entries } => {
                for (bit, entry) in entries.iter().enumerate() {
                    defined.insert(c_name(&["irqbed", name, &entry.name]), 1 << bit);
                }
            }
        }
    }
    defined
}

/// The numbers that the C header defines, by their names.
fn in_the_header() -> BTreeMap<String, u64> {
    let number = |line: &str| {
        let (name, value) = line.strip_prefix("#define ")?.split_once(' ')?;
        // `EVENT_PATTERN` is written as a shift.
        let value = match value.trim_matches(['(', ')']).split_once(" << ") {
            Some((one, bits)) => one.parse::<u64>().ok()? << bits.parse::<u32>().ok()?,
            None => value.parse().ok()?,
        };
        Some((name.to_owned(), value))
    };
    HEADER.lines().filter_map(number).collect()
}

#[test]
fn the_spec_names_the_family_as_the_driver_does() {
    let spec = spec();
    assert_eq!(
        (spec.name.as_str(), spec.protocol.as_str()),
        (genetlink::FAMILY_NAME, "genetlink")
    );
    // A spec of this protocol has no version of its own: that is 1.
    assert_eq!(genetlink::FAMILY_VERSION, 1);
    let groups = spec.mcast_groups.list.iter().map(|group| &*group.name);
    assert_eq!(groups.collect::<Vec<_>>(), [genetlink::MCGRP_EVENTS]);
    let text = |name: &str, value: &str| HEADER.contains(&format!("#define {name} \"{value}\"\n"));
    assert!(text("IRQBED_FAMILY_NAME", &spec.name));
    assert!(text("IRQBED_MCGRP_EVENTS", genetlink::MCGRP_EVENTS));
}

#[test]
fn the_spec_and_the_header_give_each_name_the_same_number() {
    let (specified, header) = (specified(), in_the_header());
    for (name, number) in &specified {
        // Of the counters the header has the first.
        let later = name.starts_with("IRQBED_A_COUNTERS_") && !header.contains_key(name);
        assert!(later || header.get(name) == Some(number), "{name} {number}");
    }
    for name in header.keys() {
        let of_the_family = name.starts_with("IRQBED_CMD_") || name.starts_with("IRQBED_A_");
        assert!(!of_the_family || specified.contains_key(name), "{name}");
    }
}

#[test]
fn the_spec_has_the_counters_in_the_drivers_order() {
    let spec = spec();
    let set = spec
        .attribute_sets
        .iter()
        .find(|set| set.name == "counters")
        .expect("the counters");
    let (pad, counters) = set.attributes.split_first().expect("the padding");
    assert_eq!(pad.kind, "pad");
    assert!(counters.iter().all(|counter| counter.kind == "u64"));
    let names = counters
        .iter()
        .map(|counter| counter.name.replace('-', "_"));
    let fields = Counters::LAYOUT.fields.iter().map(|field| field.0);
    assert_eq!(names.collect::<Vec<_>>(), fields.collect::<Vec<_>>());
}

#[test]
fn what_an_operation_names_is_there() {
    let spec = spec();
    let sets: BTreeMap<&str, BTreeSet<&str>> = spec
        .attribute_sets
        .iter()
        .map(|set| {
            let names = set.attributes.iter().map(|attribute| &*attribute.name);
            (&*set.name, names.collect())
        })
        .collect();
    for operation in &spec.operations.list {
        let exchange = operation.exchange.iter();
        let bodies = exchange
            .flat_map(|exchange| std::iter::once(&exchange.request).chain(&exchange.reply))
            .chain(&operation.event);
        for name in bodies.flat_map(|body| &body.attributes) {
            assert!(
                sets[&*operation.attribute_set].contains(&**name),
                "{}: {name}",
                operation.name
            );
        }
        let group = |wanted: &String| spec.mcast_groups.list.iter().any(|g| g.name == *wanted);
        assert!(operation.mcgrp.iter().all(group), "{}", operation.name);
    }
}
