// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Kernels that are none, or another than the driver was built for, or names of
//! none. None of them is booted.

use std::fs;

use crate::{
    program::{Running, irqbed, run_with},
    sandbox::Sandbox,
};

/// A kernel of these bytes is refused before QEMU is started.
#[track_caller]
fn assert_refused(image: &[u8], words: &[&str]) {
    let sandbox = Sandbox::new();
    let kernel = sandbox.own("kernel");
    fs::write(&kernel, image).expect("a file");
    let mut command = irqbed(&sandbox, &["bench"]);
    command
        .env("IRQBED_QEMU", sandbox.forbidden_qemu())
        .env("IRQBED_KERNEL", &kernel);
    let ended = Running::start(&sandbox, command).wait();
    ended.assert_refused(words);
    ended.assert_refused(&[kernel.to_str().expect("UTF-8")]);
    sandbox.assert_no_guest_was_started();
    sandbox.assert_nothing_left();
}

#[test]
fn an_elf_kernel_that_is_not_the_drivers_is_refused() {
    let image = b"\x7fELF\0\0Linux version %s (%s)\0Linux version 5.10.0-made-up (a@b)\0";
    assert_refused(
        image,
        &[
            "irqbed.ko",
            "5.10.0-made-up",
            "IRQBED_KERNEL",
            "IRQBED_KDIR",
            "./just setup",
        ],
    );
}

#[test]
fn a_bzimage_that_is_not_the_drivers_is_refused() {
    let mut image = vec![0; 0x1000];
    image[0x202..0x206].copy_from_slice(b"HdrS");
    image[0x20e..0x210].copy_from_slice(&0x300u16.to_le_bytes());
    image[0x500..0x507].copy_from_slice(b"6.1.0-7");
    assert_refused(&image, &["6.1.0-7", "IRQBED_KERNEL", "IRQBED_KDIR"]);
}

#[test]
fn files_that_are_no_kernels_are_refused() {
    let remedy = ["is no Linux kernel", "IRQBED_KERNEL", "./just setup"];
    assert_refused(b"", &remedy);
    assert_refused(b"\x7fELF\x02\x01\x01 and then nothing of sense", &remedy);
    assert_refused(&[0x5a; 100_000], &remedy);
}

#[test]
fn a_missing_kernel_is_named_with_the_remedy() {
    let sandbox = Sandbox::new();
    let kernel = sandbox.own("no-kernel");
    let mut command = irqbed(&sandbox, &["bench"]);
    command
        .env("IRQBED_QEMU", sandbox.forbidden_qemu())
        .env("IRQBED_KERNEL", &kernel);
    Running::start(&sandbox, command).wait().assert_refused(&[
        "the guest kernel is missing",
        kernel.to_str().expect("UTF-8"),
        "./just setup",
        "IRQBED_KERNEL",
    ]);
    sandbox.assert_no_guest_was_started();
}

#[test]
fn an_unknown_kernel_is_answered_with_those_there_are() {
    let sandbox = Sandbox::new();
    let qemu = sandbox.forbidden_qemu();
    run_with(&sandbox, "IRQBED_QEMU", qemu, &["bench", "--kernel", "4.2"]).assert_bad_input(&[
        "no kernel \"4.2\"",
        "6.12-debug",
        "7.3",
    ]);
    sandbox.assert_no_guest_was_started();
}
