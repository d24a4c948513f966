// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What lies in this repository, used as somebody's own files: copied to where
//! the test is, and built there.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use crate::sandbox::Sandbox;

pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("a folder above")
}

/// A copy of a folder, without what was built there; where it is.
pub fn copy(sandbox: &Sandbox, folder: &str) -> PathBuf {
    let from = repository().join(folder);
    let copy = sandbox.own(from.file_name().expect("a name").to_str().expect("UTF-8"));
    fs::create_dir(&copy).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        let kind = path.extension().unwrap_or_default();
        if ["c", "h", "sh", "toml"]
            .iter()
            .any(|source| kind == *source)
            || name == "Kbuild"
        {
            fs::copy(&path, copy.join(name)).expect("a copy");
        }
    }
    copy
}

/// Copies files and folders of this repository as they are into a folder.
pub fn copy_into(names: &[&str], folder: &Path) {
    let copied = Command::new("cp")
        .arg("-R")
        .args(names.iter().map(|name| repository().join(name)))
        .arg(folder)
        .status();
    assert!(copied.expect("cp runs").success());
}

/// Builds the module in a folder; where it is.
pub fn build(folder: &Path) -> PathBuf {
    let built = Command::new(repository().join("images/setup.sh"))
        .arg("modules")
        .arg(folder)
        .output()
        .expect("the script runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "{said}");
    PathBuf::from(String::from_utf8_lossy(&built.stdout).trim())
}

/// Builds the module in a folder of this repository, elsewhere.
pub fn module(sandbox: &Sandbox, folder: &str) -> PathBuf {
    build(&copy(sandbox, folder))
}

/// What compiles and tests a project that `irqbed new` began, which downloads nothing and
/// leaves what it compiles to the next one.
pub fn compiles(sandbox: &Sandbox, project: &Path, program: &str) -> Command {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("projects");
    fs::create_dir_all(&target).expect("a folder");
    let link = project.join("target");
    if !link.exists() {
        symlink(target, link).expect("a link");
    }
    let mut command = Command::new(program);
    command
        .current_dir(project)
        .env("TMPDIR", sandbox.tmp())
        .env("XDG_RUNTIME_DIR", sandbox.run())
        .env("CARGO_NET_OFFLINE", "true")
        // Nobody debugs it here.
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("IRQBED");
    command
}
