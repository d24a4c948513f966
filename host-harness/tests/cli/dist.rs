// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A release, unpacked somewhere else where nobody may write, with no compiler to be
//! found.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{
    program::{Ended, Running},
    sandbox::Sandbox,
    sources::{copy, repository},
};

/// What every system has, and no compiler.
const TOOLS: &[&str] = &[
    "awk", "bash", "cat", "cmp", "cp", "dirname", "echo", "env", "expr", "find", "flock",
    "getconf", "grep", "id", "ln", "ls", "mkdir", "mv", "nproc", "pwd", "readlink", "rm", "sed",
    "sh", "sort", "stat", "tail", "touch", "tr", "true", "uname", "which", "xargs",
];

fn succeeds(command: &mut Command) {
    let output = command.stdin(Stdio::null()).output().expect("it runs");
    assert!(output.status.success(), "{command:?}: {output:#?}");
}

/// Runs the program of the release, which finds nothing but what it came with.
fn run(sandbox: &Sandbox, tools: &Path, program: &Path, arguments: &[&str]) -> Ended {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(sandbox.own(""))
        .env_clear()
        .env("PATH", tools)
        .env("TMPDIR", sandbox.tmp())
        .env("XDG_RUNTIME_DIR", sandbox.run());
    Running::start(sandbox, command).wait()
}

#[test]
fn an_unpacked_release_measures_builds_and_tests_with_what_it_came_with() {
    let sandbox = Sandbox::new();
    let tools = sandbox.tools(TOOLS);
    // Not compressed, and with the programs that are there: these cost minutes.
    let archive = sandbox.own("irqbed.tar");
    let programs = Path::new(env!("CARGO_BIN_EXE_irqbed")).parent();
    succeeds(
        Command::new(repository().join("images/dist.sh"))
            .arg(&archive)
            .arg(programs.expect("a folder")),
    );
    let place = sandbox.own("unpacked");
    fs::create_dir(&place).expect("a folder");
    succeeds(
        Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&place),
    );
    fs::remove_file(&archive).expect("it is ours");
    succeeds(Command::new("chmod").args(["-R", "a-w"]).arg(&place));
    let mut folders = fs::read_dir(&place).expect("a folder");
    let release = folders.next().expect("one").expect("an entry").path();
    let program = release.join("bin/irqbed");

    let ended = run(
        &sandbox,
        &tools,
        &program,
        &[
            "bench",
            "--accel=tcg",
            "--clock=instructions",
            "--events=100",
        ],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    assert!(
        ended.stdout.contains("raised 100 = delivered 100"),
        "{ended:#?}"
    );

    let driver = copy(&sandbox, "examples/scratch");
    let folder = driver.to_str().expect("UTF-8");
    let ended = run(&sandbox, &tools, &program, &["build", folder]);
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    let built = driver.join("scratch.ko");
    assert_eq!(ended.stdout.trim(), built.to_str().expect("UTF-8"));
    let scenario = driver.join("test.toml");
    let ended = run(
        &sandbox,
        &tools,
        &program,
        &["test", "--accel=tcg", scenario.to_str().expect("UTF-8")],
    );
    assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
    sandbox.assert_nothing_left();
    succeeds(Command::new("chmod").args(["-R", "u+w"]).arg(&place));
}
