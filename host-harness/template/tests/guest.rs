//! The driver and its device, in a guest. IRQBED names the program where it lies
//! elsewhere than on the machine that this project began on.

use std::{env, process::Command};

const IRQBED: &str = "THE_PROGRAM";

#[test]
fn the_driver_takes_the_device_which_works() {
    let program = env::var("IRQBED").unwrap_or_else(|_| IRQBED.to_owned());
    for arguments in [["build", "driver"], ["test", "test.toml"]] {
        let status = Command::new(&program)
            .args(arguments)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}: set IRQBED"));
        assert!(status.success(), "irqbed {}: {status}", arguments.join(" "));
    }
}
