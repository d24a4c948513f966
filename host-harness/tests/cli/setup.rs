// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the scripts refuse before they fetch or compile anything.

use std::process::Command;

use crate::{sandbox::Sandbox, sources::copy_into};

#[test]
fn a_missing_or_old_rust_is_named_with_all_else_that_is_missing_before_the_first_download() {
    let sandbox = Sandbox::new();
    let checkout = sandbox.own("checkout");
    std::fs::create_dir(&checkout).expect("a folder");
    copy_into(&["images", "just", "Justfile", "Cargo.toml"], &checkout);
    let tools = sandbox.tools(&["awk", "bash", "dirname", "env", "head", "sed", "sh", "sort"]);
    let refused = |script: &str, found: &str| {
        let ended = Command::new(checkout.join(script))
            .env("PATH", &tools)
            .output()
            .expect("the script runs");
        let said = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{script}: {said}");
        assert_eq!(said.lines().count(), 1, "{script}: {said}");
        for part in ["Rust 1.", found, "rustup", "a C compiler"] {
            assert!(said.contains(part), "{script}: no {part:?}: {said}");
        }
        assert!(!checkout.join(".irqbed").exists(), "{script}");
    };
    refused("just", "not none");
    refused("images/setup.sh", "not none");
    sandbox.script(&tools.join("cargo"), "echo cargo 1.85.1");
    refused("just", "not 1.85.1");
    refused("images/setup.sh", "not 1.85.1");
}

#[test]
fn a_folder_that_the_kernels_makefiles_cannot_take_is_refused_before_the_first_download() {
    let sandbox = Sandbox::new();
    for name in ["with space", "with:colon"] {
        let checkout = sandbox.own(name);
        std::fs::create_dir(&checkout).expect("a folder");
        copy_into(&["images"], &checkout);
        for arguments in [&[][..], &["kernel"], &["tools", "busybox"]] {
            let ended = Command::new(checkout.join("images/setup.sh"))
                .env_remove("IRQBED_KERNEL")
                .env_remove("IRQBED_KDIR")
                .args(arguments)
                .output()
                .expect("the script runs");
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(ended.status.code(), Some(1), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            assert!(
                said.contains(name) && said.contains("move the checkout"),
                "{said}"
            );
            for folder in [
                "target",
                ".irqbed/archive",
                ".irqbed/kernel",
                ".irqbed/tools",
            ] {
                assert!(
                    !checkout.join(folder).exists(),
                    "{arguments:?} made {folder}"
                );
            }
        }
    }
    sandbox.assert_nothing_left();
}
