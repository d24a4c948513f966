// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `irqbed raise` where there is nothing to raise; with a guest it is in
//! `run_vm`.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::{
    program::{Running, irqbed, run},
    sandbox::Sandbox,
};

#[test]
fn without_a_guest_it_says_how_to_start_one() {
    let sandbox = Sandbox::new();
    let socket = sandbox.run().join("irqbed/run-vm.sock");
    run(&sandbox, &["raise"]).assert_refused(&[
        "no running guest",
        socket.to_str().expect("UTF-8"),
        "irqbed run-vm",
    ]);
    let elsewhere = sandbox.own("elsewhere.sock");
    let elsewhere = elsewhere.to_str().expect("UTF-8");
    run(&sandbox, &["raise", "--control", elsewhere]).assert_refused(&[
        "no running guest",
        elsewhere,
        "irqbed run-vm",
    ]);
    let file = sandbox.own("file");
    fs::write(&file, "").expect("a file");
    let file = file.to_str().expect("UTF-8");
    let ended = run(&sandbox, &["raise", "--control", file]);
    ended.assert_refused(&["no running guest", file, "it is no socket"]);
    assert_eq!(ended.stderr.matches(file).count(), 1, "{ended:#?}");
    sandbox.assert_nothing_left();
}

#[test]
fn a_socket_where_others_could_put_theirs_is_not_trusted() {
    let sandbox = Sandbox::new();
    let user = rustix::process::getuid().as_raw();
    let folder = sandbox.tmp().join(format!("irqbed-{user}"));
    fs::create_dir(&folder).expect("a folder");
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
    let mut command = irqbed(&sandbox, &["raise"]);
    command.env_remove("XDG_RUNTIME_DIR");
    Running::start(&sandbox, command).wait().assert_refused(&[
        folder.to_str().expect("UTF-8"),
        "open to others",
        "--control",
    ]);
}
