// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compiles the driver's `irqbed_ring_consumer.h` as it is, and once for each mutation:
//! a fault put into it that the tests must find.

use std::{env, fs, path::Path};

/// Name, what stands in the header, and what the mutation makes of it.
const MUTATIONS: [(&str, &str, &str); 9] = [
    // A body that is late: the record of an earlier lap is delivered again.
    (
        "number_ignored",
        "return READ_ONCE(record->number) == n;",
        "return true;",
    ),
    // The last word is no part of it: a record is taken before it is complete.
    (
        "ready_ignored",
        "if (READ_ONCE(record->ready) != n + 1)",
        "if (0)",
    ),
    // What was written before a ring was armed anew is taken for a new record.
    (
        "numbers_again",
        "u32 n = consumer->next + irqbed_entries(consumer);",
        "u32 n = consumer->next;",
    ),
    // A hole is lost without a name.
    ("hole_not_counted", "(*missing)++;", "(void)missing;"),
    // A hole holds up the ring for ever.
    (
        "hole_not_seen",
        "return complete ? IRQBED_RING_UNANNOUNCED : IRQBED_RING_HOLE;",
        "return complete ? IRQBED_RING_UNANNOUNCED : IRQBED_RING_IDLE;",
    ),
    // A ring whose interrupt was lost stands still.
    (
        "lost_interrupt_not_seen",
        "return complete ? IRQBED_RING_UNANNOUNCED : IRQBED_RING_HOLE;",
        "return complete ? IRQBED_RING_IDLE : IRQBED_RING_HOLE;",
    ),
    // The device does not hear what was taken.
    (
        "index_not_told",
        "smp_store_release(consumer->shared, n);",
        ";",
    ),
    // A record is counted again at every poll.
    (
        "taken_again",
        "smp_store_release(&consumer->next, n);\n\tsmp_store_release(consumer",
        "smp_store_release(consumer",
    ),
    // What is complete behind a hole is thrown away.
    (
        "salvage_stops_at_a_hole",
        "u32 n = consumer->next;\n\n\tif (end - n",
        "u32 n = end;\n\n\tif (end - n",
    ),
];

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let header = "../irqbed_ring_consumer.h";
    for input in [header, "../irqbed_abi.h", "include", "src/ring.c"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let source = fs::read_to_string(header).expect("the driver's header");
    let none = [("real", "", "")];
    for (name, from, to) in none.iter().chain(&MUTATIONS) {
        let changed = if from.is_empty() {
            source.clone()
        } else {
            assert_eq!(source.matches(from).count(), 1, "{name}: {from}");
            source.replace(from, to)
        };
        let folder = Path::new(&out).join(name);
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("irqbed_ring_consumer.h"), changed).expect("a header");
        cc::Build::new()
            .file("src/ring.c")
            .include(&folder)
            .include("include")
            .include("..")
            .define("VARIANT", *name)
            .flag("-Wno-unused-parameter")
            .compile(&format!("ring_{name}"));
    }
}
