//! The driver and its device, in a guest. `irqbed link` has named the program; IRQBED names
//! another one.

use std::{env, process::Command};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/irqbed/program");

#[test]
fn the_driver_takes_the_device_which_works() {
    let program = env::var("IRQBED").unwrap_or_else(|_| PROGRAM.to_owned());
    for arguments in [
        &["build", "driver"][..],
        &["test", "test.toml", "--junit", "irqbed/verdict.xml"],
    ] {
        let status = Command::new(&program)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}: run `irqbed link`"));
        assert!(status.success(), "irqbed {}: {status}", arguments.join(" "));
    }
}
