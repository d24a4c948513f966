// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Builds a side by its own scripts, and fetches nothing. The sources of a
//! revision are unpacked below `.irqbed/ab`, and stay there for the next time;
//! QEMU, kernels and tools are those that were fetched for the program that
//! runs.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
};

use super::{
    AbError, Side, Sources, child,
    side::{MARK, State},
};

/// Lines of a log that are shown.
const SHOWN: usize = 8;
/// What is fetched, and the same for all.
const SHARED: [&str; 4] = ["qemu", "kernel", "compilers", "tools"];

/// Makes the programs of a side what its sources say.
///
/// # Errors
/// [`AbError`]; what is half done is not there, or goes on the next time.
pub fn build(side: &Side, sources: &Sources) -> Result<(), AbError> {
    let root = side.root();
    match side.state() {
        State::Folder if !root.join(".irqbed").is_dir() => {
            return Err(AbError::NotSetUp(root.to_owned()));
        }
        State::Folder => {}
        State::Revision { commit, repository } => {
            if !root.is_dir() {
                unpack(commit, repository, root)?;
            }
            share(&sources.store, &root.join(".irqbed"))
                .map_err(AbError::io(format!("cannot prepare {}", root.display())))?;
        }
    }
    let path = root.join(".irqbed/log/ab.log");
    let logged = || {
        fs::create_dir_all(root.join(".irqbed/log"))?;
        File::create(&path)
    };
    let log = logged().map_err(AbError::io(format!("cannot write {}", path.display())))?;
    let script = root.join(MARK);
    let mut command = Command::new(&script);
    command.arg("--no-fetch").current_dir(root);
    let status = child::run_logged(
        &mut command,
        &log,
        format!("cannot run {}", script.display()),
    )?;
    if status.success() {
        return Ok(());
    }
    Err(AbError::Build {
        side: side.to_string(),
        end: last_lines(&path),
        log: path,
    })
}

/// The sources of a commit, in a folder that is there whole or not at all.
fn unpack(commit: &str, repository: &Path, root: &Path) -> Result<(), AbError> {
    let failed = |error| AbError::Io {
        what: format!("cannot unpack {commit}"),
        error,
    };
    let parent = root.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(failed)?;
    let new = tempfile::Builder::new()
        .prefix("new-")
        .tempdir_in(parent)
        .map_err(failed)?;
    let mut command = Command::new("sh");
    let pipe = "git -C \"$1\" archive --format=tar \"$2\" | tar -x -C \"$3\"";
    command.args(["-c", pipe, "sh"]);
    command.arg(repository).arg(commit).arg(new.path());
    let ended = child::run(&mut command, format!("cannot unpack {commit}"))?;
    // Of an archive that is cut short, tar says so.
    if !ended.status.success() {
        let why = ended.stderr.lines().next().unwrap_or_default().to_owned();
        return Err(failed(io::Error::other(why)));
    }
    match fs::rename(new.path(), root) {
        // Another one was faster.
        Err(_) if root.is_dir() => Ok(()),
        outcome => outcome.map_err(failed),
    }
}

/// Shows a store what another one has fetched.
fn share(from: &Path, store: &Path) -> io::Result<()> {
    fs::create_dir_all(store)?;
    let from = from.canonicalize()?;
    for part in SHARED {
        link(&from.join(part), &store.join(part))?;
    }
    let Ok(kernels) = fs::read_dir(from.join("kernels")) else {
        return Ok(());
    };
    for kernel in kernels {
        let name = kernel?.file_name();
        let home = store.join("kernels").join(&name);
        fs::create_dir_all(&home)?;
        link(
            &from.join("kernels").join(&name).join("kernel"),
            &home.join("kernel"),
        )?;
    }
    Ok(())
}

/// A link, where there is something to link to.
fn link(target: &Path, place: &Path) -> io::Result<()> {
    if !target.exists() {
        return Ok(());
    }
    match symlink(target, place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let shown = lines.len().saturating_sub(SHOWN);
    let mut end = String::new();
    for line in &lines[shown..] {
        end.push_str("\n    ");
        end.push_str(line);
    }
    end
}
