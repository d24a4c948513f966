// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Folders of a test's own, by which everything that `irqbed` leaves behind is
//! found: its files lie there, and its processes have them in their environment.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;
use tempfile::TempDir;

/// No step of a test takes this long but by hanging.
pub const HANG: Duration = Duration::from_secs(180);

/// Where one test lets `irqbed` run.
#[derive(Debug)]
pub struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    pub fn new() -> Self {
        let root = tempfile::Builder::new()
            .prefix("irqbed-cli-")
            .tempdir()
            .expect("a folder for temporary files");
        for folder in ["tmp", "run", "own"] {
            let path = root.path().join(folder);
            fs::create_dir(&path).expect("a folder");
            fs::set_permissions(&path, Permissions::from_mode(0o700)).expect("it is ours");
        }
        Self { root }
    }

    /// `TMPDIR` of the program.
    pub fn tmp(&self) -> PathBuf {
        self.root.path().join("tmp")
    }

    /// `XDG_RUNTIME_DIR` of the program.
    pub fn run(&self) -> PathBuf {
        self.root.path().join("run")
    }

    /// For files of the test itself.
    pub fn own(&self, name: &str) -> PathBuf {
        self.root.path().join("own").join(name)
    }

    /// A program in the place of QEMU.
    pub fn fake_qemu(&self, script: &str) -> PathBuf {
        let path = self.own("fake-qemu");
        self.script(&path, script);
        path
    }

    /// A script of the shell at this path. Another process writes it: what this
    /// one has open for writing, a child of another test may have too, and
    /// then it cannot be run.
    pub fn script(&self, path: &Path, script: &str) {
        let write = r#"printf '#!/bin/sh\n%s\n' "$1" >"$0" && chmod +x "$0""#;
        let status = Command::new("/bin/sh")
            .args(["-c", write])
            .arg(path)
            .arg(script)
            .status();
        assert!(status.expect("/bin/sh runs").success());
    }

    /// A folder for `PATH` with these of the system's programs, and no others.
    pub fn tools(&self, names: &[&str]) -> PathBuf {
        let folder = self.own("tools");
        fs::create_dir(&folder).expect("a folder");
        for name in names {
            symlink(Path::new("/usr/bin").join(name), folder.join(name)).expect("a link");
        }
        folder
    }

    /// A program in the place of QEMU that must not be run.
    pub fn forbidden_qemu(&self) -> PathBuf {
        self.fake_qemu(r#": >"$0.was-run"; exit 1"#)
    }

    /// Nobody has run [`Sandbox::forbidden_qemu`].
    pub fn assert_no_guest_was_started(&self) {
        assert!(self.own("fake-qemu").is_file(), "the test is in order");
        assert!(!self.own("fake-qemu.was-run").exists(), "QEMU was run");
    }

    /// Processes that run in this sandbox.
    pub fn processes(&self) -> Vec<Pid> {
        let mark = format!("TMPDIR={}\0", self.tmp().display()).into_bytes();
        let in_here = |folder: &Path| {
            // A process that has just ended cannot be read, or is empty.
            fs::read(folder.join("environ"))
                .is_ok_and(|environment| environment.windows(mark.len()).any(|part| part == mark))
        };
        fs::read_dir("/proc")
            .expect("/proc is mounted")
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let number = entry.file_name().to_str()?.parse().ok()?;
                in_here(&entry.path()).then(|| Pid::from_raw(number))?
            })
            .collect()
    }

    /// No process, socket or file is left; folders of the user's own may be.
    pub fn assert_nothing_left(&self) {
        assert_eq!(self.processes(), [], "processes are left");
        for folder in [self.tmp(), self.run()] {
            assert_eq!(files(&folder), Vec::<PathBuf>::new(), "files are left");
        }
    }

    /// The same, where the kernel cleans up behind a process that was killed.
    pub fn wait_until_nothing_is_left(&self) {
        wait_until("the last process is gone", || self.processes().is_empty());
        self.assert_nothing_left();
    }
}

/// Whatever is no folder, at any depth.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let is_folder = fs::symlink_metadata(&path).is_ok_and(|state| state.is_dir());
        if is_folder {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Waits for something that happens sooner or later.
pub fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let deadline = Instant::now() + HANG;
    while !happened() {
        assert!(Instant::now() < deadline, "it never happened: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
