// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The pages about devices say what the sources say.

use device_model::{edu::EduRegister, fault::catalogue, nic_lite::NicRegister};

const OWN: &str = include_str!("../../docs/your-own-device.md");
const DEVICES: &str = include_str!("../../docs/devices.md");
const FAULTS: &str = include_str!("../../docs/faults.md");
const DICE: &str = include_str!("../examples/dice/main.rs");
const DRIVER: &str = include_str!("../examples/dice/dice.c");

#[test]
fn the_page_shows_the_example_as_it_is() {
    assert!(OWN.contains(&format!("```rust\n{DICE}```\n")));
    assert!(OWN.contains(&format!("```c\n{DRIVER}```\n")));
    let lines = DICE.lines().count();
    assert!(lines < 100 && OWN.contains(&format!("The device is {lines} lines")));
}

#[test]
fn the_page_shows_the_registers_as_they_are() {
    for table in [
        EduRegister::MAP.to_markdown(),
        NicRegister::MAP.to_markdown(),
    ] {
        assert!(DEVICES.contains(&table), "docs/devices.md lacks:\n{table}");
    }
}

#[test]
fn the_page_shows_the_faults_as_they_are() {
    let tables = catalogue::to_markdown();
    assert!(FAULTS.contains(&tables), "docs/faults.md lacks:\n{tables}");
}
