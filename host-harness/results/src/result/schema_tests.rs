// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Holds documents against their JSON Schema, and `docs/json.md` against both.
//!
//! The part of JSON Schema that the schema uses is small, so it is checked
//! here; a keyword this does not know fails the test. Unlike a plain validator
//! it refuses fields that the schema does not describe.

use irqbed_abi::{control::Load, counters::Counters};
use serde_json::{Map, Value};

use super::{Document, FaultCounts, Lossy, Saturation, Scheduling, examples};
use crate::{
    account::{Account, Loss},
    placement::Placement,
    stages::Stage,
    units::Nanos,
};

const SCHEMA: &str = include_str!("../../../../docs/irqbed-1.schema.json");
const PAGE: &str = include_str!("../../../../docs/json.md");

fn schema() -> Value {
    serde_json::from_str(SCHEMA).unwrap()
}

/// What is wrong with a value, if anything.
fn check(root: &Value, schema: &Value, value: &Value, at: &str) -> Result<(), String> {
    let Value::Object(rules) = schema else {
        panic!("{at}: no schema: {schema}")
    };
    let wrong = |why: String| Err(format!("{at}: {why}"));
    for (keyword, rule) in rules {
        match keyword.as_str() {
            "$schema" | "$comment" | "$defs" | "title" | "description" => {}
            "$ref" => {
                let pointer = rule
                    .as_str()
                    .and_then(|name| name.strip_prefix('#'))
                    .unwrap();
                check(root, root.pointer(pointer).expect(pointer), value, at)?;
            }
            "const" if rule != value => return wrong(format!("{value} is not {rule}")),
            "enum" if !rule.as_array().unwrap().contains(value) => {
                return wrong(format!("{value} is none of {rule}"));
            }
            "const" | "enum" => {}
            "type" => {
                let types = rule
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![rule.clone()]);
                if !types.iter().any(|name| is_a(value, name.as_str().unwrap())) {
                    return wrong(format!("{value} is no {rule}"));
                }
            }
            "minimum" if value.is_null() => {}
            "minimum" if value.as_f64().unwrap() < rule.as_f64().unwrap() => {
                return wrong(format!("{value} is below {rule}"));
            }
            "minimum" => {}
            "oneOf" => {
                let fits = |choice: &&Value| check(root, choice, value, at).is_ok();
                let count = rule.as_array().unwrap().iter().filter(fits).count();
                if count != 1 {
                    return wrong(format!("{value} fits {count} of its choices"));
                }
            }
            "items" => {
                for (index, item) in value.as_array().unwrap().iter().enumerate() {
                    check(root, rule, item, &format!("{at}[{index}]"))?;
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        return wrong(format!("{name} is missing"));
                    }
                }
            }
            "properties" | "additionalProperties" => {}
            unknown => panic!("the test does not know the keyword {unknown}"),
        }
    }
    match value {
        Value::Object(fields) => fields.iter().try_for_each(|(name, field)| {
            let described = rules.get("properties").and_then(|all| all.get(name));
            match described.or_else(|| rules.get("additionalProperties")) {
                Some(schema) => check(root, schema, field, &format!("{at}.{name}")),
                None if rules.contains_key("$ref") || rules.contains_key("oneOf") => Ok(()),
                None => Err(format!("{at}.{name} is not described")),
            }
        }),
        _ => Ok(()),
    }
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_u64() || value.is_i64(),
        _ => panic!("no such type: {name}"),
    }
}

fn fits(document: &Document) -> Result<(), String> {
    let value: Value = serde_json::from_str(&document.to_json()).unwrap();
    check(&schema(), &schema(), &value, "document")
}

/// A document with everything in it that may be left out.
fn full() -> Document {
    let mut result = examples::wall();
    result.driver = Some(Counters {
        interrupts: 5,
        ..Counters::default()
    });
    result.account.delivered -= 2;
    result.account.lose(Loss::SocketFull, 1);
    result.listeners[0].account = Some(Account::new(5, 6));
    result.parameters.rate_hz = None;
    result.parameters.window = Some(128);
    result
        .parameters
        .module_parameters
        .insert("delay_ns".to_owned(), "20000".to_owned());
    result
        .parameters
        .kernel_parameters
        .push("nokaslr".to_owned());
    result.parameters.poisson_seed = Some(1);
    result.parameters.load = Some(Load::Net);
    result.parameters.scheduling = Scheduling {
        fifo: Some(50),
        cpu: Some(1),
    };
    result.parameters.receive_buffer = Some(8192);
    result.parameters.pin = Some(Placement {
        raise: 1,
        main_loop: 1,
        vcpus: vec![1],
    });
    result.parameters.poll_us = 50;
    result.saturation = Some(Saturation {
        lossless_hz: 20_000.0,
        lossy: Some(Lossy {
            hz: 21_000.0,
            account: result.account.clone(),
        }),
        trial_ns: Nanos(1_000_000_000),
    });
    let medians = vec![Some(Nanos(75_000)), None];
    result.turns = Some([(Stage::RaiseToUser, medians)].into());
    result.faults.push(FaultCounts {
        fault: "irq-lost:chance=0.1".to_owned(),
        opportunities: 1000,
        hits: 97,
    });
    result.notes.push("a note".to_owned());
    result.replies = examples::replied().replies;
    examples::document(result)
}

#[test]
fn documents_fit_their_schema() {
    for document in [
        examples::document(examples::wall()),
        examples::document(examples::instructions()),
        examples::document(examples::replied()),
        full(),
    ] {
        fits(&document).unwrap();
    }
}

#[test]
fn the_check_has_teeth() {
    let spoil = |change: fn(&mut Value)| {
        let mut value: Value = serde_json::from_str(&full().to_json()).unwrap();
        change(&mut value);
        check(&schema(), &schema(), &value, "document").unwrap_err()
    };
    for (error, expected) in [
        (
            spoil(|json| json["schema"] = "irqbed/2".into()),
            "is not \"irqbed/1\"",
        ),
        (
            spoil(|json| json["more"] = 1.into()),
            "document.more is not described",
        ),
        (
            spoil(|json| json["results"][0]["account"]["raised"] = (-1).into()),
            "below",
        ),
        (
            spoil(|json| json["results"][0]["clock"]["kind"] = "sundial".into()),
            "fits 0",
        ),
        (
            spoil(|json| json["results"][0]["stages"]["lunch"] = 1.into()),
            "lunch is not described",
        ),
        (
            spoil(|json| {
                json["results"][0]["stages"]["isr_to_user"]
                    .as_object_mut()
                    .unwrap()
                    .remove("p50");
            }),
            "\"p50\" is missing",
        ),
    ] {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn the_page_names_every_field_of_the_schema() {
    fn names(schema: &Map<String, Value>, into: &mut Vec<String>) {
        for (keyword, rule) in schema {
            if let ("properties", Value::Object(fields)) = (keyword.as_str(), rule) {
                into.extend(fields.keys().cloned());
            }
            if let Value::Object(inner) = rule {
                names(inner, into);
            }
        }
    }
    let mut fields = Vec::new();
    names(schema().as_object().unwrap(), &mut fields);
    assert!(fields.len() > 60, "{fields:?}");
    for field in fields {
        let named = PAGE.contains(&format!("`{field}`")) || PAGE.contains(&format!("\"{field}\""));
        assert!(named, "docs/json.md does not name {field}");
    }
}

#[test]
fn the_example_of_the_page_is_a_document() {
    let example = PAGE
        .split("```json\n")
        .nth(1)
        .and_then(|rest| rest.split("```").next());
    let value: Value = serde_json::from_str(example.unwrap()).unwrap();
    check(&schema(), &schema(), &value, "example").unwrap();
    let document: Document = serde_json::from_value(value).unwrap();
    for stats in document.results[0].stages.values() {
        assert_eq!(stats.histogram().unwrap().max() / 100, stats.max / 100);
    }
    let timeline = document.results[0].timeline.as_ref().unwrap();
    let slices = timeline.slices().unwrap();
    assert_eq!(slices[0].as_ref().unwrap().max() / 1000, 75);
}
