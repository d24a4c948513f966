// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Guests that panic, give up or hang: their last words are shown.

use crate::{
    program::{Running, irqbed, run},
    sandbox::Sandbox,
};

#[test]
fn a_guest_that_panics_is_quoted() {
    let sandbox = Sandbox::new();
    run(
        &sandbox,
        &[
            "bench",
            "--accel",
            "tcg",
            "--kernel-parameter",
            "rdinit=/nonexistent",
        ],
    )
    .assert_console_shown(&["the guest panicked", "Kernel panic"]);
    sandbox.assert_nothing_left();
}

#[test]
fn an_agent_that_gives_up_is_quoted() {
    let sandbox = Sandbox::new();
    run(
        &sandbox,
        &[
            "bench",
            "--accel",
            "tcg",
            "--kernel-parameter",
            "irqbed.mode=party",
        ],
    )
    .assert_console_shown(&["irqbed-agent: fatal", "irqbed.mode=party"]);
    sandbox.assert_nothing_left();
}

#[test]
fn a_guest_that_hangs_is_quoted() {
    let sandbox = Sandbox::new();
    // Not the agent but a shell without anybody to talk to.
    let mut command = irqbed(
        &sandbox,
        &[
            "bench",
            "--accel=tcg",
            "--kernel-parameter=rdinit=/bin/sh",
            "--kernel-parameter=loglevel=7",
        ],
    );
    command.env("IRQBED_BOOT_LIMIT", "8");
    Running::start(&sandbox, command)
        .wait()
        .assert_console_shown(&["the guest hangs", "boot", "8 s", "IRQBED_BOOT_LIMIT"]);
    sandbox.assert_nothing_left();
}
