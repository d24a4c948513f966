// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Fetches and builds what a guest is made of, below the folder `.irqbed` of a clone or of
//! an unpacked release. What is there costs nothing. `images/versions` says what is fetched,
//! [`irqbed_archive`] fetches it. Nothing needs root, and nothing is changed elsewhere.

mod compiler;
mod contents;
mod debug_kernel;
mod developer;
mod driver;
mod everything;
mod initramfs;
mod kernel;
mod programs;
mod qemu;
mod store;
mod tools;
mod versions;

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Result, bail};
use irqbed_archive::archive::Archive;

pub use self::{contents::Part, programs::stop_with_what_runs};
use self::{store::Store, versions::Versions};

/// Where Debian's packages have libraries.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
/// Among them, what starts a program that has others than the system's.
const LOADER: &str = "ld-linux-x86-64.so.2";
/// What of packages no program of ours opens.
const NEVER_OPENED: [&str; 12] = [
    "var",
    "usr/sbin",
    "usr/share/applications",
    "usr/share/bug",
    "usr/share/debconf",
    "usr/share/doc",
    "usr/share/icons",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl5",
];
/// What is fetched and built lies in it, at the root of the sources.
const STORE: &str = ".irqbed";

/// The sources of irqbed, and what was fetched and built for them.
pub struct Setup {
    root: PathBuf,
    /// What came with the sources, or is the store.
    packed: PathBuf,
    store: Store,
    versions: Versions,
    archives: Mutex<BTreeMap<String, Arc<Archive>>>,
}

/// A variable of the environment, unless it is empty.
fn variable(name: &str) -> Option<PathBuf> {
    env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

impl Setup {
    /// With the sources at `root`. What is missing is put into a folder of its own, if one is
    /// named: a release is for reading only.
    ///
    /// # Errors
    ///
    /// There are none, or the kernel's makefiles cannot work there.
    pub fn new(root: &Path, store: Option<&Path>) -> Result<Self> {
        let root = root.canonicalize()?;
        if is_refused_by_make(&root) {
            bail!(
                "the kernel's makefiles cannot work in '{}', because of a space or colon in the \
                 name: move the checkout",
                root.display()
            );
        }
        let packed = root.join(STORE);
        let store = store.unwrap_or(&packed);
        Ok(Self {
            versions: Versions::read(&root.join("images/versions"))?,
            store: Store::new(store.to_owned()),
            packed,
            archives: Mutex::default(),
            root,
        })
    }

    /// An archive that `images/versions` names.
    fn archive(&self, name: &str) -> Result<Arc<Archive>> {
        let mut archives = self.archives.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(archive) = archives.get(name) {
            return Ok(Arc::clone(archive));
        }
        let suites = self.versions.suites(name)?;
        let archive = Arc::new(Archive::new(self.store.path("archive"), suites, None)?);
        archives.insert(name.to_owned(), Arc::clone(&archive));
        Ok(archive)
    }

    /// Where the parts of the kernel of a name lie, or those of the guest's.
    fn home(&self, kernel: Option<&str>) -> PathBuf {
        match kernel {
            Some(name) if name != self.versions.stock_kernel() => {
                self.store.path("kernels").join(name)
            }
            _ => self.packed.clone(),
        }
    }

    /// Where a part is, or is to be.
    fn place(&self, name: &str) -> PathBuf {
        let packed = self.packed.join(name);
        if packed.exists() {
            packed
        } else {
            self.store.path(name)
        }
    }

    /// The folders with tools of ours.
    fn tool_folders(&self) -> [PathBuf; 2] {
        [self.packed.as_path(), self.store.folder()].map(|store| store.join("tools/bin"))
    }

    /// A command that finds the system's tools, and then ours. Its messages are read, so they
    /// are in one language.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let path = env::var_os("PATH").unwrap_or_default();
        let places = env::split_paths(&path).chain(self.tool_folders());
        let mut command = Command::new(program);
        command
            .env("LC_ALL", "C")
            .env("PATH", env::join_paths(places).unwrap_or(path));
        if self.store.is_locked() {
            command.env(store::LOCKED, "1");
        }
        command
    }
}

/// Make splits words at spaces, and targets at colons.
fn is_refused_by_make(path: &Path) -> bool {
    let path = path.to_string_lossy();
    path.contains(|c: char| c.is_whitespace() || c == ':')
}
