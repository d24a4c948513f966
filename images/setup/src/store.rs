// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The folder that holds what was fetched and built: who may write to it, and which parts of
//! it are complete. A part is made beside its place, sealed, and then put there.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use irqbed_archive::archive::say;
use rustix::fs::{FlockOperation, flock, statvfs};

use crate::{programs, variable};

/// Set for a program that was started by one that holds the lock.
pub const LOCKED: &str = "IRQBED_LOCKED";
/// In a complete part: what it was made from, and what it holds.
const SEAL: &str = ".complete";
const MIB: u64 = 1 << 20;
/// With less than that, MiB, a program that failed did so for it.
const FULL: u64 = 20;

/// The folder.
pub struct Store {
    folder: PathBuf,
    lock: Mutex<Option<File>>,
}

impl Store {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            lock: Mutex::default(),
        }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Waits until nobody else writes to it, and keeps others away until the program ends.
    pub fn lock(&self) -> Result<()> {
        let mut held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_some() || variable(LOCKED).is_some() {
            return Ok(());
        }
        let log = self.path("log");
        let file = fs::create_dir_all(log).and_then(|()| {
            let mut options = OpenOptions::new();
            options.create(true).append(true).open(self.path("lock"))
        });
        let file = file.with_context(|| {
            format!(
                "cannot write to {}: is the disk full, or the folder another user's?",
                self.folder.display()
            )
        })?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            say("another setup is running, waiting for it");
            flock(&file, FlockOperation::LockExclusive)?;
        }
        *held = Some(file);
        Ok(())
    }

    pub fn is_locked(&self) -> bool {
        let held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        held.is_some()
    }

    /// Makes a part unless it is there as `recipe` says, by a function that fills a new folder;
    /// how long it took, where it was made.
    pub fn part(
        &self,
        home: &Path,
        recipe: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Option<Duration>> {
        if is_sealed(home, recipe) {
            return Ok(None);
        }
        self.lock()?;
        if is_sealed(home, recipe) {
            return Ok(None);
        }
        let begun = Instant::now();
        let new = beside(home, ".new");
        remove(&new)?;
        fs::create_dir_all(&new)?;
        make(&new)?;
        seal(&new, recipe)?;
        replace(&new, home)?;
        Ok(Some(begun.elapsed()))
    }

    /// Stops before a download that could not be unpacked.
    pub fn ensure_room(&self, wanted: u64, what: &str) -> Result<()> {
        let free = self.free();
        ensure!(
            free >= wanted,
            "{what} needs {wanted} MB below {}, {free} MB are free: make room and run again",
            self.folder.display()
        );
        Ok(())
    }

    /// What is free, MiB.
    fn free(&self) -> u64 {
        statvfs(&self.folder).map_or(u64::MAX, |found| found.f_bavail * found.f_frsize / MIB)
    }

    /// Runs a program whose output goes to a log; where it fails, the cause in few words.
    pub fn run(&self, name: &str, command: &mut Command) -> Result<()> {
        let path = self.path("log").join(format!("{name}.log"));
        let log =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let cause = match programs::status(command) {
            Ok(status) if status.success() => return Ok(()),
            Ok(_) => self.cause(&path),
            Err(error) => error.to_string(),
        };
        bail!("{cause} (log: .irqbed/log/{name}.log)");
    }

    fn cause(&self, log: &Path) -> String {
        let text = fs::read(log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let free = self.free();
        if free < FULL || text.contains("No space left") {
            return format!(
                "the disk is full ({free} MB left for {}): make room and run again",
                self.folder.display()
            );
        }
        // Compilers name the cause first.
        let is_cause = |line: &&str| line.contains("error: ") || line.contains("*** ");
        let cause = text.lines().find(is_cause).or_else(|| text.lines().last());
        cause.unwrap_or("no reason given").to_owned()
    }
}

/// The path with an ending to its name.
pub fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Removes a file, or a folder with all that is in it; neither need be there.
pub fn remove(path: &Path) -> Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

/// Puts a finished folder in place.
pub fn replace(new: &Path, home: &Path) -> Result<()> {
    let old = beside(home, ".old");
    remove(&old)?;
    if home.exists() {
        fs::rename(home, &old)?;
    }
    fs::rename(new, home).with_context(|| format!("cannot put {} in place", home.display()))?;
    remove(&old)
}

/// Notes that a folder is complete.
pub fn seal(folder: &Path, recipe: &str) -> Result<()> {
    let text = format!("{recipe}\n{}\n", content_of(folder)?);
    fs::write(folder.join(SEAL), text)?;
    Ok(())
}

/// Whether a folder is still as it was sealed.
pub fn is_sealed(folder: &Path, recipe: &str) -> bool {
    let Ok(seal) = fs::read_to_string(folder.join(SEAL)) else {
        return false;
    };
    content_of(folder).is_ok_and(|content| seal == format!("{recipe}\n{content}\n"))
}

/// Number and sizes of files: enough to notice what was lost or cut short.
fn content_of(folder: &Path) -> Result<String> {
    let (mut count, mut size) = (0_u64, 0_u64);
    for file in files_below(folder)? {
        if file.file_name().is_some_and(|name| name != SEAL) {
            count += 1;
            size += fs::symlink_metadata(&file)?.len();
        }
    }
    Ok(format!("{count} files, {size} bytes"))
}

/// All files below a folder, without links to any, in an order of their own.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder);
        for entry in entries.with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => folders.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// What lies in a folder, by name; nothing where there is none.
pub fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<_> = found.flatten().map(|entry| entry.path()).collect();
    paths.sort_unstable();
    paths
}

/// Writes a program for the shell.
pub fn write_script(path: &Path, text: &str) -> Result<()> {
    let text = format!("#!/bin/sh\n# SPDX-License-Identifier: Apache-2.0 OR MIT\n{text}");
    let written = fs::write(path, text)
        .and_then(|()| fs::set_permissions(path, fs::Permissions::from_mode(0o755)));
    written.with_context(|| format!("cannot write {}", path.display()))
}

/// What was compressed in one of the ways of a kernel and its modules.
pub fn plain(content: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    irqbed_archive::compression::plain(content)?.read_to_end(&mut plain)?;
    Ok(plain)
}

/// Reads a file, which an error names.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| anyhow!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::new(folder.path().join("store"));
        (folder, store)
    }

    #[test]
    fn a_part_is_made_once_and_again_when_something_of_it_is_lost() {
        let (_folder, store) = store();
        let home = store.path("part");
        let make = |recipe| {
            let made = store.part(&home, recipe, |new| {
                fs::create_dir(new.join("folder"))?;
                fs::write(new.join("folder/file"), "12345")?;
                Ok(())
            });
            made.unwrap().is_some()
        };
        assert!(make("1"));
        assert!(!make("1"));
        assert!(make("2"), "another recipe");
        fs::write(home.join("folder/file"), "1234").unwrap();
        assert!(make("2"), "cut short");
        fs::remove_file(home.join("folder/file")).unwrap();
        assert!(make("2"), "lost");
        assert!(!make("2"));
        let left = entries(store.folder());
        let names: Vec<_> = left.iter().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["lock", "log", "part"]);
    }

    #[test]
    fn a_part_that_cannot_be_made_leaves_the_one_that_is_there() {
        let (_folder, store) = store();
        let home = store.path("part");
        let made = store.part(&home, "1", |new| Ok(fs::write(new.join("file"), "1")?));
        assert!(made.unwrap().is_some());
        let made = store.part(&home, "2", |new| {
            fs::write(new.join("half"), "2")?;
            bail!("no luck")
        });
        assert_eq!(made.unwrap_err().to_string(), "no luck");
        assert!(is_sealed(&home, "1"));
    }

    #[test]
    fn a_program_that_fails_is_told_by_its_first_error() {
        let (_folder, store) = store();
        store.lock().unwrap();
        let run = |script: &str| {
            let ran = store.run("name", Command::new("sh").args(["-c", script]));
            ran.map_err(|error| error.to_string())
        };
        assert_eq!(run("echo fine"), Ok(()));
        let log = "(log: .irqbed/log/name.log)";
        for (script, cause) in [
            (
                "echo 1; echo 'x.c:1: error: no y' >&2; echo 3; exit 1",
                "x.c:1: error: no y",
            ),
            ("echo 1; echo 2; exit 1", "2"),
            ("exit 1", "no reason given"),
        ] {
            assert_eq!(run(script), Err(format!("{cause} {log}")));
        }
        assert!(
            run("echo write: No space left on device; exit 1").is_err_and(|error| {
                error.starts_with("the disk is full (") && error.contains("make room")
            })
        );
    }
}
