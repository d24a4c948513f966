// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Benches that go well, and what is true of each.

use serde_json::Value;

use crate::{
    program::{Running, irqbed, run},
    sandbox::Sandbox,
};

/// A document of ours, whose account balances.
#[track_caller]
pub fn assert_sound(text: &str, raised: u64) -> Value {
    let document: Value = serde_json::from_str(text).expect("one JSON value");
    assert_eq!(document["schema"], "irqbed/1");
    let results = document["results"].as_array().expect("results");
    assert_eq!(results.len(), 1);
    let account = &results[0]["account"];
    assert_eq!(account["raised"], raised, "{account}");
    let lost = account["lost"].as_object().expect("losses by name");
    let lost: u64 = lost.values().filter_map(Value::as_u64).sum();
    let delivered = account["delivered"].as_u64().expect("a number");
    assert_eq!(delivered + lost, raised, "{account}");
    document
}

#[track_caller]
fn bench(arguments: &[&str], raised: u64) -> Value {
    let sandbox = Sandbox::new();
    let ended = run(
        &sandbox,
        &[&["bench", "--accel", "tcg", "--json", "-"], arguments].concat(),
    );
    ended.assert_measured();
    sandbox.assert_nothing_left();
    assert_sound(&ended.stdout, raised)
}

#[test]
fn a_broadcast_reaches_three_listeners() {
    let document = bench(
        &[
            "--events",
            "300",
            "--delivery",
            "broadcast",
            "--listeners",
            "3",
        ],
        900,
    );
    let result = &document["results"][0];
    assert_eq!(result["mechanism"], "netlink-broadcast");
    let listeners = result["listeners"].as_array().expect("listeners");
    assert_eq!(listeners.len(), 3);
    for listener in listeners {
        assert_eq!(listener["received"], 300, "{listener}");
    }
}

#[test]
fn as_fast_as_the_guest_takes_them_every_event_is_accounted_for() {
    bench(&["--events", "20000", "--rate", "max"], 20_000);
}

#[test]
fn lost_interrupts_are_counted_the_same_in_each_run_and_no_event_is_lost() {
    let arguments = ["--events", "300", "--fault", "irq-lost:chance=0.2,seed=5"];
    let counts = [(); 2].map(|()| {
        let document = bench(&arguments, 300);
        let result = &document["results"][0];
        assert_eq!(result["account"]["delivered"], 300, "{result}");
        let fault = &result["faults"][0];
        assert_eq!(fault["fault"], "irq-lost:chance=0.2,seed=5");
        assert_eq!(fault["opportunities"], 300);
        fault["hits"].as_u64().expect("a number")
    });
    assert!((30..90).contains(&counts[0]), "{counts:?}");
    assert_eq!(counts[0], counts[1]);
}

#[test]
fn what_a_fault_destroys_is_lost_by_name_and_the_run_ends() {
    for (fault, names) in [
        // The driver does not see the record, or passes it over.
        (
            "dma-misplaced:place=outside,length=4,after=200,count=1",
            &["left_in_ring", "missing_record"][..],
        ),
        // The payload is not what was sent.
        ("dma-corrupted:length=16,chance=0.1", &["bad_payload"]),
        // The device stops.
        ("dma-failed:after=100,count=1", &["dma_error"]),
    ] {
        let sandbox = Sandbox::new();
        let arguments = ["bench", "--accel", "tcg", "--json", "-", "--events", "300"];
        let ended = run(&sandbox, &[&arguments[..], &["--fault", fault]].concat());
        ended.assert_measured();
        let document: Value = serde_json::from_str(&ended.stdout).expect("a document");
        let account = &document["results"][0]["account"];
        let lost = account["lost"].as_object().expect("losses by name");
        let named = names.iter().any(|name| lost.contains_key(*name));
        assert!(named, "{fault}: {account}");
        assert_eq!(account["unexplained"], 0, "{fault}: {account}");
    }
}

#[test]
fn counted_in_instructions_every_event_arrives() {
    let document = bench(&["--events", "200", "--clock", "instructions"], 200);
    let result = &document["results"][0];
    assert_eq!(result["clock"]["kind"], "instructions");
    let stages = result["stages"].as_object().expect("stages");
    assert!(!stages.is_empty());
    for stage in stages.values() {
        assert_eq!(stage["unit"], "instructions", "{stage}");
        assert_eq!(stage["count"], 200, "{stage}");
    }
}

#[test]
fn pairs_that_need_two_machines_are_compared_in_the_order_asked_for() {
    let sandbox = Sandbox::new();
    let ended = run(
        &sandbox,
        &[
            "bench",
            "--accel=tcg",
            "--events=200",
            "--mechanism=vfio,netlink",
            "--json=-",
        ],
    );
    ended.assert_measured();
    sandbox.assert_nothing_left();
    let document: Value = serde_json::from_str(&ended.stdout).expect("one JSON value");
    let results = document["results"].as_array().expect("results");
    let mechanisms: Vec<_> = results.iter().map(|result| &result["mechanism"]).collect();
    assert_eq!(mechanisms, ["vfio", "netlink"]);
    for result in results {
        assert_eq!(result["account"]["delivered"], 200, "{result}");
        assert_eq!(result["stages"]["raise_to_user"]["count"], 200, "{result}");
    }
    let vfio = &results[0];
    assert!(vfio.get("driver").is_none() && vfio["stages"].get("isr_to_user").is_none());
}

#[test]
fn a_pair_that_cannot_be_measured_says_why() {
    let sandbox = Sandbox::new();
    for (arguments, why) in [
        ("--clock=instructions", "--clock wall"),
        ("--context=bh", "hard interrupt handler"),
        ("--listeners=2", "--listeners 1"),
        ("--irq=intx", "MSI-X alone"),
    ] {
        let ended = run(&sandbox, &["bench", "--mechanism=vfio", arguments]);
        ended.assert_refused(&["vfio in", "cannot be measured", why]);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn two_benches_at_once_both_finish() {
    let sandbox = Sandbox::new();
    let arguments = ["bench", "--accel=tcg", "--events=200", "--json=-"];
    let both = [(); 2].map(|()| Running::start(&sandbox, irqbed(&sandbox, &arguments)));
    for running in both {
        let ended = running.wait();
        ended.assert_measured();
        assert_sound(&ended.stdout, 200);
    }
    sandbox.assert_nothing_left();
}

#[test]
fn each_way_to_reply_has_a_result_whose_replies_balance() {
    let sandbox = Sandbox::new();
    let ended = run(
        &sandbox,
        &[
            "bench",
            "--accel",
            "tcg",
            "--json",
            "-",
            "--events",
            "100",
            "--reply",
            "write,mmap",
        ],
    );
    ended.assert_measured();
    let document: Value = serde_json::from_str(&ended.stdout).expect("one JSON value");
    let results = document["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    for (result, by) in results.iter().zip(["write", "mmap"]) {
        let replies = &result["replies"];
        assert_eq!(replies["by"], by);
        assert_eq!(replies["account"]["raised"], 100);
        assert_eq!(replies["account"]["delivered"], 100);
        let stages = &result["stages"];
        assert_eq!(stages["raise_to_device"]["count"], 100);
        assert_eq!(stages["reply_to_device"]["count"], 100);
        assert_eq!(stages["reply_to_command"].is_null(), by == "mmap");
    }
}
