// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's side of irqbed: the program `irqbed` with its commands. Each reads its options,
//! calls one of the crates that boot, measure, observe and test, and says what came of it.

#![warn(clippy::print_stderr, clippy::print_stdout)]

pub mod cli;
mod doctor;
mod faults;

#[cfg(test)]
mod tests {
    use std::process::Command;

    use serde_json::Value;

    /// The crates of this workspace that each may know.
    const LAYERS: [(&str, &[&str]); 14] = [
        // Its own tests, with all its features.
        ("irqbed-abi", &["irqbed-abi"]),
        ("irqbed-vfio-user", &[]),
        ("irqbed-pci", &["irqbed-vfio-user"]),
        ("irqbed-fault", &["irqbed-vfio-user", "irqbed-pci"]),
        (
            "device-model",
            &[
                "irqbed-abi",
                "irqbed-vfio-user",
                "irqbed-pci",
                "irqbed-fault",
            ],
        ),
        ("irqbed-archive", &[]),
        ("irqbed-setup", &["irqbed-archive"]),
        ("irqbed-results", &["irqbed-abi"]),
        ("irqbed-report", &["irqbed-results"]),
        ("irqbed-machine", &["irqbed-abi", "device-model"]),
        (
            "irqbed-trial",
            &[
                "irqbed-abi",
                "irqbed-archive",
                "device-model",
                "irqbed-results",
                "irqbed-machine",
            ],
        ),
        (
            "irqbed-measure",
            &[
                "irqbed-abi",
                "device-model",
                "irqbed-results",
                "irqbed-machine",
            ],
        ),
        (
            "irqbed-observe",
            &[
                "irqbed-abi",
                "device-model",
                "irqbed-results",
                "irqbed-machine",
                "irqbed-measure",
            ],
        ),
        (
            "irqbed-bench",
            &[
                "irqbed-abi",
                "device-model",
                "irqbed-results",
                "irqbed-machine",
                "irqbed-measure",
            ],
        ),
    ];

    #[test]
    fn each_crate_knows_only_those_below_it() {
        let metadata = Command::new(env!("CARGO"))
            .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
            .args([
                "--manifest-path",
                concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
            ])
            .output()
            .expect("cargo runs");
        let metadata: Value = serde_json::from_slice(&metadata.stdout).expect("JSON");
        let packages = metadata["packages"].as_array().expect("a list");
        for (name, may_know) in LAYERS {
            let package = packages.iter().find(|package| package["name"] == name);
            let dependencies = &package.expect(name)["dependencies"];
            for dependency in dependencies.as_array().expect("a list") {
                let known = dependency["name"].as_str().expect("a name");
                let is_ours = !dependency["path"].is_null();
                assert!(
                    !is_ours || may_know.contains(&known),
                    "{name} knows {known}"
                );
            }
        }
    }
}
