// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed compare` as a gate: what it says, and with what status it ends.

use std::fs;

use crate::{program::run, sandbox::Sandbox};

/// A result in instructions whose isr_to_user has this median.
fn result(sandbox: &Sandbox, name: &str, instructions: u64) -> String {
    let stage = |value: u64| {
        serde_json::json!({
            "unit": "instructions", "count": 1, "min": value, "p50": value, "p90": value,
            "p99": value, "p99_9": value, "max": value, "clamped": 0, "histogram": "",
        })
    };
    let document = serde_json::json!({
        "schema": "irqbed/1",
        "environment": {
            "irqbed": "0.1.0", "date": "2026-02-03T04:05:06Z", "command_line": [], "qemu": "11.1.3",
            "guest_kernel": "6.12", "accelerator": "tcg", "accelerator_reason": "", "cpu": "",
            "cores": 2, "memory_mib": 8192, "host_kernel": "6.1",
        },
        "results": [{
            "mechanism": "netlink", "context": "hardirq", "clock": { "kind": "instructions" },
            "parameters": {
                "events": 1, "rate_hz": 1000.0, "payload_bytes": 16, "vectors": 1,
                "delivery": "unicast", "vcpus": 1, "memory_mib": 256,
            },
            "duration_ns": 1000,
            "account": { "raised": 1, "delivered": 1, "lost": {}, "unexplained": 0 },
            "listeners": [],
            "stages": { "isr_to_user": stage(instructions) },
        }],
    });
    write(sandbox, name, document.to_string().as_bytes())
}

fn write(sandbox: &Sandbox, name: &str, bytes: &[u8]) -> String {
    let path = sandbox.own(name);
    fs::write(&path, bytes).expect("a file");
    path.to_str().expect("a name").to_owned()
}

#[test]
fn a_gate_opens_for_the_same_and_shuts_for_worse() {
    let sandbox = Sandbox::new();
    let base = result(&sandbox, "base", 6000);
    let worse = result(&sandbox, "worse", 6060);
    let same = run(&sandbox, &["compare", &base, &base]);
    assert_eq!(same.status.code(), Some(0), "{same:#?}");
    assert_eq!(
        same.stdout,
        "0 worse, 0 better, 1 the same, 0 not comparable\n"
    );
    let ended = run(&sandbox, &["compare", &base, &worse]);
    assert_eq!(ended.status.code(), Some(1), "{ended:#?}");
    assert!(ended.stdout.contains("+1.00 %  worse"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "irqbed: error: 1 figures became worse\n");
    let ended = run(&sandbox, &["compare", &base, &worse, "--threshold", "2"]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
}

#[test]
fn what_cannot_be_read_is_named_in_one_line() {
    let sandbox = Sandbox::new();
    let good = result(&sandbox, "good", 6000);
    let text = fs::read(&good).expect("a file");
    let newer = String::from_utf8_lossy(&text).replace("irqbed/1", "irqbed/9");
    let cases = [
        (
            write(&sandbox, "cut", &text[..text.len() / 2]),
            "is cut short",
        ),
        (
            write(&sandbox, "foreign", b"{\"a\": 1}"),
            "not a result of irqbed",
        ),
        (write(&sandbox, "list", b"[]"), "not a result of irqbed"),
        (write(&sandbox, "empty", b""), "empty is empty"),
        (write(&sandbox, "text", b"hello"), "is not JSON"),
        (write(&sandbox, "newer", newer.as_bytes()), "irqbed/9"),
        ("/nonexistent/result.json".to_owned(), "cannot read"),
    ];
    for (path, words) in cases {
        for arguments in [["compare", &good, &path], ["compare", &path, &good]] {
            let ended = run(&sandbox, &arguments);
            assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
            assert_eq!(ended.stdout, "");
            assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
            assert!(
                ended.stderr.contains(words) && ended.stderr.contains(&path),
                "{}",
                ended.stderr
            );
        }
    }
}

#[test]
fn nothing_to_compare_is_not_a_pass() {
    let sandbox = Sandbox::new();
    let base = result(&sandbox, "base", 6000);
    let text = fs::read_to_string(&base).expect("a file");
    let other = text.replace("\"payload_bytes\":16", "\"payload_bytes\":64");
    let other = write(&sandbox, "other", other.as_bytes());
    let ended = run(&sandbox, &["compare", &base, &other]);
    assert_eq!(ended.status.code(), Some(2), "{ended:#?}");
    assert!(
        ended.stdout.contains("payload_bytes differs"),
        "{}",
        ended.stdout
    );
    let text = text.replace("\"results\":[", "\"results\":[],\"old\":[");
    let empty = write(&sandbox, "empty", text.as_bytes());
    assert_eq!(
        run(&sandbox, &["compare", &empty, &empty]).status.code(),
        Some(2)
    );
}

#[test]
fn words_of_no_sense_are_refused() {
    let sandbox = Sandbox::new();
    for (arguments, words) in [
        (&["compare", "a", "b", "--threshold", "-1"][..], "-1"),
        (&["compare", "a", "b", "--threshold=nan"], "from 0 to 1000"),
        (&["compare", "a", "b", "--format", "smoke"], "smoke"),
    ] {
        run(&sandbox, arguments).assert_usage(&[words]);
    }
    assert_eq!(run(&sandbox, &["compare", "a"]).status.code(), Some(2));
}
